"""Windows of many calls: which are judged together, when, and that no call suffers from another's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from tests.virtual_time import run
from voicebot.core.audio import WINDOW_SAMPLES, Pcm, SpeechRing
from voicebot.errors import EngineError
from voicebot.windows import FEW, GATHER_S, CallWindows, WindowBatch

BROKEN = -1
FAULTY = -2


class CountingVad:
    """Tells a window's first sample as its probability, remembers how many it was given at once, fails at BROKEN."""

    def __init__(self) -> None:
        self.runs: list[int] = []

    def open_stream(self) -> Any:
        return self

    def probabilities(self, streams: Sequence[Any], windows: Sequence[Pcm]) -> list[float]:
        self.runs.append(len(streams))
        if any(window[0] == BROKEN for window in windows):
            raise EngineError("no more windows")
        return [float(window[0]) for window in windows]


class Calls:
    """So many calls of one server. What each was told is in `heard`: when, where in its speech, and how probable."""

    def __init__(self, count: int) -> None:
        self.vad = CountingVad()
        self.batch = WindowBatch(self.vad)  # type: ignore[arg-type]
        self.rings = [SpeechRing() for _ in range(count)]
        self.heard: list[list[tuple[float, int, float]]] = [[] for _ in range(count)]
        self.settled: list[list[int]] = [[] for _ in range(count)]
        """How many windows each call had been told when it was told that there are no more."""
        self.failed: list[int] = []
        self.windows: list[CallWindows] = [self._open(call) for call in range(count)]

    def _open(self, call: int) -> CallWindows:
        def heard(stop: int, probability: float) -> None:
            assert probability != FAULTY, "a fault of ours"
            self.heard[call].append((asyncio.get_running_loop().time(), stop, probability))

        return self.batch.open(self.rings[call], heard, lambda _error: self.failed.append(call))

    def push(self, call: int, value: int, samples: int = WINDOW_SAMPLES) -> None:
        self.rings[call].push(np.full(samples, value, np.int16))
        self.windows[call].more(lambda: self._settled(call))

    def _settled(self, call: int) -> None:
        self.settled[call].append(len(self.heard[call]))


def with_calls(count: int, body: Callable[[Calls], Any]) -> Calls:
    calls = Calls(count)

    async def world() -> None:
        await body(calls)

    run(world())
    return calls


def test_a_call_that_is_alone_is_told_within_the_push_that_makes_a_window_whole() -> None:
    async def body(calls: Calls) -> None:
        calls.push(0, 3, WINDOW_SAMPLES - 1)
        assert not calls.heard[0]
        calls.push(0, 3, 2 * WINDOW_SAMPLES)
        assert calls.heard[0] == [(0.0, WINDOW_SAMPLES, 3.0), (0.0, 2 * WINDOW_SAMPLES, 3.0)]

    assert with_calls(1, body).vad.runs == [1, 1]


def test_a_few_calls_wait_for_the_end_of_the_loops_step() -> None:
    async def body(calls: Calls) -> None:
        calls.push(0, 1)
        calls.push(1, 2)
        assert calls.heard == [[], [], []]
        await asyncio.sleep(0)
        assert calls.heard == [[(0.0, WINDOW_SAMPLES, 1.0)], [(0.0, WINDOW_SAMPLES, 2.0)], []]

    assert with_calls(3, body).vad.runs == [2]


def test_many_calls_are_gathered_and_the_first_waits_no_longer_than_it_may() -> None:
    async def body(calls: Calls) -> None:
        for call in range(4):
            calls.push(call, call)
            await asyncio.sleep(GATHER_S / 3)
        await asyncio.sleep(GATHER_S)

    calls = with_calls(FEW + 1, body)
    assert calls.vad.runs == [3, 1]
    assert [told[0][0] for told in calls.heard[:4]] == [GATHER_S, GATHER_S, GATHER_S, 2 * GATHER_S]


def test_the_last_call_left_waits_for_nobody() -> None:
    async def body(calls: Calls) -> None:
        calls.windows[0].close()
        calls.push(1, 7)
        assert calls.heard[1] == [(0.0, WINDOW_SAMPLES, 7.0)]

    with_calls(2, body)


def test_a_call_with_several_windows_is_judged_one_after_the_other_and_only_once() -> None:
    async def body(calls: Calls) -> None:
        calls.push(0, 1, 2 * WINDOW_SAMPLES)
        calls.push(1, 2)
        calls.push(0, 3)
        await asyncio.sleep(0)

    calls = with_calls(2, body)
    assert calls.vad.runs == [2, 1, 1]
    assert [(stop // WINDOW_SAMPLES, value) for _, stop, value in calls.heard[0]] == [(1, 1.0), (2, 1.0), (3, 3.0)]
    assert len(calls.heard[1]) == 1


def test_a_window_that_cannot_be_judged_is_the_end_of_its_own_call_and_no_other() -> None:
    async def body(calls: Calls) -> None:
        for call, value in enumerate((1, BROKEN, 2)):
            calls.push(call, value)
        await asyncio.sleep(0)

    calls = with_calls(3, body)
    assert calls.vad.runs == [3, 1, 1, 1]
    assert calls.failed == [1]
    assert [[value for _, _, value in told] for told in calls.heard] == [[1.0], [], [2.0]]


def test_a_call_that_fails_at_a_window_takes_no_other_with_it() -> None:
    async def body(calls: Calls) -> None:
        calls.push(0, FAULTY)
        calls.push(1, 2)
        await asyncio.sleep(0)

    calls = with_calls(2, body)
    assert calls.failed == [0]
    assert calls.heard == [[], [(0.0, WINDOW_SAMPLES, 2.0)]]


def test_a_call_that_ends_while_it_waits_is_told_nothing() -> None:
    async def body(calls: Calls) -> None:
        calls.push(0, 1)
        calls.push(1, 2)
        calls.windows[0].close()
        await asyncio.sleep(0)

    calls = with_calls(2, body)
    assert calls.heard == [[], [(0.0, WINDOW_SAMPLES, 2.0)]]
    assert calls.vad.runs == [1]


def test_it_is_told_when_all_windows_that_are_whole_have_been_judged_at_once_where_there_is_none() -> None:
    async def body(calls: Calls) -> None:
        calls.push(0, 1, WINDOW_SAMPLES - 1)
        assert calls.settled == [[0], []]
        calls.push(0, 1, WINDOW_SAMPLES + 1)
        calls.push(0, 1, 1)
        assert calls.settled == [[0], []]
        await asyncio.sleep(0)
        assert calls.settled == [[0, 2], []]
        calls.push(1, 1)
        calls.windows[1].close()
        calls.push(1, 1, 1)
        await asyncio.sleep(0)
        assert calls.settled == [[0, 2], []]

    with_calls(2, body)


def test_a_fault_in_what_follows_the_windows_is_the_end_of_its_own_call_and_no_other() -> None:
    def fail() -> None:
        raise AssertionError("a fault of ours")

    async def body(calls: Calls) -> None:
        calls.push(0, 1)
        calls.windows[0].more(fail)
        calls.push(1, 2)
        await asyncio.sleep(0)

    calls = with_calls(2, body)
    assert (calls.failed, calls.settled) == ([0], [[], [1]])


@pytest.mark.parametrize(
    ("come", "sample", "reached"),
    [
        (320, 330, 330),
        (320, 480, 480),
        (320, 481, None),
        (320, 300, 320),
        (480, 512, None),
        (640, 600, 640),
        (1023, 1000, 1023),
    ],
    ids=["nearly", "half a piece", "not nearly", "passed", "a window will be whole", "the next", "almost whole"],
)
def test_a_sample_is_reached_with_the_piece_of_speech_nearest_to_it(come: int, sample: int, reached: int) -> None:
    async def body(calls: Calls) -> None:
        calls.push(0, 1, come)
        assert calls.windows[0].reached(sample) == reached

    with_calls(1, body)


def test_nothing_is_reached_while_a_whole_window_waits_to_be_judged() -> None:
    async def body(calls: Calls) -> None:
        calls.push(0, 1, 600)
        assert calls.windows[0].reached(560) is None
        await asyncio.sleep(0)
        assert calls.windows[0].reached(560) == 600

    with_calls(2, body)
