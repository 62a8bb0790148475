"""The callers of a scripted evening: they speak with a voice, wait for their turn, and write down what they hear when.

Times are of the event loop's clock, in seconds. "Audible" is a sample over -50 dBFS at the caller's ear.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np

from voicebot.core.audio import SPEECH_RATE_HZ, resampler
from voicebot.engines.base import Cancel, Locality, Pcm, SttStream, Transcript, TtsEngine
from voicebot.engines.options import DriverOptions, EngineSpec
from voicebot.transports.base import CallPort
from voicebot.transports.loopback import AUDIBLE_LEVEL, LoopbackTransport

VOICES = ("m3", "f2", "m1", "f4")
KEY_SAMPLES, KEY_STEP = 24, 320
"""A recording is known by pieces of 1.5 ms, one every 20 ms."""
ANSWER_S = 12.0
"""A turn without any answer by then is lost."""
PAUSE_S = (0.3, 1.5)
"""From the end of the bot's words to the next of the caller's."""
AT_ONCE_S = (0.05, 0.2)
"""The same for who has changed their mind."""


@dataclass(frozen=True, slots=True)
class Line:
    """Something a caller says: `kind` of the script, and its recording, int16[n] at 16 kHz."""

    kind: str
    text: str
    pcm: Pcm


def record(tts: TtsEngine, kind: str, text: str, rng: np.random.Generator) -> Line:
    """Speech by a voice of this machine, without the silence around it; a little noise makes each recording its own."""
    converter = resampler(tts.sample_rate_hz, SPEECH_RATE_HZ)
    pieces = [converter.push(pcm) for pcm in tts.synthesize(text, _Never())] + [converter.flush()]
    pcm = np.concatenate(pieces)
    loud = np.flatnonzero(np.abs(pcm.astype(np.int32)) >= AUDIBLE_LEVEL)
    cut = pcm[loud[0] : loud[-1] + 1]
    return Line(kind, text, (cut + rng.integers(-9, 10, len(cut))).clip(-32768, 32767).astype(np.int16))


class _Never:
    def is_set(self) -> bool:
        return False


class ToldStt:
    """`told://?delay_ms=90`: knows the recordings, and gives back the words of them that it was given.

    So a run measures the brain and not a recogniser; its delay stands for one.
    """

    locality: Locality = "local"
    max_concurrency = 2
    name = "told"
    lines: Sequence[Line] = ()
    """Set before it is loaded."""

    class Options(DriverOptions):
        delay_ms: float = 90.0

    def __init__(self, _spec: EngineSpec, options: Options) -> None:
        self._delay_s = options.delay_ms / 1000
        self._keys: dict[bytes, tuple[int, float] | None] = {}

    def load(self) -> None:
        for number, line in enumerate(self.lines):
            for at in range(0, len(line.pcm) - KEY_SAMPLES, KEY_STEP):
                key = line.pcm[at : at + KEY_SAMPLES].tobytes()
                self._keys[key] = None if key in self._keys else (number, (at + KEY_STEP) / len(line.pcm))
        self._keys = {key: found for key, found in self._keys.items() if found is not None}

    def close(self) -> None:
        """There is nothing to free."""

    def open_stream(self, narrowband: bool = False) -> SttStream | None:
        return None

    def transcribe(self, pcm: Pcm, cancel: Cancel, narrowband: bool = False) -> Transcript:
        began = time.monotonic()
        told = dict(self._found(pcm))
        words = []
        for number, share in told.items():
            of_line = self.lines[number].text.split()
            words += of_line[: len(of_line) if share > 0.93 else math.ceil(share * len(of_line))]
        while time.monotonic() - began < self._delay_s and not cancel.is_set():
            time.sleep(0.005)
        return Transcript(" ".join(words))

    def _found(self, pcm: Pcm) -> Iterator[tuple[int, float]]:
        """Recordings in the order heard, each with how far it goes."""
        raw, size = pcm.tobytes(), 2 * KEY_SAMPLES
        for at in range(0, len(raw) - size, 2):
            if (found := self._keys.get(raw[at : at + size])) is not None:
                yield found


@dataclass(slots=True)
class Said:
    """One line as it was said."""

    line: Line
    start_s: float
    stop_s: float = math.nan


class EveningCaller(LoopbackTransport):
    """One caller with a script. Implements `calls.CallTransport`."""

    def __init__(self, lines: Sequence[Line], rng: Random) -> None:
        super().__init__()
        self._lines = lines
        self._rng = rng
        self.said: list[Said] = []
        self.log: list[tuple[float, Mapping[str, Any]]] = []
        """Every event of the page's channel, and when it came."""
        self.state = ""
        self._news = asyncio.Event()

    async def run(self, port: CallPort | None = None) -> None:
        assert port is not None
        self.attach(port)
        async with asyncio.TaskGroup() as group:
            wire = group.create_task(super().run())
            await self._talk()
            self.hang_up()
            await wire

    def send_event(self, event: dict[str, Any]) -> None:
        self.log.append((asyncio.get_running_loop().time(), event))
        if event["type"] == "state":
            self.state = event["state"]
        self._news.set()

    async def _talk(self) -> None:
        for line in self._lines:
            await self._silence(self._rng.uniform(*(AT_ONCE_S if line.kind == "withdrawn" else PAUSE_S)))
            await self._say(line)
            await self._answered()
        deadline = self._clock() + ANSWER_S
        while self._pending() and self._clock() < deadline:
            await self._wait(0.2)
        await self._silence(1.0)

    async def _silence(self, seconds: float) -> None:
        """Until the bot has been silent for so long: what a polite caller waits for."""
        since = self._clock()
        while self._clock() - since < seconds:
            if self.state not in ("listening", ""):
                since = self._clock() + 0.02
            await self._wait(0.02)

    async def _say(self, line: Line) -> None:
        said = Said(line, self._clock())
        self.said.append(said)
        self.say(line.pcm)
        while self.speech_stop_s is None:  # noqa: ASYNC110 - the wire has no event for it
            await asyncio.sleep(0.02)
        said.stop_s = self.speech_stop_s

    async def _answered(self) -> None:
        """Until an answer has been heard to its end, or none has come."""
        deadline = self._clock() + ANSWER_S
        while self.state != "speaking" and self._clock() < deadline:
            await self._wait(0.05)

    async def _wait(self, seconds: float) -> None:
        self._news.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return

    def _pending(self) -> bool:
        states = {event["errand"]: event["state"] for _, event in self.log if event["type"] == "errand"}
        return any(state in ("pending", "ready", "speaking") for state in states.values())


@dataclass(slots=True)
class Ear:
    """What one caller heard, piece by piece: `loud` are the times at which something was audible (every 20 ms)."""

    caller: EveningCaller
    loud: list[float] = field(init=False)

    def __post_init__(self) -> None:
        pieces = self.caller.heard
        self.loud = [piece.at_s for piece in pieces if np.abs(piece.pcm.astype(np.int32)).max() >= AUDIBLE_LEVEL]

    def first_after(self, at_s: float) -> float:
        return next((one for one in self.loud if one >= at_s - 1e-6), math.nan)

    def last_before(self, at_s: float) -> float:
        return next((one + 0.02 for one in reversed(self.loud) if one < at_s - 1e-6), -math.inf)

    def into_a_line(self, at_s: float) -> float:
        """How long the caller has been speaking then; 0 in silence."""
        return max((at_s - one.start_s for one in self.caller.said if one.start_s <= at_s < one.stop_s), default=0.0)

    def last_said(self, at_s: float) -> float:
        return max((one.stop_s for one in self.caller.said if one.stop_s <= at_s), default=-math.inf)
