"""Carriers that misbehave: out of order, twice, not at all, garbage, half-open, and too slow to read."""

from __future__ import annotations

import asyncio
from random import Random

import numpy as np
import pytest

from tests.carriers.fuzz import Mutator
from tests.carriers.line import Network, Talk, talk
from tests.carriers.vendors import VENDORS, Vendor
from tests.virtual_time import run as run_virtual
from voicebot.transports.telephony.wire import Message

EVERY = pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.name)
NUMBERED = pytest.mark.parametrize(
    "vendor", [v for v in VENDORS if v.name in ("twilio", "telnyx", "plivo", "exotel")], ids=lambda vendor: vendor.name
)
FAULT_CODES = {1000, 1002, 1003, 1007, 1008, 1009}
FRAMES = 200


def frames(call: Talk) -> list[Message]:
    size = call.carrier.rate_hz // 50
    return [call.carrier.media(np.full(size, 4000, np.int16)) for _ in range(FRAMES)]


@NUMBERED
def test_frames_out_of_order_twice_or_lost_keep_the_callers_clock(vendor: Vendor) -> None:
    async def main() -> None:
        async with talk(vendor) as call:
            call.wired.muted = True
            await asyncio.sleep(0.1)
            call.speech.clear()
            random = Random(3)
            spoken = frames(call)
            order = sorted(range(FRAMES), key=lambda n: n + random.random() * 2.5)
            order = [n for n in order if n % 40 != 7 or n > FRAMES - 20]
            for n in order:
                for _ in range(2 if n % 17 == 0 else 1):
                    call.wired.tell(spoken[n])
            await asyncio.sleep(0.5)
            heard = sum(map(len, call.speech))
            assert call.hang_ups == []
            assert abs(heard - FRAMES * 320) <= 4 * 320

    run_virtual(main())


@EVERY
def test_garbage_ends_the_call_with_a_code_and_words_or_is_let_pass(vendor: Vendor) -> None:
    async def one(seed: int) -> None:
        async with talk(vendor) as call:
            mutator = Mutator(vendor, seed, call.carrier)
            for _ in range(50):
                if call.wired.closed is not None:
                    break
                call.wired.tell(mutator.next())
                await asyncio.sleep(0.02)
            if call.hang_ups:
                await asyncio.sleep(2.1)
                assert call.wired.closed is not None
                code, words = call.wired.closed
                assert code in FAULT_CODES
                assert words

    for seed in range(8):
        run_virtual(one(seed))


@EVERY
def test_a_half_open_socket_holds_nothing_up(vendor: Vendor) -> None:
    """The far side says nothing any more and takes everything: the reply ends by the clock, and so can the call."""

    async def main() -> None:
        async with talk(vendor) as call:
            call.wired.muted = True
            call.say("This is heard by nobody at all.")
            await asyncio.sleep(3.0)
            assert call.speaker.finished() is not None
            began = asyncio.get_running_loop().time()
            call.transport.close("done")
            while call.wired.closed is None:
                await asyncio.sleep(0.05)
            assert asyncio.get_running_loop().time() - began <= 2.1

    run_virtual(main())


@EVERY
def test_a_far_side_that_reads_too_slowly_is_hung_up_on(vendor: Vendor) -> None:
    async def main() -> None:
        async with talk(vendor, Network()) as call:
            call.wired.readable.clear()
            call.say(*["and so it goes on and on and on and on."] * 12)
            await asyncio.sleep(15.0)
            assert call.hang_ups[0] == "the far end reads too slowly"
            call.wired.readable.set()

    run_virtual(main())
