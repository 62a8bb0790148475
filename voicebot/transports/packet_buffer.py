"""The jitter buffer of a stream of voice packets that is recognised, not played. Pure: the caller has the clock.

Rules:
1. Packets in order go on the moment they come. A recogniser counts samples and needs no even pace, so jitter alone
   costs nothing; a buffer that plays must hold back as much as packets may be late.
2. Behind a missing packet the later ones wait, at first MIN_HOLD_S, then as long as missing packets were lately seen
   to be late, at most MAX_HOLD_S; what was learnt is halved every HALF_LIFE_S. Then the hole is given up: `Lost`.
3. A sender that said it falls silent (DTX) sends nothing while time goes by; the samples that are due are made up, or
   the silence that ends a turn would never be heard. Nothing is made up while a sender that speaks is merely late.
4. Doubled packets are dropped, and late ones whose place has been given up.
Bounded: MOST_HELD packets; one hole is at most LONGEST_HOLE of samples; a stream that jumps is begun anew.
"""

from __future__ import annotations

from dataclasses import dataclass

from voicebot.transports.opus import CLOCK_HZ, packet_samples, says_silence

MIN_HOLD_S = 0.03
"""One packet out of its place by one, at 20 ms each, costs no sound."""
MAX_HOLD_S = 0.12
HALF_LIFE_S = 1.5
"""From the longest hold to the shortest in 3 s."""
MOST_HELD = 64
LONGEST_HOLE = 2 * CLOCK_HZ
JUMP = 1000
"""Sequence numbers: a difference beyond is a stream begun anew, not loss. Source: RFC 3550 appendix A.1, a third."""
SILENT_STEP = CLOCK_HZ // 50
SILENT_LATE_S = 0.04
"""How late the first packet after a silence may be before its place is made up."""
SILENT_LIMIT_S = 1.0
"""A sender in DTX says something every 400 ms; silent for longer, it is cut off and not silent."""
_REMEMBERED = 256
"""Missing packets whose lateness will be noted if they come."""


@dataclass(frozen=True, slots=True)
class Sound:
    """Decode this packet next."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Lost:
    """Make up `samples` (48 kHz, a multiple of 120); the end of them may be in `following`, the packet after them."""

    samples: int
    following: bytes | None = None


@dataclass(frozen=True, slots=True)
class _Held:
    stamp: int
    payload: bytes
    came_s: float


class PacketBuffer:
    """One stream's packets in, what to decode out, in order. `now`: seconds of any one monotonic clock."""

    def __init__(self) -> None:
        self.lost_samples = 0
        """At 48 kHz, given up and made up; silence of a sender in DTX does not count."""
        self.late_packets = 0
        """Came after they had been given up."""
        self._held: dict[int, _Held] = {}
        self._next: int | None = None
        self._stamp = 0
        self._missed: dict[int, float] = {}
        self._late_s, self._late_at = 0.0, 0.0
        self._silent_since: float | None = None
        self._silent_at = 0.0

    @property
    def deadline(self) -> float | None:
        """When to call `due` if no packet comes before."""
        if self._held:
            return self._given_up_at()
        return self._silent_at if self._silent_since is not None else None

    def push(self, sequence: int, timestamp: int, payload: bytes, now: float) -> list[Sound | Lost]:
        """A packet came. `sequence`: 16 bits, `timestamp`: 32 bits at 48 kHz, as on the wire."""
        if not packet_samples(payload):
            return []
        number, stamp = self._number(sequence), self._unwrapped(timestamp)
        if self._next is None or abs(number - self._next) > JUMP:
            self._begin(number, stamp)
        assert self._next is not None
        if number < self._next or number in self._held:
            self._note_late(number, now)
            return []
        self._note_late(number, now)
        for missing in range(max(self._next, max(self._held, default=0) + 1), number):
            self._missed[missing] = now
        while len(self._missed) > _REMEMBERED:
            del self._missed[next(iter(self._missed))]
        self._held[number] = _Held(stamp, payload, now)
        return self._release(now)

    def due(self, now: float) -> list[Sound | Lost]:
        """`deadline` has come."""
        if self._held:
            return self._release(now)
        if self._silent_since is None or now < self._silent_at:
            return []
        self._silent_at += SILENT_STEP / CLOCK_HZ
        self._stamp += SILENT_STEP
        if self._silent_at - self._silent_since > SILENT_LIMIT_S:
            self._silent_since = None
        return [Lost(SILENT_STEP)]

    def _number(self, sequence: int) -> int:
        near = self._next if self._next is not None else sequence
        return near + ((sequence - near + 0x8000) & 0xFFFF) - 0x8000

    def _unwrapped(self, timestamp: int) -> int:
        near = self._stamp if self._next is not None else timestamp
        return near + ((timestamp - near + 0x8000_0000) & 0xFFFF_FFFF) - 0x8000_0000

    def _begin(self, number: int, stamp: int) -> None:
        self._held.clear()
        self._missed.clear()
        self._next, self._stamp = number, stamp

    def _note_late(self, number: int, now: float) -> None:
        """A packet that was missed has come: waiting that long for the next one is worth it."""
        missed_at = self._missed.pop(number, None)
        if missed_at is None:
            return
        if self._next is not None and number < self._next:
            self.late_packets += 1
        self._late_s, self._late_at = max(self._expected_late_s(now), now - missed_at), now

    def _expected_late_s(self, now: float) -> float:
        return float(self._late_s * 0.5 ** (max(0.0, now - self._late_at) / HALF_LIFE_S))

    def _given_up_at(self) -> float:
        """When the first hole has been waited for, counted from the first packet that came from behind it."""
        came_s = min(packet.came_s for packet in self._held.values())
        return came_s + min(MAX_HOLD_S, max(MIN_HOLD_S, 1.25 * self._expected_late_s(came_s)))

    def _release(self, now: float) -> list[Sound | Lost]:
        ready: list[Sound | Lost] = []
        while self._held:
            first = min(self._held)
            if first != self._next and now < self._given_up_at() and len(self._held) <= MOST_HELD:
                break
            ready += self._take(first)
        return ready

    def _take(self, number: int) -> list[Sound | Lost]:
        """The packet, after what is missing before it. A stamp that runs back, or far ahead, sets the clock anew."""
        packet = self._held.pop(number)
        lost = number != self._next
        hole = packet.stamp - self._stamp
        hole = min(hole - hole % 120, LONGEST_HOLE) if hole > 0 else 0
        self._next, self._stamp = number + 1, packet.stamp + packet_samples(packet.payload)
        self._silent_since = packet.came_s if says_silence(packet.payload) else None
        self._silent_at = packet.came_s + packet_samples(packet.payload) / CLOCK_HZ + SILENT_LATE_S
        if lost:
            self.lost_samples += hole
        before = [Lost(hole, packet.payload if lost else None)] if hole else []
        return [*before, Sound(packet.payload)]
