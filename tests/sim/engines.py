"""Engines of the simulated world. Sound carries its words: a sample's value is the number of the word being spoken.

So a recogniser hears exactly the words that lie in the samples it was given, and the wire knows exactly which words of
which reply were played, sample by sample, without trusting anything in between.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

from voicebot.core.audio import SPEECH_RATE_HZ
from voicebot.engines.base import (
    Cancel,
    LlmChunk,
    LlmDone,
    LlmRequest,
    Pcm,
    TextDelta,
    ToolCall,
    Transcript,
)

NOISE = 500
"""The value of a cough: loud, and no word."""
FIRST_WORD = 1000
GRAIN = 160
"""The recogniser looks at every 10 ms."""
WORDS = tuple(
    """river table seven green window letter garden morning copper silver planet market winter summer circle basket
    number yellow orange little famous gentle simple travel answer bridge castle doctor engine finger guitar hammer
    island jacket kitten lemon mirror needle office pencil rabbit saddle ticket tunnel valley wagon""".split()
)


class CallerWords:
    """The words that the caller said, by sample value."""

    def __init__(self) -> None:
        self._words: list[str] = []

    def say(self, word: str, ms: int) -> Pcm:
        """The sound of a word: int16[n], 16 kHz."""
        self._words.append(word)
        return np.full(ms * SPEECH_RATE_HZ // 1000, FIRST_WORD + len(self._words) - 1, dtype=np.int16)

    def hear(self, pcm: Pcm) -> str:
        """The words of which at least 60 ms lie in the samples."""
        values, counts = np.unique(pcm[::GRAIN], return_counts=True)
        heard = [int(value) for value, count in zip(values, counts, strict=True) if count >= 6]
        return " ".join(self._words[value - FIRST_WORD] for value in heard if value >= FIRST_WORD)


@dataclass(frozen=True, slots=True)
class Spoken:
    """A word that the synthesiser has voiced. `samples` at its rate."""

    text: str
    reply: int
    samples: int


class BotWords:
    """The words that the bot's voice made, by sample value."""

    def __init__(self) -> None:
        self.words: list[Spoken] = [Spoken("", 0, 0)]

    def say(self, text: str, reply: int, samples: int) -> Pcm:
        self.words.append(Spoken(text, reply, samples))
        return np.full(samples, len(self.words) - 1, dtype=np.int16)


def words_in(pcm: Pcm) -> dict[int, int]:
    """Samples of each word in a frame or less of the bot's sound. Words are longer than a frame: mostly it is one."""
    first, last = int(pcm[0]), int(pcm[-1])
    if first == last:
        return {first: len(pcm)}
    of_first, of_last = int((pcm == first).sum()), int((pcm == last).sum())
    if of_first + of_last == len(pcm):
        return {first: of_first, last: of_last}
    values, counts = np.unique(pcm, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


class SimEngine:
    locality = "local"
    max_concurrency = 1

    def __init__(self, name: str, rng: Random) -> None:
        self.name = name
        self.rng = rng

    def load(self) -> None:
        """Nothing to load."""

    def close(self) -> None:
        """Nothing to free."""


class SimVad(SimEngine):
    """Speech is what is loud, with some doubt."""

    def open_stream(self) -> SimVad:
        return self

    def probabilities(self, streams: Sequence[SimVad], windows: Sequence[Pcm]) -> list[float]:
        return [stream.probability(window) for stream, window in zip(streams, windows, strict=True)]

    def probability(self, window: Pcm) -> float:
        if int(window[256]) >= NOISE:
            return self.rng.uniform(0.7, 1.0)
        return self.rng.uniform(0.0, 0.2)

    def reset(self) -> None:
        """It has no memory."""


class SimStt(SimEngine):
    def __init__(self, rng: Random, words: CallerWords, streams: float) -> None:
        """`streams`: the probability that a decoder is free when a stream is asked for."""
        super().__init__("sim stt", rng)
        self.words = words
        self.streams = streams
        self.open = 0
        """Streams opened and not given back."""
        self.narrowband: deque[bool] = deque(maxlen=16)
        """What the latest calls were told of their speech."""
        self.silences: deque[int] = deque(maxlen=100)
        """What the latest streams were told of silence."""

    def transcribe(self, pcm: Pcm, cancel: Cancel, narrowband: bool = False) -> Transcript:
        self.narrowband.append(narrowband)
        return Transcript("" if cancel.is_set() else self.words.hear(pcm), 0.9)

    def open_stream(self, narrowband: bool = False) -> SimSttStream | None:
        self.narrowband.append(narrowband)
        return SimSttStream(self) if self.rng.random() < self.streams else None


class SimSttStream:
    told_samples = 0

    def __init__(self, stt: SimStt) -> None:
        self._stt = stt
        self._pcm: list[Pcm] = []
        self._open = True
        stt.open += 1

    def feed(self, pcm: Pcm) -> str:
        assert self._open, "fed after it was given back"
        self._pcm.append(pcm)
        return self._stt.words.hear(np.concatenate(self._pcm))

    def note_silence(self, samples: int) -> None:
        assert self._open, "told after it was given back"
        fed = sum(len(pcm) for pcm in self._pcm)
        assert 0 <= samples <= fed, f"{samples} of {fed} samples"
        self._stt.silences.append(samples)

    def finish(self) -> Transcript:
        assert self._open, "finished after it was given back"
        return Transcript(self._stt.words.hear(np.concatenate(self._pcm)) if self._pcm else "", 0.9)

    def abandon(self) -> None:
        if self._open:
            self._open = False
            self._stt.open -= 1


class SimLlm(SimEngine):
    """Says or does something at random; a result that a tool did not speak itself is answered in words."""

    caches_prompts = True

    def __init__(self, rng: Random) -> None:
        super().__init__("sim llm", rng)
        self._calls = 0

    def generate(self, request: LlmRequest, cancel: Cancel) -> Iterator[LlmChunk]:
        if not request.sampling.max_tokens:
            yield LlmDone("length")
            return
        phrasing = request.messages[-1].role == "tool"
        kind = self.rng.choices(("text", "tools", "both", "nothing", "unsayable"), (70, 22, 5, 2, 1))[0]
        if kind in ("text", "both") or (phrasing and self.rng.random() < 0.8):
            yield from (TextDelta(piece) for piece in self._pieces())
        if kind in ("tools", "both"):
            yield from (self._tool() for _ in range(self.rng.choice((1, 1, 2))))
        if kind == "unsayable":
            yield TextDelta("*** \U0001f600 ...")
        if not cancel.is_set():
            yield LlmDone("stop")

    def _pieces(self) -> Iterator[str]:
        for _ in range(self.rng.choice((1, 1, 2, 3, 6))):
            words = self.rng.choices(WORDS, k=self.rng.randint(1, 14))
            if len(words) > 6 and self.rng.random() < 0.5:
                words[3] += ","
            yield " ".join(words) + self.rng.choice(".?!") + " "

    def _tool(self) -> ToolCall:
        self._calls += 1
        name, arguments = self.rng.choice(_CALLS)
        return ToolCall(f"call_{self._calls}", name, dict(arguments))


_CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("get_time", {}),
    ("calculate", {"expression": "two plus two"}),
    ("set_volume", {"level": "30"}),
    ("set_volume", {"level": "80"}),
    ("set_timer", {"duration": "three seconds"}),
    ("no_such_tool", {"x": 1}),
    ("set_timer", {"wrong": "argument"}),
)


class SimTts(SimEngine):
    """Each word lasts as long as its letters; `lane` tells whose reply is being voiced."""

    CHAR_MS = 50

    def __init__(self, rng: Random, words: BotWords, rate_hz: int) -> None:
        super().__init__("sim tts", rng)
        self.sample_rate_hz = rate_hz
        self.words = words
        self.chunk_ms = rng.choice((100, 250, 1000))
        self.owner = lambda: 0

    def synthesize(self, text: str, cancel: Cancel) -> Iterator[Pcm]:
        if not any(char.isalnum() for char in text):
            return
        char_samples = self.CHAR_MS * self.sample_rate_hz // 1000
        sounds = [self.words.say(word, self.owner(), (len(word) + 1) * char_samples) for word in text.split(" ")]
        sound = np.concatenate(sounds)
        step = self.chunk_ms * self.sample_rate_hz // 1000
        for start in range(0, len(sound), step):
            if cancel.is_set():
                return
            yield sound[start : start + step]
