"""What every engine driver must offer, and nothing about how calls use it.

Rules of this folder:
1. A driver knows ONE library and imports it in `load()`, never at module import.
2. Methods block. They run on the engine's lane (see `voicebot/lane.py`); only `VadStream` runs on the loop.
3. PCM is int16[n], mono. Speech in is 16 kHz; speech out has the driver's own `sample_rate_hz`.
4. Foreign exceptions become `EngineError`s here, once.
5. A driver says where it works: `locality` is "local" (this machine) or "remote"; without it it cannot load.
6. Cancellation is cooperative: a driver looks at `cancel.is_set()` between tokens or chunks and returns early;
   what it yielded before stands, and it stays usable.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

from voicebot.core.labels import Label

T_co = TypeVar("T_co", covariant=True)
Pcm = npt.NDArray[np.int16]
"""Samples, int16[n], mono."""

Locality = Literal["local", "remote"]
Kind = Literal["vad", "stt", "turn", "llm", "tts"]
KINDS: tuple[Kind, ...] = ("vad", "stt", "turn", "llm", "tts")

TURN_AUDIO_S = 8
"""How much of the latest speech an end-of-turn model hears at most."""


class Cancel(Protocol):
    """The side of a cancellation token that a driver reads; `threading.Event` is one."""

    def is_set(self) -> bool: ...


class Engine(Protocol):
    """Life of a driver: constructed cheaply from its URL, loaded on its lane, used, closed on its lane."""

    locality: Locality
    max_concurrency: int
    """How many lane threads may call it at once; 1 for a library whose state has one owner thread."""

    @property
    def name(self) -> str:
        """What people are shown, e.g. "llama talker.gguf" or "whisper base.en"."""
        ...

    def load(self) -> None:
        """Import the library, read the model and do one dummy piece of work, so that the first call is fast.

        Raises: EngineUnavailable, with the path or package at fault and what to do.
        """
        ...

    def close(self) -> None:
        """Free the model. Idempotent; safe when `load` failed."""
        ...


@runtime_checkable
class BatchChunks(Iterator[T_co], Protocol[T_co]):
    """What a BatchedEngine returns for one request. Iterating it works, for every request, until its next chunk."""

    @property
    def ready(self) -> bool:
        """Whether the next chunk, the end or an error is there, so that `next` does not work."""
        ...


@runtime_checkable
class BatchedEngine(Engine, Protocol):
    """An engine that works on several requests in one thread, a step at a time.

    Its methods take a request and return BatchChunks at once. A lane steps it while any request is under way, hands
    over what is ready, and lets new requests join between steps.
    """

    batch_size: int
    """Requests under way at once; more wait in the lane."""

    def step(self) -> bool:
        """Advance every request that can go on, for as short a time as possible. False: none can.

        A request whose token is cancelled is dropped. An error of one request comes out of its own chunks.
        """
        ...


class VadStream(Protocol):
    """One call's voice activity state. Thread: the event loop (about 0.1 ms a window)."""

    def probability(self, window: Pcm) -> float:
        """P(speech) in 0..1 of the next window: int16[512], 16 kHz, in order, none left out."""
        ...

    def reset(self) -> None: ...


class VadEngine(Engine, Protocol):
    def open_stream(self) -> VadStream: ...

    def probabilities(self, streams: Sequence[VadStream], windows: Sequence[Pcm]) -> list[float]:
        """`VadStream.probability` of several different streams of this engine at once, one window each."""
        ...


@dataclass(frozen=True, slots=True)
class Word:
    """A word and where it lies in the PCM that was given, in milliseconds from its first sample."""

    text: str
    start_ms: int
    stop_ms: int


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was heard. `text` is "" for nothing intelligible; guards against invented words are the driver's."""

    text: str
    confidence: float = 1.0
    """0..1, the driver's own estimate; 1.0 where the engine has none."""
    words: tuple[Word, ...] = ()


class SttStream(Protocol):
    """One utterance recognised while it is spoken. Thread: the engine's lane."""

    def feed(self, pcm: Pcm) -> str:
        """Take the next samples and return the partial transcript so far (may be "")."""
        ...

    def finish(self) -> Transcript:
        """End the utterance. The stream is used up."""
        ...

    def abandon(self) -> None:
        """Give the stream back unfinished. Idempotent, also after `finish`."""
        ...


@runtime_checkable
class EarlySttStream(SttStream, Protocol):
    """A stream that can begin what `finish` would do while it is not sure yet that the caller has fallen silent."""

    told_samples: int
    """How much of what was fed the latest partial transcript is of."""

    def note_silence(self, samples: int) -> None:
        """Of what was fed there is nothing to hear in the last `samples`; 0 where the caller goes on."""
        ...


class SttEngine(Engine, Protocol):
    def transcribe(self, pcm: Pcm, cancel: Cancel, narrowband: bool = False) -> Transcript:
        """Recognise one utterance: int16[n], 16 kHz, n > 0. Cancelled: returns Transcript("").

        `narrowband`: the speech came over a telephone, so there is nothing above 4 kHz. Raises: EngineError.
        """
        ...

    def open_stream(self, narrowband: bool = False) -> SttStream | None:
        """A streaming recognition, or None if this driver cannot stream or has no decoder free."""
        ...


class TurnEngine(Engine, Protocol):
    """Judges whether a caller who has fallen silent has finished. Asked once for each draft, in the pause."""

    wants_audio: bool
    """Whether it listens. To one that does not, a call gives no samples, and copies none."""

    def end_probability(self, pcm: Pcm, text: str) -> float:
        """P(the caller has finished), 0..1: how likely no more words come, given that the silence lasts.

        `pcm`: int16[n], 16 kHz, at most the last TURN_AUDIO_S seconds of the turn, the pause so far included; n = 0
        unless `wants_audio`. `text`: the turn's words as recognised, never "". Raises: EngineError.
        """
        ...


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model's wish to run a tool. `arguments` is parsed JSON (an object)."""

    call_id: str
    name: str
    arguments: dict[str, Any]


Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a prompt, in the roles of the OpenAI chat format.

    `label` says where it may go. One that nobody labelled stays on this machine.
    """

    role: Role
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    label: Label = Label.LOCAL_ONLY


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a reply is drawn. Temperature 0 is greedy and deterministic."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 200
    """0: the prompt is only read, so that one which begins like it is answered sooner. For engines with a cache."""
    seed: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next piece of reply text, not yet cut into clauses."""

    text: str


@dataclass(frozen=True, slots=True)
class LlmDone:
    """Always the last chunk of a reply that was not cancelled.

    Token counts are of the model's own tokens; `cached_tokens` of the prompt came from the KV cache.
    Log-probabilities (natural log) are NaN where the engine gives none.
    """

    finish_reason: Literal["stop", "length", "tool_calls"]
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    mean_logprob: float = float("nan")
    min_logprob: float = float("nan")


LlmChunk = TextDelta | ToolCall | LlmDone


@dataclass(frozen=True, slots=True)
class LlmRequest:
    """One generation. `tools` is the OpenAI `tools` list (JSON schema); empty for none.

    `session` names the call, so that a driver can keep that call's prompt prefix in its KV cache.
    `schema`, where given, is a JSON schema: the reply is then one JSON document that fits it, as text, unless
    `max_tokens` cut it (`finish_reason` "length"), and it calls no tool.
    """

    messages: Sequence[Message]
    tools: Sequence[dict[str, Any]] = ()
    sampling: Sampling = field(default_factory=Sampling)
    session: str = ""
    schema: Mapping[str, Any] | None = None


@runtime_checkable
class CachesPrompts(Protocol):
    """What a language model may also offer: what it has read of a call's prompt it need not read again."""

    caches_prompts: bool


class LlmEngine(Engine, Protocol):
    def generate(self, request: LlmRequest, cancel: Cancel) -> Iterator[LlmChunk]:
        """Stream one reply. Cancelled: stops between tokens, without `LlmDone`.

        Raises: EngineBadOutput for a prompt longer than the context, a tool call that does not parse or a schema that
            the engine cannot hold its reply to; EngineTimeout, EngineUnavailable, EngineOverloaded for remote engines.
        """
        ...


@dataclass(frozen=True, slots=True)
class Score:
    """How likely a model holds one choice to be what comes next. Natural log-probabilities, <= 0."""

    tokens: tuple[float, ...]
    """Of each token of the choice, given the prompt and the tokens before it."""

    @property
    def total(self) -> float:
        """Of the choice as a whole. A longer choice is less likely: compare means where lengths differ."""
        return sum(self.tokens)

    @property
    def mean(self) -> float:
        return self.total / len(self.tokens)


@runtime_checkable
class ScoringLlm(LlmEngine, Protocol):
    """A language model that can weigh given answers without writing one. `isinstance` tells whether a driver can."""

    def score(self, request: LlmRequest, choices: Sequence[str], cancel: Cancel) -> Iterator[Score]:
        """One Score for each choice, in order, as the reply to the request's prompt; `sampling` is not used.

        The prompt is evaluated once, and its prefix kept as in `generate`. Run it with `Lane.stream`. Cancelled:
        ends early. Raises: EngineBadOutput for a prompt that does not fit, or a choice that has no tokens.
        """
        ...


@dataclass(frozen=True, slots=True)
class WordsAt:
    """Where words begin in a clause's sound: (number of the word, split at spaces, from 0; its first sample)."""

    starts: tuple[tuple[int, int], ...]


@runtime_checkable
class TimesWords(Protocol):
    """What a TTS engine may also offer: it knows when it says which word."""

    def synthesize_words(self, text: str, cancel: Cancel) -> Iterator[Pcm | WordsAt]:
        """As `synthesize`, with `WordsAt` before the chunk in which its words begin; samples count from the first."""
        ...


class TtsEngine(Engine, Protocol):
    sample_rate_hz: int
    """Known after `load`."""

    def synthesize(self, text: str, cancel: Cancel) -> Iterator[Pcm]:
        """Speak one clause: chunks int16[n] at `sample_rate_hz`, as early as the library gives them.

        Text without anything to speak yields nothing. Raises: EngineError.
        """
        ...
