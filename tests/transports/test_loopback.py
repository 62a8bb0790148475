from __future__ import annotations

import asyncio

import numpy as np
import pytest

from tests.transports.fakes import FakePort
from tests.virtual_time import run as run_virtual
from voicebot.transports.loopback import LoopbackTransport

LOUD = np.full(1600, 5000, np.int16)


def pair(delay_ms: float = 0.0) -> tuple[LoopbackTransport, FakePort]:
    caller, port = LoopbackTransport(delay_ms=delay_ms), FakePort()
    caller.attach(port)
    return caller, port


def ticks(caller: LoopbackTransport, count: int, start: int = 0) -> None:
    for n in range(start, start + count):
        caller.tick(n * 0.02)


def test_speech_goes_in_20_ms_at_a_time_with_silence_after_it() -> None:
    async def main() -> None:
        caller, port = pair()
        caller.say(LOUD)
        ticks(caller, 10)
        assert [len(pcm) for pcm in port.speech] == [320] * 10
        assert np.array_equal(port.heard_speech(), np.concatenate((LOUD, np.zeros(1600, np.int16))))
        assert caller.speech_stop_s == pytest.approx(0.1)

    run_virtual(main())


def test_the_first_audible_sample_is_found_behind_leading_silence() -> None:
    async def main() -> None:
        caller, port = pair()
        port.play(np.concatenate((np.zeros(400, np.int16), LOUD)))
        ticks(caller, 10)
        assert caller.first_audible_s() == pytest.approx(400 / 16_000)
        assert caller.first_audible_s(since_s=0.06) == pytest.approx(0.06)
        assert caller.first_audible_s(since_s=9.0) is None

    run_virtual(main())


def test_with_a_delay_audio_is_heard_later_and_a_clear_drops_what_was_not() -> None:
    async def main() -> None:
        caller, port = pair(delay_ms=100)
        port.play(np.tile(LOUD, 10))
        ticks(caller, 11)
        assert caller.first_audible_s() == pytest.approx(0.1)
        assert len(caller.heard) == 6
        assert caller.unplayed_samples() == 5 * 320
        assert caller.clear() == 5 * 320
        assert caller.unplayed_samples() == 0
        assert caller.clears == [(pytest.approx(0.2), 5 * 320)]
        assert len(caller.heard_pcm()) == 6 * 320

    run_virtual(main())


def test_it_runs_on_the_loops_clock_without_drift_until_the_call_is_closed() -> None:
    async def main() -> None:
        caller, port = pair()
        asyncio.get_running_loop().call_later(60.005, caller.close, "done")
        await caller.run()
        assert port.pulls == 3001
        assert caller.closed_reason == "done"

    run_virtual(main())


def test_hanging_up_tells_the_call_once() -> None:
    async def main() -> None:
        caller, port = pair()
        caller.hang_up()
        caller.hang_up()
        assert port.hang_ups == ["caller hung up"]
        await caller.run()
        assert port.pulls == 0

    run_virtual(main())


def test_sound_that_comes_between_two_ticks_is_heard_at_once_and_goes_on_with_the_tick() -> None:
    async def main() -> None:
        caller, port = pair()
        loop = asyncio.get_running_loop()

        def begin() -> None:
            port.play(LOUD)
            caller.sound_ready()

        loop.call_later(0.105, begin)
        loop.call_later(0.3, caller.close, "done")
        await caller.run()
        assert caller.first_audible_s() == pytest.approx(0.105)
        assert [len(piece.pcm) for piece in caller.heard][:3] == [240, 320, 320]
        assert caller.heard[1].at_s == pytest.approx(0.12)
        assert np.array_equal(caller.heard_pcm()[: len(LOUD)], LOUD)

    run_virtual(main())


def test_sound_that_is_being_heard_is_not_pulled_twice() -> None:
    async def main() -> None:
        caller, port = pair()
        port.play(np.tile(LOUD, 2))
        for ms in (25, 45, 199):
            asyncio.get_running_loop().call_later(ms / 1000, caller.sound_ready)
        asyncio.get_running_loop().call_later(0.3, caller.close, "done")
        await caller.run()
        assert [len(piece.pcm) for piece in caller.heard] == [320] * 10

    run_virtual(main())
