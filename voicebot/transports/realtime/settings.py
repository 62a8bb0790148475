"""The session object of the Realtime protocol: what a client may set, how an update is merged, what we do with it.

Rules:
1. An update is merged into what there is and validated whole; one that is refused changes nothing.
2. What we have only one of (model, voice, recogniser) may be asked for by any name: the session shows what it gets.
3. What would change the talk and cannot be done is refused, with its name.
4. Beta names of old clients are understood everywhere.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from voicebot.core.client_events import TurnsSet
from voicebot.core.settings import TurnSettings
from voicebot.core.wishes import Wishes
from voicebot.transports.realtime.refusals import Refused, refused
from voicebot.transports.telephony.codecs import ALAW, LINEAR, MULAW, Codec

RATE_HZ = 24_000
"""Of "audio/pcm", and of all playout of these calls."""
INSTRUCTIONS_LIMIT = 64 * 1024
TOOLS_LIMIT = 128
EAGER_WAIT_MS = {"low": 8000, "medium": 4000, "high": 2000}
"""The longest silence that a doubtful ending is given. Source: OpenAI's reference of semantic_vad; "auto" is ours."""
_CODECS: dict[str, tuple[Codec, int]] = {
    "audio/pcm": (LINEAR, RATE_HZ),
    "audio/pcmu": (MULAW, 8_000),
    "audio/pcma": (ALAW, 8_000),
}
BETA_FORMATS = {"pcm16": "audio/pcm", "g711_ulaw": "audio/pcmu", "g711_alaw": "audio/pcma"}
_BETA_PLACES = {
    "modalities": ("output_modalities",),
    "input_audio_format": ("audio", "input", "format"),
    "output_audio_format": ("audio", "output", "format"),
    "input_audio_transcription": ("audio", "input", "transcription"),
    "input_audio_noise_reduction": ("audio", "input", "noise_reduction"),
    "turn_detection": ("audio", "input", "turn_detection"),
    "voice": ("audio", "output", "voice"),
    "speed": ("audio", "output", "speed"),
    "max_response_output_tokens": ("max_output_tokens",),
}


M = TypeVar("M", bound=BaseModel)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AudioFormat(_Part):
    """One of the three encodings."""

    type: Literal["audio/pcm", "audio/pcmu", "audio/pcma"] = "audio/pcm"
    rate: int | None = None

    @field_validator("rate")
    @classmethod
    def _only_rate(cls, rate: int | None, info: Any) -> int | None:
        only = _CODECS[info.data.get("type", "audio/pcm")][1]
        if rate not in (None, only):
            raise ValueError(f"only {only} Hz is supported")
        return rate

    @property
    def codec(self) -> Codec:
        return _CODECS[self.type][0]

    @property
    def rate_hz(self) -> int:
        return _CODECS[self.type][1]

    def shown(self) -> dict[str, Any]:
        return {"type": self.type} | ({"rate": RATE_HZ} if self.type == "audio/pcm" else {})


class _Optional(_Part):
    """null is the same as left out."""

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, given: Any) -> Any:
        return {name: value for name, value in given.items() if value is not None} if isinstance(given, dict) else given


class _Detection(_Optional):
    create_response: bool = True
    interrupt_response: bool = True


class ServerVad(_Detection):
    """Turns by silence. Without `silence_duration_ms` the server's own rule decides how long."""

    type: Literal["server_vad"]
    threshold: float = Field(0.5, gt=0, lt=1)
    prefix_padding_ms: int = Field(300, ge=0, le=5_000)
    silence_duration_ms: int | None = Field(None, ge=64, le=10_000)
    idle_timeout_ms: None = None

    def turns(self, own: TurnSettings) -> TurnsSet:
        fixed = self.silence_duration_ms
        return TurnsSet(
            True,
            self.create_response,
            self.interrupt_response,
            self.threshold,
            max(0.01, self.threshold - (own.speech_threshold - own.silence_threshold)),
            self.prefix_padding_ms,
            own.min_wait_ms if fixed is None else fixed,
            own.max_wait_ms if fixed is None else fixed,
        )


class SemanticVad(_Detection):
    """Turns by what is said."""

    type: Literal["semantic_vad"]
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"

    def turns(self, own: TurnSettings) -> TurnsSet:
        return TurnsSet(
            True,
            self.create_response,
            self.interrupt_response,
            own.speech_threshold,
            own.silence_threshold,
            own.lead_in_ms,
            own.min_wait_ms,
            EAGER_WAIT_MS.get(self.eagerness, own.max_wait_ms),
        )


class _Transcription(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")
    language: str | None = None


class _Input(_Part):
    format: AudioFormat = AudioFormat()
    transcription: _Transcription | None = _Transcription()
    noise_reduction: dict[str, Any] | None = None
    turn_detection: Annotated[ServerVad | SemanticVad, Field(discriminator="type")] | None


class _Output(_Optional):
    format: AudioFormat = AudioFormat()
    voice: Any = None
    speed: float = Field(default=1.0, ge=1.0, le=1.0)


class _Audio(_Part):
    input: _Input
    output: _Output = _Output()


class FunctionTool(BaseModel):
    """A tool that the client runs."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    type: Literal["function"]
    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    description: str = ""
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})

    def chat_schema(self) -> dict[str, Any]:
        """As the chat format has it."""
        function = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": function}


class _Wanted(_Optional):
    """What a session and a single response have in common."""

    output_modalities: tuple[Literal["text", "audio"], ...] = ("audio",)
    instructions: str = Field("", max_length=INSTRUCTIONS_LIMIT)
    tools: tuple[FunctionTool, ...] = Field((), max_length=TOOLS_LIMIT)
    tool_choice: Literal["auto", "none"] = "auto"
    parallel_tool_calls: bool | None = None
    max_output_tokens: Annotated[int, Field(ge=1, le=4096)] | Literal["inf"] = "inf"
    prompt: None = None
    reasoning: dict[str, Any] | None = None
    temperature: float | None = Field(None, ge=0, le=2)

    @field_validator("output_modalities")
    @classmethod
    def _one(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        if not given:
            raise ValueError('["audio"] or ["text"] is needed')
        return ("audio",) if "audio" in given else ("text",)

    @property
    def spoken(self) -> bool:
        return self.output_modalities == ("audio",)

    def wishes(self, *more_instructions: str) -> Wishes:
        """For the brain."""
        told = [part for part in (self.instructions, *more_instructions) if part.strip()]
        return Wishes(
            instructions="\n\n".join(told),
            tools=tuple(tool.chat_schema() for tool in self.tools) if self.tool_choice == "auto" else (),
            temperature=self.temperature,
            max_tokens=None if self.max_output_tokens == "inf" else self.max_output_tokens,
        )


class SessionSettings(_Wanted):
    """As validated."""

    type: Literal["realtime"] = "realtime"
    model: str | None = None
    audio: _Audio
    tracing: Any = None
    truncation: Any = None
    include: Any = None

    def turns(self, own: TurnSettings) -> TurnsSet:
        """`own`: the operator's. Text replies are not the turn machine's: it is told not to answer."""
        detection = self.audio.input.turn_detection
        if detection is None:
            return TurnsSet(detect=False, answer=False)
        if self.spoken:
            return detection.turns(own)
        silent = detection.model_copy(update={"create_response": False})
        return silent.turns(own)

    @property
    def answers(self) -> bool:
        detection = self.audio.input.turn_detection
        return detection is not None and detection.create_response

    @property
    def interruptible(self) -> bool:
        detection = self.audio.input.turn_detection
        return detection is not None and detection.interrupt_response


class ResponseSettings(_Wanted):
    """What `response.create` may carry, over the session's settings."""

    audio: Any = None
    conversation: Literal["auto", "none"] = "auto"
    input: tuple[dict[str, Any], ...] | None = Field(None, max_length=256)
    metadata: dict[str, str] | None = Field(None, max_length=16)


def first_settings() -> SessionSettings:
    """Of a session that nobody has configured."""
    return SessionSettings.model_validate({"audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}})


def updated(settings: SessionSettings, given: Any) -> SessionSettings:
    """The settings after a `session.update` with this session object. Raises: Refused."""
    if not isinstance(given, dict):
        raise Refused("'session' must be an object", "missing_required_parameter", "session")
    return _validated(SessionSettings, _merged(settings.model_dump(), _modern(given)), "session")


def for_response(settings: SessionSettings, given: Any) -> ResponseSettings:
    """What a `response.create` asks for. Raises: Refused."""
    if not isinstance(given, dict):
        raise Refused("'response' must be an object", "invalid_value", "response")
    common = settings.model_dump(include=set(_Wanted.model_fields))
    given = {name: value for name, value in _modern(given).items() if value is not None}
    return _validated(ResponseSettings, common | given, "response")


def _modern(given: dict[str, Any]) -> dict[str, Any]:
    """The object with beta names put where they belong now."""
    modern: dict[str, Any] = {}
    for name, value in given.items():
        if name in _BETA_PLACES:
            if name.endswith("audio_format") and isinstance(value, str):
                value = {"type": BETA_FORMATS.get(value, value)}
            for part in reversed(_BETA_PLACES[name]):
                value = {part: value}
            modern = _merged(modern, value)
        elif name not in ("id", "object", "expires_at", "client_secret"):
            modern = _merged(modern, {name: value})
    return modern


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Objects are merged along `audio`, `audio.input` and `audio.output`; everything else is replaced."""
    merged = dict(old)
    for name, value in new.items():
        before = merged.get(name)
        if name in ("audio", "input", "output") and isinstance(before, dict) and isinstance(value, dict):
            merged[name] = _merged(before, value)
        else:
            merged[name] = value
    return merged


def _validated(kind: type[M], given: dict[str, Any], within: str) -> M:
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise refused(error, within) from None
