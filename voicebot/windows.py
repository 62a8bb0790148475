"""Voice activity of all calls: windows that become whole at about the same time are judged in one run of the model.

What a run costs is mostly to bring the model's weights and code to a processor that has slept or done other things
since: eight windows together cost hardly more than one. A call that is alone waits for nobody: its window is judged
within the push that made it whole. A few calls wait for the end of the loop's step, many for `GATHER_S`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from voicebot.core.audio import EMPTY, WINDOW_SAMPLES, Pcm, SpeechRing
from voicebot.engines.base import VadEngine, VadStream
from voicebot.errors import EngineError

GATHER_S = 0.008
"""A quarter of a window. Each call brings 31 windows a second, so that ten calls bring two or three in this time."""
FEW = 4
"""Calls at most that would gather too little in that time to be worth it."""
NEAR_SAMPLES = 160
"""Half of what most wires bring at once."""


class WindowBatch:
    """All calls' windows that wait to be judged: one of each call at most. Thread: the loop."""

    def __init__(self, engine: VadEngine) -> None:
        self._engine = engine
        self._open: set[CallWindows] = set()
        self._waiting: list[CallWindows] = []

    def open(
        self, ring: SpeechRing, heard: Callable[[int, float], None], failed: Callable[[Exception], None]
    ) -> CallWindows:
        """A call begins. `heard` is told of each window: one past its last sample, and P(speech).

        `failed` is told of a window that could not be judged, and of what `heard` raises.
        """
        call = CallWindows(self, self._engine.open_stream(), ring, heard, failed)
        self._open.add(call)
        return call

    def close(self, call: CallWindows) -> None:
        self._open.discard(call)

    def add(self, call: CallWindows) -> None:
        """It has a whole window."""
        self._waiting.append(call)
        if len(self._open) <= 1:
            self._judge()
        elif len(self._waiting) == 1 and len(self._open) > FEW:
            asyncio.get_running_loop().call_later(GATHER_S, self._judge)
        elif len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._judge)

    def _judge(self) -> None:
        """One window of each call at a time, until there is none left."""
        calls, self._waiting = self._waiting, []
        going = calls
        while going := [call for call in going if call.take()]:
            for call, outcome in zip(going, self._outcomes(going), strict=True):
                call.tell(outcome)
        for call in calls:
            call.settle()

    def _outcomes(self, calls: list[CallWindows]) -> list[float | EngineError]:
        """A window that cannot be judged is the end of its own call and no other."""
        try:
            return [*self._engine.probabilities([call.stream for call in calls], [call.window for call in calls])]
        except EngineError as error:
            return [error] if len(calls) == 1 else [self._outcomes([call])[0] for call in calls]


class CallWindows:
    """One call's speech, window by window."""

    def __init__(
        self,
        batch: WindowBatch,
        stream: VadStream,
        ring: SpeechRing,
        heard: Callable[[int, float], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Use `WindowBatch.open`."""
        self.stream = stream
        self.window: Pcm = EMPTY
        """The one that is being judged."""
        self._batch = batch
        self._ring = ring
        self._heard = heard
        self._failed = failed
        self._stop = 0
        self._then: Callable[[], None] = lambda: None
        self._waiting = False
        self._closed = False

    def more(self, then: Callable[[], None]) -> None:
        """Speech has been added to the ring. `then` is called when all windows that are whole have been told.

        More speech before that puts its own in this one's place.
        """
        self._then = then
        if self._waiting:
            return
        if self._whole():
            self._waiting = True
            self._batch.add(self)
        else:
            self.settle()

    def reached(self, sample: int) -> int | None:
        """How far the speech has come, if it has come to `sample` or nearly, and no window is or will be whole by then.

        Nearly: a wire brings 20 ms at once, and what ends with the nearest piece ends in time on average.
        """
        come = max(sample, self._ring.stop_sample)
        near = self._ring.stop_sample >= sample - NEAR_SAMPLES
        return come if near and come < self._stop + WINDOW_SAMPLES else None

    def close(self) -> None:
        """Nothing more is told."""
        self._closed = True
        self._batch.close(self)

    def take(self) -> bool:
        """Have the next window in `window`; False where there is no whole one."""
        self._waiting = self._whole()
        if self._waiting:
            self.window = self._ring.read(self._stop, self._stop + WINDOW_SAMPLES)
        return self._waiting

    def tell(self, outcome: float | EngineError) -> None:
        self._stop += WINDOW_SAMPLES
        if self._closed:
            return
        try:
            if isinstance(outcome, EngineError):
                raise outcome
            self._heard(self._stop, outcome)
        except Exception as error:  # noqa: BLE001 - other calls' windows are told after this one
            self._failed(error)

    def settle(self) -> None:
        """Nothing whole is left."""
        if self._closed:
            return
        try:
            self._then()
        except Exception as error:  # noqa: BLE001 - as above
            self._failed(error)

    def _whole(self) -> bool:
        return not self._closed and self._ring.stop_sample - self._stop >= WINDOW_SAMPLES
