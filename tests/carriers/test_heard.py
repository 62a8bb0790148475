"""What we believe was heard against what the carrier played, in words, for every vendor, on virtual time."""

from __future__ import annotations

import asyncio
from random import Random

import numpy as np
import pytest

from tests.carriers.line import REPLY, Network, Talk, talk
from tests.carriers.vendors import VENDORS, Vendor
from tests.virtual_time import run as run_virtual
from voicebot.core.audio import Pcm, mulaw_decode

EVERY = pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.name)
CLAUSES = (
    "Well, that is a good question,",
    "and the short answer is that it depends on the weather.",
    "In the morning it is usually dry, but later on there may be some rain from the west.",
)
NETWORKS = (
    Network(),
    Network(delay_s=0.04, jitter_s=0.03),
    Network(delay_s=0.06, jitter_s=0.04, buffering_s=0.1, seed=2),
)
CUTS_S = (0.35, 0.9, 2.4, 4.77)
DECIDE_S = 0.3
"""How long a pause lasts before it is decided what the overlap was."""


def errors(vendor: Vendor, network: Network) -> list[int]:
    """Words believed less words heard, for each moment at which the caller speaks up."""

    async def one(cut_s: float) -> int:
        async with talk(vendor, network) as call:
            await asyncio.sleep(0.1)
            call.say(*CLAUSES)
            await asyncio.sleep(cut_s)
            call.pause()
            await asyncio.sleep(DECIDE_S)
            call.cut()
            believed = call.believed_words()
            await asyncio.sleep(1.0)
            assert not call.wired.faults
            return believed - call.heard_words()

    return [run_virtual(one(cut_s)) for cut_s in CUTS_S]


@EVERY
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: f"{network.delay_s:g}s {network.buffering_s:g}s")
def test_the_words_that_we_believe_were_heard_are_those_that_were(vendor: Vendor, network: Network) -> None:
    found = errors(vendor, network)
    assert max(map(abs, found)) <= 1, found


@EVERY
def test_a_reply_that_was_paused_and_goes_on_is_heard_whole(vendor: Vendor) -> None:
    async def main() -> None:
        async with talk(vendor, Network(delay_s=0.03)) as call:
            call.say(*CLAUSES)
            for _ in range(3):
                await asyncio.sleep(0.8)
                call.pause()
                await asyncio.sleep(DECIDE_S)
                call.resume()
            await asyncio.sleep(14)
            assert call.speaker.finished() is not None
            assert not call.wired.faults
            assert abs(_seconds(call) - len("".join(CLAUSES)) * 0.06) < 0.35
            assert call.believed_words() == call.heard_words() == len(" ".join(CLAUSES).split())

    run_virtual(main())


@EVERY
def test_silence_comes_within_150_ms_of_the_decision(vendor: Vendor) -> None:
    async def main() -> None:
        async with talk(vendor, Network(delay_s=0.04)) as call:
            call.say(*CLAUSES)
            await asyncio.sleep(2.0)
            at = asyncio.get_running_loop().time()
            call.pause()
            call.cut()
            await asyncio.sleep(1.0)
            last_s = call.carrier.heard.last_audible_s()
            assert last_s is not None and last_s - at <= 0.15

    run_virtual(main())


@EVERY
def test_one_reply_after_the_other_does_not_make_the_far_end_late(vendor: Vendor) -> None:
    """What is sent ahead at the beginning of a reply must not stay there as delay."""

    async def main() -> None:
        async with talk(vendor) as call:
            rate_hz = call.transport.playout_rate_hz
            for number in range(2, 12):
                call.speaker.queue(number, np.full(rate_hz * 3 // 10, 3000, np.int16))
                call.speaker.complete(number)
                call.speaker.start(number)
                await asyncio.sleep(0.7)
                assert call.speaker.finished() == number
                call.speaker.drop(number)
            assert call.carrier.playback.left(asyncio.get_running_loop().time()) <= 0.045 * rate_hz

    run_virtual(main())


@EVERY
def test_what_a_stall_has_left_waiting_at_the_far_end_drains_while_nobody_speaks(vendor: Vendor) -> None:
    async def main() -> None:
        async with talk(vendor) as call:
            call.say(CLAUSES[0])
            await asyncio.sleep(0.5)
            call.wired.stall(0.4)
            await asyncio.sleep(7.0)
            assert call.carrier.playback.left(asyncio.get_running_loop().time()) <= 0.045 * call.playout.rate_hz

    run_virtual(main())


@EVERY
@pytest.mark.parametrize("seed", range(4))
def test_a_voice_that_comes_in_pieces_is_heard_as_it_was_made(vendor: Vendor, seed: int) -> None:
    """A piece may be shorter than what goes out ahead, so that there is none left to send when the next one comes."""
    rng = Random(seed)

    async def main() -> None:
        async with talk(vendor, Network(delay_s=0.03)) as call:
            voice = steps(call.transport.playout_rate_hz // 50, frames=60)
            call.speaker.start(REPLY)
            while len(voice) > call.given:
                call.give(voice, seconds=rng.uniform(0.045, 0.25))
                await asyncio.sleep(rng.choice((0.0, 0.002, 0.01, 0.03)))
            call.speaker.complete(REPLY)
            await asyncio.sleep(2)
            assert call.speaker.finished() is not None
            assert not call.wired.faults
            heard = call.carrier.heard.pcm()
            sounding = np.flatnonzero(heard)
            assert np.array_equal(heard[sounding[0] : sounding[-1] + 1], voice), "lost, twice, or with silence in it"

    run_virtual(main())


@EVERY
def test_the_first_piece_of_a_voice_is_heard_at_once_but_where_it_would_be_filled_up(vendor: Vendor) -> None:
    async def main() -> None:
        async with talk(vendor) as call:
            await asyncio.sleep(1)
            voice = steps(call.transport.playout_rate_hz // 50, frames=5)
            began = asyncio.get_running_loop().time()
            call.speaker.start(REPLY)
            call.give(voice, seconds=0.1)
            await asyncio.sleep(0.03)
            heard_s = call.carrier.heard.first_audible_s(began)
            if vendor.wire().pads:
                assert heard_s is None
            else:
                assert heard_s is not None and heard_s - began <= 0.025
            call.speaker.complete(REPLY)
            await asyncio.sleep(0.01)
            assert call.carrier.heard.first_audible_s(began) is not None, "nothing more is to come: it goes at once"

    run_virtual(main())


@EVERY
@pytest.mark.parametrize("seed", range(4))
def test_a_voice_in_pieces_that_is_paused_and_goes_on_is_heard_but_for_what_lay_ready(
    vendor: Vendor, seed: int
) -> None:
    rng = Random(seed)

    async def main() -> None:
        async with talk(vendor) as call:
            voice = steps(call.transport.playout_rate_hz // 50, frames=100)
            call.speaker.start(REPLY)
            while len(voice) > call.given:
                call.give(voice, seconds=rng.uniform(0.1, 0.4))
                await asyncio.sleep(0.01)
            call.speaker.complete(REPLY)
            for _ in range(2):
                await asyncio.sleep(rng.uniform(0.2, 0.8))
                call.pause()
                await asyncio.sleep(rng.uniform(0.05, 0.5))
                call.resume()
            await asyncio.sleep(4)
            assert call.speaker.finished() is not None
            assert not call.wired.faults
            sounding = np.count_nonzero(call.carrier.heard.pcm())
            assert sounding == pytest.approx(len(voice), abs=2 * 0.045 * call.transport.playout_rate_hz)

    run_virtual(main())


def steps(samples: int, frames: int) -> Pcm:
    """Sound of which each frame has a level of its own, the same after every codec; none is silent."""
    levels = mulaw_decode(bytes(code for code in range(256) if code & 0x7F not in (0x7E, 0x7F)))
    return np.repeat(levels[:frames], samples)


@EVERY
def test_nothing_waits_for_an_echo(vendor: Vendor) -> None:
    """A carrier that echoes nothing at all: the reply still ends, by the clock."""

    async def main() -> None:
        async with talk(vendor) as call:
            call.carrier.due = lambda now: []  # type: ignore[method-assign]
            call.say(CLAUSES[0])
            await asyncio.sleep(len(CLAUSES[0]) * 0.06 + 0.3)
            assert call.speaker.finished() is not None

    run_virtual(main())


@EVERY
def test_marks_that_a_clear_gives_back_do_not_count_as_heard(vendor: Vendor) -> None:
    async def main() -> None:
        async with talk(vendor, Network(delay_s=0.05)) as call:
            call.say(CLAUSES[0])
            await asyncio.sleep(1.0)
            call.cut()
            call.playout.heard_samples = 0
            call.say()
            await asyncio.sleep(0.5)
            assert call.transport.unplayed_samples() == 0

    run_virtual(main())


def _seconds(call: Talk) -> float:
    """How much sound of ours the caller was given."""
    return call.carrier.heard.played(asyncio.get_running_loop().time()) / call.transport.playout_rate_hz
