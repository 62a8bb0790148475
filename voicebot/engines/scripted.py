"""Engines with declared answers and delays: for tests, and for measuring the server without any model.

The language model is in `scripted_llm.py`. Delays wait on the cancellation token, so a cancel ends them at once.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from voicebot.core.audio import SPEECH_RATE_HZ, dbfs
from voicebot.engines.base import Cancel, Locality, Pcm, Transcript, VadStream
from voicebot.engines.options import DriverOptions, EngineSpec
from voicebot.errors import EngineBadOutput, EngineTimeout, EngineUnavailable

TONE_HZ = 440.0
CHUNK_MS = 100
POLL_S = 0.005

FAILURES: dict[str, type[Exception]] = {
    "timeout": EngineTimeout,
    "unavailable": EngineUnavailable,
    "bad_output": EngineBadOutput,
    "memory": MemoryError,
}
"""The last is one that no driver translates: what a library may raise at any time."""


def pause(seconds: float, cancel: Cancel) -> bool:
    """Wait, or less if cancelled meanwhile; returns whether it was. A token without `wait` is polled."""
    wait: Callable[[float], object] | None = getattr(cancel, "wait", None)
    if wait is not None:
        wait(seconds)
        return cancel.is_set()
    stop_at = time.monotonic() + seconds
    while not cancel.is_set() and (left := stop_at - time.monotonic()) > 0:
        time.sleep(min(POLL_S, left))
    return cancel.is_set()


class FailingOptions(DriverOptions):
    """What every scripted engine but the VAD can be told about failing."""

    fail: Literal["", "timeout", "unavailable", "bad_output", "memory"] = ""
    fail_nth: int = Field(0, ge=0)
    """Which request fails, counted from 1; 0 for each of them."""


class FailurePlan:
    """Counts requests and fails those that the options name."""

    def __init__(self, url: str, options: FailingOptions) -> None:
        self._url = url
        self._options = options
        self._requests = itertools.count(1)

    def check(self) -> None:
        """Raises: the error that is planned for this request."""
        nth = next(self._requests)
        if self._options.fail and self._options.fail_nth in (0, nth):
            raise FAILURES[self._options.fail](f"{self._url}: request {nth} fails as scripted")


class ScriptedEngine:
    """What the four have in common: nothing to load."""

    locality: Locality = "local"
    max_concurrency = 1

    def __init__(self, spec: EngineSpec) -> None:
        self._spec = spec

    @property
    def name(self) -> str:
        return self._spec.short_name

    def load(self) -> None:
        """There is nothing to load."""

    def close(self) -> None:
        """There is nothing to free."""


class ScriptedVad(ScriptedEngine):
    """Speech is what is loud: a window over `threshold_dbfs` has probability 0.95, any other 0.02."""

    class Options(DriverOptions):
        threshold_dbfs: float = Field(-45.0, ge=-120.0, le=0.0)

    def __init__(self, spec: EngineSpec, options: Options) -> None:
        super().__init__(spec)
        self._options = options

    def open_stream(self) -> ScriptedVadStream:
        return ScriptedVadStream(self._options.threshold_dbfs)

    def probabilities(self, streams: Sequence[VadStream], windows: Sequence[Pcm]) -> list[float]:
        return [stream.probability(window) for stream, window in zip(streams, windows, strict=True)]


class ScriptedVadStream:
    """Has no memory: each window is judged alone."""

    def __init__(self, threshold_dbfs: float) -> None:
        self._threshold_dbfs = threshold_dbfs

    def probability(self, window: Pcm) -> float:
        return 0.95 if dbfs(window) > self._threshold_dbfs else 0.02

    def reset(self) -> None:
        """There is nothing to forget."""


class ScriptedStt(ScriptedEngine):
    """Hears the next `text` of its cycle, whatever was said. With `stream=true` words appear as time goes by."""

    class Options(FailingOptions):
        text: tuple[str, ...] = ("hello",)
        delay_ms: float = Field(0.0, ge=0)
        confidence: float = Field(1.0, ge=0, le=1)
        stream: bool = False

    def __init__(self, spec: EngineSpec, options: Options) -> None:
        super().__init__(spec)
        self._options = options
        self._texts = itertools.cycle(options.text)
        self._plan = FailurePlan(spec.url, options)

    def transcribe(self, pcm: Pcm, cancel: Cancel, narrowband: bool = False) -> Transcript:
        if pause(self._options.delay_ms / 1000, cancel):
            return Transcript("")
        return self.next_transcript()

    def open_stream(self, narrowband: bool = False) -> ScriptedSttStream | None:
        return ScriptedSttStream(self) if self._options.stream else None

    def next_transcript(self) -> Transcript:
        """Raises: the planned EngineError."""
        self._plan.check()
        return Transcript(next(self._texts), self._options.confidence)


class ScriptedSttStream:
    """Shows a word of the coming transcript for each 300 ms that it was fed."""

    WORD_SAMPLES = SPEECH_RATE_HZ * 300 // 1000

    def __init__(self, engine: ScriptedStt) -> None:
        self._engine = engine
        self._answer: Transcript | None = None
        self._fed_samples = 0

    def feed(self, pcm: Pcm) -> str:
        self._fed_samples += len(pcm)
        words = self._transcript().text.split()
        return " ".join(words[: self._fed_samples // self.WORD_SAMPLES])

    def finish(self) -> Transcript:
        return self._transcript()

    def abandon(self) -> None:
        """There is no decoder to give back."""

    def _transcript(self) -> Transcript:
        if self._answer is None:
            self._answer = self._engine.next_transcript()
        return self._answer


class ScriptedTts(ScriptedEngine):
    """Speaks a quiet 440 Hz tone, `ms_per_char` long for each character, in chunks of 100 ms."""

    class Options(FailingOptions):
        ms_per_char: float = Field(60.0, gt=0)
        first_chunk_ms: float = Field(0.0, ge=0)
        """Delay before the first chunk."""
        amplitude: float = Field(0.1, gt=0, le=1)
        rate_hz: int = Field(16_000, ge=8_000, le=48_000)

    def __init__(self, spec: EngineSpec, options: Options) -> None:
        super().__init__(spec)
        self._options = options
        self.sample_rate_hz = options.rate_hz
        self._plan = FailurePlan(spec.url, options)

    def synthesize(self, text: str, cancel: Cancel) -> Iterator[Pcm]:
        if not any(char.isalnum() for char in text) or pause(self._options.first_chunk_ms / 1000, cancel):
            return
        self._plan.check()
        total = round(self.sample_rate_hz * len(text) * self._options.ms_per_char / 1000)
        step = self.sample_rate_hz * CHUNK_MS // 1000
        for start in range(0, total, step):
            if cancel.is_set():
                return
            yield self._tone(start, min(start + step, total))

    def _tone(self, start_sample: int, stop_sample: int) -> Pcm:
        phase = 2 * np.pi * TONE_HZ / self.sample_rate_hz * np.arange(start_sample, stop_sample)
        tone: Pcm = (np.sin(phase) * (self._options.amplitude * 32767)).astype(np.int16)
        return tone
