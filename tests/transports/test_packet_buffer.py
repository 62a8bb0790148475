"""The jitter buffer against seeded networks, in virtual time: what comes out, when, and how late."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from random import Random

import pytest

from voicebot.transports.opus import CLOCK_HZ
from voicebot.transports.packet_buffer import MAX_HOLD_S, MIN_HOLD_S, Lost, PacketBuffer, Sound

FRAME = CLOCK_HZ // 50
VOICE = b"\x48voice"
"""20 ms of SILK; what follows the first byte names the packet."""
DTX = b"\x48"


def voice(number: int) -> bytes:
    return VOICE + number.to_bytes(4, "big")


def named(payload: bytes | None) -> int:
    assert payload is not None
    return int.from_bytes(payload[len(VOICE) :], "big")


@dataclass(frozen=True)
class Sent:
    """A packet that comes at `at_s`, or not at all; `number` counts packets and `stamp` samples, both unbounded."""

    number: int
    at_s: float
    stamp: int
    payload: bytes


class World:
    """Feeds a buffer and keeps what came out of it, with the time; looks at the promises that always hold."""

    def __init__(self) -> None:
        self.buffer = PacketBuffer()
        self.out: list[tuple[float, Sound | Lost]] = []

    def run(self, packets: Iterable[Sent], until_s: float | None = None) -> World:
        for packet in sorted(packets, key=lambda sent: sent.at_s):
            self.wait(packet.at_s)
            steps = self.buffer.push(packet.number & 0xFFFF, packet.stamp & 0xFFFFFFFF, packet.payload, packet.at_s)
            self.out += [(packet.at_s, step) for step in steps]
        self.wait(until_s if until_s is not None else float("inf"))
        return self

    def wait(self, until_s: float) -> None:
        while (deadline := self.buffer.deadline) is not None and deadline <= until_s:
            steps = self.buffer.due(deadline)
            assert steps or self.buffer.deadline != deadline, "a deadline that nothing comes of"
            self.out += [(deadline, step) for step in steps]

    def heard(self) -> list[int]:
        """The numbers of the packets that were decoded, in order."""
        steps = [step.payload for _, step in self.out if isinstance(step, Sound) and len(step.payload) > 2]
        return [named(payload) for payload in steps]

    def samples(self) -> int:
        return sum(FRAME if isinstance(step, Sound) else step.samples for _, step in self.out)

    def delays(self, packets: Iterable[Sent], transit_s: float) -> list[tuple[int, float]]:
        """For each packet heard, how long after the soonest it could have come."""
        sent_s = {packet.payload: packet.number * 0.02 for packet in packets}
        return [
            (named(step.payload), at - transit_s - sent_s[step.payload])
            for at, step in self.out
            if isinstance(step, Sound)
        ]


def stream(count: int, transit_s: float = 0.05, first: int = 0, drift: float = 0.0) -> list[Sent]:
    """Voice in packets of 20 ms over a network that is even; the sender's clock gains `drift` seconds a second."""
    return [Sent(n, n * 0.02 * (1 - drift) + transit_s, n * FRAME, voice(n)) for n in range(first, first + count)]


def later(packet: Sent, by_s: float) -> Sent:
    return Sent(packet.number, packet.at_s + by_s, packet.stamp, packet.payload)


def test_packets_in_order_go_on_the_moment_they_come() -> None:
    packets = stream(200)
    world = World().run(packets)
    assert world.heard() == list(range(200))
    assert [at for at, _ in world.out] == [packet.at_s for packet in packets]
    assert world.buffer.deadline is None


def test_jitter_in_order_costs_no_more_than_the_network_itself() -> None:
    random, at, packets = Random(1), 0.0, []
    for packet in stream(500):
        at = max(at, packet.at_s + random.expovariate(1 / 0.03))
        packets.append(Sent(packet.number, at, packet.stamp, packet.payload))
    world = World().run(packets)
    assert [at for at, _ in world.out] == [packet.at_s for packet in packets]
    assert world.buffer.lost_samples == 0


def test_a_packet_out_of_its_place_by_one_costs_no_sound() -> None:
    packets = stream(20)
    packets[10] = later(packets[10], 0.025)
    world = World().run(packets)
    assert world.heard() == list(range(20))
    assert all(isinstance(step, Sound) for _, step in world.out)


def test_a_lost_packet_is_waited_for_once_and_made_up_from_the_one_after_it() -> None:
    packets = stream(50)
    lost = packets.pop(20)
    world = World().run(packets)
    assert world.out[20] == (packets[20].at_s + MIN_HOLD_S, Lost(FRAME, voice(21)))
    assert world.heard() == [n for n in range(50) if n != lost.number]
    assert world.samples() == 50 * FRAME
    assert world.buffer.lost_samples == FRAME


@pytest.mark.parametrize("seed", range(5))
def test_one_in_a_hundred_lost_delays_nothing_by_more_than_60_ms_and_soon_nothing_at_all(seed: int) -> None:
    random = Random(seed)
    sent = stream(3000)
    packets = [packet for packet in sent if packet.number > 2000 or random.random() >= 0.01]
    packets = [packet for packet in packets if packet.number > 0] + [sent[0]]
    delays = World().run(packets).delays(sent, 0.05)
    assert max(delay for _, delay in delays) <= 0.06
    assert all(delay < 1e-9 for number, delay in delays if number > 2005)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_network_does_order_and_the_senders_clock_are_kept(seed: int) -> None:
    """Loss, jitter with reordering, doubles and bursts of loss together."""
    random, packets, burst = Random(seed), [], 0
    for packet in stream(1500, first=random.randrange(70_000)):
        burst = random.randrange(1, 12) if random.random() < 0.01 else burst - 1
        if burst > 0 or random.random() < 0.02:
            continue
        packets.append(later(packet, random.expovariate(1 / 0.02)))
        if random.random() < 0.03:
            packets.append(later(packet, random.expovariate(1 / 0.05)))
    world = World().run(packets)
    heard = world.heard()
    first, last = min(heard), max(heard)
    assert heard == sorted(set(heard))
    assert world.samples() == (last - first + 1) * FRAME
    assert world.buffer.lost_samples == (last - first + 1 - len(heard)) * FRAME
    after = {packet.number: packet.at_s for packet in sorted(packets, key=lambda sent: -sent.at_s)}
    held = [at - after[named(step.payload)] for at, step in world.out if isinstance(step, Sound)]
    assert max(held) <= MAX_HOLD_S + 1e-9


def test_the_wait_grows_with_what_is_seen_to_come_late_and_is_back_within_five_seconds() -> None:
    """A packet in ten is overtaken for 10 s by 80 ms; later one is really lost."""
    sent = stream(1000)
    packets = [later(packet, 0.1) if packet.number % 10 == 5 and packet.number < 500 else packet for packet in sent]
    packets = [packet for packet in packets if packet.number not in (505, 750)]
    world = World().run(packets)
    assert set(range(100, 505)) <= set(world.heard()), "having learnt, it waits for them all"
    waits = {
        named(step.following): at - sent[named(step.following)].at_s for at, step in world.out if isinstance(step, Lost)
    }
    assert waits[506] == pytest.approx(0.1, abs=0.02)
    assert waits[751] == pytest.approx(MIN_HOLD_S)


def test_what_comes_after_it_was_given_up_is_dropped_and_teaches_to_wait() -> None:
    packets = stream(60)
    packets[20] = later(packets[20], 0.09)
    packets[30] = later(packets[30], 0.09)
    world = World().run(packets)
    assert world.buffer.late_packets == 1
    assert world.heard() == [n for n in range(60) if n != 20]
    assert world.samples() == 60 * FRAME


def test_doubled_packets_are_heard_once() -> None:
    packets = stream(50)
    world = World().run([*packets, *(later(packet, 0.03) for packet in packets)])
    assert world.heard() == list(range(50))
    assert world.buffer.late_packets == world.buffer.lost_samples == 0


def test_numbers_and_stamps_that_run_over_are_nothing_special() -> None:
    start = 2**32 - 30 * FRAME
    packets = [Sent(n + 65_500, n * 0.02, start + n * FRAME, voice(n)) for n in range(100) if n != 36]
    world = World().run(packets)
    assert world.heard() == [n for n in range(100) if n != 36]
    assert world.samples() == 100 * FRAME


def test_a_stream_that_jumps_is_begun_anew_without_a_wait() -> None:
    packets = [*stream(20), *(Sent(n + 30_000, n * 0.02 + 0.05, n * FRAME + 10**9, voice(n)) for n in range(20, 40))]
    world = World().run(packets)
    assert world.heard() == list(range(40))
    assert world.samples() == 40 * FRAME


def test_the_silence_of_a_sender_in_dtx_goes_on_in_real_time_and_its_next_word_is_not_delayed() -> None:
    speech, silent = stream(50), [Sent(50 + n, 1.05 + n * 0.4, (50 + n * 20) * FRAME, DTX) for n in range(5)]
    again = [Sent(55 + n, 3.05 + n * 0.02, (150 + n) * FRAME, voice(200 + n)) for n in range(20)]
    world = World().run([*speech, *silent, *again], until_s=10.0)
    made = [at for at, step in world.out if isinstance(step, Lost) and at < 3.0]
    assert all(0.0 <= second - first < 0.09 for first, second in pairwise(made))
    assert made[0] == pytest.approx(1.05 + 0.06)
    assert world.heard() == [*range(50), *range(200, 220)]
    assert [at for at, step in world.out if isinstance(step, Sound)][-20:] == [packet.at_s for packet in again]
    assert world.samples() == 170 * FRAME
    assert world.buffer.lost_samples == 0


def test_a_sender_in_dtx_that_is_cut_off_is_not_taken_to_be_silent_for_ever() -> None:
    world = World().run([*stream(50), Sent(50, 1.05, 50 * FRAME, DTX)])
    assert 0.9 <= (world.samples() - 51 * FRAME) / CLOCK_HZ <= 1.1


def test_a_sender_who_speaks_and_is_only_late_is_waited_for() -> None:
    packets = [later(packet, 0.7 * (packet.number >= 25)) for packet in stream(50)]
    world = World().run(packets)
    assert all(isinstance(step, Sound) for _, step in world.out)


@pytest.mark.parametrize("drift", [-0.001, 0.001])
def test_a_senders_clock_that_is_not_ours_adds_no_delay_in_ten_minutes(drift: float) -> None:
    packets = stream(30_000, drift=drift)
    world = World().run(packets)
    assert [at for at, _ in world.out] == [packet.at_s for packet in packets]


def test_what_is_held_and_what_is_made_up_for_one_hole_are_bounded() -> None:
    buffer = PacketBuffer()
    buffer.push(0, 0, voice(0), 0.0)
    steps = [step for n in range(2, 200) for step in buffer.push(n, n * FRAME, voice(n), 0.0)]
    assert len([step for step in steps if isinstance(step, Sound)]) >= 198 - 65
    (hole, sound) = buffer.push(200, 10**9, voice(200), 0.0)
    assert isinstance(hole, Lost) and isinstance(sound, Sound)
    assert hole.samples == 2 * CLOCK_HZ


def test_a_packet_that_is_no_opus_is_ignored() -> None:
    buffer = PacketBuffer()
    assert buffer.push(0, 0, b"", 0.0) == buffer.push(1, 0, b"\x03\x00", 0.0) == []
    assert buffer.push(2, 0, voice(2), 0.0) == [Sound(voice(2))]
