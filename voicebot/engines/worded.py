"""Models of random weights with the words that they should have said: for measuring whole calls at true speed.

The engine behind does all of its work; only its words are replaced. So a call with models of the true shape goes as it
would with the true weights: the recogniser's words decide how long is waited, the reply has clauses of usual length.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import cycle
from typing import Any

from pydantic import Field, model_validator

from voicebot.core.audio import SPEECH_RATE_HZ
from voicebot.engines.base import (
    BatchChunks,
    BatchedEngine,
    CachesPrompts,
    Cancel,
    EarlySttStream,
    Kind,
    LlmChunk,
    LlmDone,
    LlmEngine,
    LlmRequest,
    Locality,
    Pcm,
    SttEngine,
    SttStream,
    TextDelta,
    Transcript,
)
from voicebot.engines.options import DriverOptions, EngineSpec
from voicebot.errors import ConfigError

TOKEN_CHARS = 4
"""Of English, as the vocabularies of the models that are measured cut it."""


class WordedStt:
    """The recogniser of `engine`; heard is the `text` whose `ms` of speech are nearest to what was given."""

    locality: Locality = "local"
    max_concurrency = 1

    class Options(DriverOptions):
        engine: str
        """The engine's own URL, percent-encoded."""
        text: tuple[str, ...] = Field(min_length=1)
        ms: tuple[float, ...] = ()
        """How long each text is when it is spoken; needed with more than one."""
        lead_ms: float = Field(0.0, ge=0)
        """How much is given before the first word."""

        @model_validator(mode="after")
        def _one_length_each(self) -> WordedStt.Options:
            if len(self.text) > 1 and len(self.ms) != len(self.text):
                raise ValueError(f"{len(self.text)} texts need {len(self.text)} lengths in ms, not {len(self.ms)}")
            return self

    def __init__(self, spec: EngineSpec, options: Options) -> None:
        self._options = options
        self._inner: SttEngine = _inner("stt", options.engine, spec)
        self._next = 0
        """Of the texts: the one after that which was heard last, as callers say them in turn."""
        self.max_concurrency = self._inner.max_concurrency

    @property
    def name(self) -> str:
        return f"{self._inner.name} (given words)"

    def load(self) -> None:
        """Raises: EngineUnavailable."""
        self._inner.load()

    def close(self) -> None:
        self._inner.close()

    def transcribe(self, pcm: Pcm, cancel: Cancel, narrowband: bool = False) -> Transcript:
        heard = self._inner.transcribe(pcm, cancel, narrowband)
        return heard if cancel.is_set() else self.heard(len(pcm))

    def open_stream(self, narrowband: bool = False) -> SttStream | None:
        stream = self._inner.open_stream(narrowband)
        return None if stream is None else WordedStream(self, stream)

    def heard(self, samples: int) -> Transcript:
        """The text that is nearest to so much speech."""
        lengths = self._options.ms or (0.0,)
        nearest = min(range(len(lengths)), key=lambda at: abs(lengths[at] - self._spoken_ms(samples)))
        self._next = (nearest + 1) % len(lengths)
        return Transcript(self._options.text[nearest])

    def begun(self, samples: int) -> str:
        """The words that would be over by then, of the text that is to come next; "" where lengths are not given."""
        if not self._options.ms:
            return ""
        words = self._options.text[self._next].split()
        share = self._spoken_ms(samples) / self._options.ms[self._next]
        return " ".join(words[: int(len(words) * min(1.0, share))])

    def _spoken_ms(self, samples: int) -> float:
        return max(0.0, samples * 1000 / SPEECH_RATE_HZ - self._options.lead_ms)


class WordedStream:
    """One utterance. Its partial words are as many as the engine's own latest partial transcript is of."""

    def __init__(self, engine: WordedStt, inner: SttStream) -> None:
        self._engine = engine
        self._inner = inner
        self._samples = 0
        self.told_samples = 0

    def feed(self, pcm: Pcm) -> str:
        self._samples += len(pcm)
        self._inner.feed(pcm)
        if isinstance(self._inner, EarlySttStream):
            self.told_samples = self._inner.told_samples
        return self._engine.begun(self.told_samples)

    def note_silence(self, samples: int) -> None:
        if isinstance(self._inner, EarlySttStream):
            self._inner.note_silence(samples)

    def finish(self) -> Transcript:
        self._inner.finish()
        return self._engine.heard(self._samples)

    def abandon(self) -> None:
        self._inner.abandon()


class WordedLlm:
    """The language model of `engine`; each of its tokens becomes the next four characters of the next `reply`."""

    locality: Locality = "local"

    class Options(DriverOptions):
        engine: str
        reply: tuple[str, ...] = Field(min_length=1)

    def __init__(self, spec: EngineSpec, options: Options) -> None:
        self._inner: LlmEngine = _inner("llm", options.engine, spec)
        self._replies = cycle(options.reply)
        self.max_concurrency = self._inner.max_concurrency
        self.batch_size: int = getattr(self._inner, "batch_size", 1)

    @property
    def name(self) -> str:
        return f"{self._inner.name} (given words)"

    @property
    def caches_prompts(self) -> bool:
        """As the engine behind."""
        return isinstance(self._inner, CachesPrompts) and self._inner.caches_prompts

    def load(self) -> None:
        """Raises: EngineUnavailable."""
        self._inner.load()

    def close(self) -> None:
        self._inner.close()

    def step(self) -> bool:
        """As the engine behind, which works on several requests at once or on one."""
        return isinstance(self._inner, BatchedEngine) and self._inner.step()

    def generate(self, request: LlmRequest, cancel: Cancel) -> Iterator[LlmChunk]:
        if not request.sampling.max_tokens:
            return self._inner.generate(request, cancel)
        reply = next(self._replies)
        tokens = [reply[at : at + TOKEN_CHARS] for at in range(0, len(reply), TOKEN_CHARS)]
        sampling = replace(request.sampling, max_tokens=len(tokens))
        return WordedChunks(tokens, self._inner.generate(replace(request, sampling=sampling), cancel))


class WordedChunks:
    """A chunk of random text stands for one token; what the model did not come to say is said at its end."""

    def __init__(self, tokens: Sequence[str], made: Iterator[LlmChunk]) -> None:
        self._tokens = deque(tokens)
        self._made = made
        self._waiting: deque[LlmChunk] = deque()

    @property
    def ready(self) -> bool:
        """Whether the next chunk is there without work."""
        return bool(self._waiting) or not isinstance(self._made, BatchChunks) or self._made.ready

    def __iter__(self) -> Iterator[LlmChunk]:
        return self

    def __next__(self) -> LlmChunk:
        while not self._waiting:
            chunk = next(self._made)
            if isinstance(chunk, TextDelta) and self._tokens:
                self._waiting.append(TextDelta(self._tokens.popleft()))
            elif isinstance(chunk, LlmDone):
                self._waiting += [TextDelta(token) for token in self._tokens]
                self._waiting.append(replace(chunk, finish_reason="stop", mean_logprob=math.nan, min_logprob=math.nan))
        return self._waiting.popleft()


def _inner(kind: Kind, url: str, spec: EngineSpec) -> Any:
    """Raises: ConfigError, also for a remote engine: nothing may leave behind a driver that calls itself local."""
    from voicebot.engines.registry import create

    if url.startswith("worded:"):
        raise ConfigError(f"{spec.url}: engine= names the engine whose words are replaced, not worded:// again")
    inner = create(kind, url, spec.models_dir)
    if inner.locality != "local":
        raise ConfigError(f"{spec.url}: {inner.name} is remote; worded:// takes engines of this machine only")
    return inner
