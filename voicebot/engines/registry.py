"""Engine URLs to drivers: `parse` reads a URL, `create` builds the driver it names, unloaded.

A driver's module is imported only when one of its engines is created, and its library only in `load()`.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Literal, overload
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from voicebot.engines.base import KINDS, Engine, Kind, LlmEngine, SttEngine, TtsEngine, TurnEngine, VadEngine
from voicebot.engines.options import MODELS_DIR, EngineSpec, parse_options
from voicebot.engines.remote import RemoteLlm
from voicebot.errors import ConfigError

DRIVERS: dict[tuple[Kind, str], str] = {
    ("vad", "silero"): "voicebot.engines.silero:SileroVad",
    ("vad", "scripted"): "voicebot.engines.scripted:ScriptedVad",
    ("stt", "pocketsphinx"): "voicebot.engines.pocketsphinx:PocketSphinxStt",
    ("stt", "whisper"): "voicebot.engines.whisper:WhisperStt",
    ("stt", "moonshine"): "voicebot.engines.moonshine:MoonshineStt",
    ("stt", "worded"): "voicebot.engines.worded:WordedStt",
    ("stt", "scripted"): "voicebot.engines.scripted:ScriptedStt",
    ("turn", "text"): "voicebot.engines.turn_text:TextTurn",
    ("turn", "smart"): "voicebot.engines.turn_smart:SmartTurn",
    ("turn", "fused"): "voicebot.engines.turn_fused:FusedTurn",
    ("llm", "llama"): "voicebot.engines.llamacpp:LlamaLlm",
    ("llm", "openai"): "voicebot.engines.openai_chat:OpenAiLlm",
    ("llm", "anthropic"): "voicebot.engines.anthropic_messages:AnthropicLlm",
    ("llm", "worded"): "voicebot.engines.worded:WordedLlm",
    ("llm", "scripted"): "voicebot.engines.scripted_llm:ScriptedLlm",
    ("tts", "espeak"): "voicebot.engines.espeak:EspeakTts",
    ("tts", "piper"): "voicebot.engines.piper:PiperTts",
    ("tts", "scripted"): "voicebot.engines.scripted:ScriptedTts",
}
"""(kind, scheme) -> "module:Class". The class takes (spec, options) and has an `Options` model."""

SECRET_OPTIONS = frozenset({"key", "api_key", "apikey", "token", "password", "secret"})


def schemes(kind: Kind) -> list[str]:
    """The schemes that have a driver of this kind, sorted."""
    return sorted(scheme for of_kind, scheme in DRIVERS if of_kind == kind)


def parse(kind: Kind, url: str, models_dir: Path = MODELS_DIR) -> EngineSpec:
    """Read an engine URL. Options are checked by `create`.

    Raises: ConfigError for an unknown kind or scheme, text that is not a URL, or a secret inside it.
    """
    if kind not in KINDS:
        raise ConfigError(f"unknown engine kind {kind!r}; known: {', '.join(KINDS)}")
    try:
        parts = urlsplit(url)
        options = parse_qs(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError as error:
        raise ConfigError(f"{kind} engine URL {url!r} does not parse: {error}") from error
    _refuse_secrets(kind, parts, options)
    if "://" not in url:
        raise ConfigError(f"{kind} engine {url!r} is not a URL; write it as {schemes(kind)[0]}://...")
    if (kind, parts.scheme) not in DRIVERS:
        raise ConfigError(_unknown_scheme(kind, parts.scheme, url))
    target = unquote(parts.netloc + parts.path)
    return EngineSpec(kind, parts.scheme, target, {k: tuple(v) for k, v in options.items()}, url, models_dir)


def _refuse_secrets(kind: Kind, parts: SplitResult, options: dict[str, list[str]]) -> None:
    """Keys belong in the environment: URLs end up in logs, traces and on the page. The URL is not repeated here."""
    named = sorted(SECRET_OPTIONS & {name.lower() for name in options})
    if "@" in parts.netloc or named:
        what = f"option {named[0]!r}" if named else "a user or password before '@'"
        raise ConfigError(
            f"the {kind} engine URL ({parts.scheme}://...) holds a secret: {what}. Put the key in an environment "
            "variable and name it with key_env=NAME"
        )


def _unknown_scheme(kind: Kind, scheme: str, url: str) -> str:
    others = sorted(of_kind for of_kind, known in DRIVERS if known == scheme)
    if others:
        return f"{url}: {scheme} is a {' or '.join(others)} engine, not {kind}; {kind} engines: {_listed(kind)}"
    return f"{url}: unknown {kind} engine {scheme!r}; known: {_listed(kind)}"


def _listed(kind: Kind) -> str:
    return ", ".join(f"{scheme}://" for scheme in schemes(kind))


@overload
def create(kind: Literal["vad"], url: str, models_dir: Path = ...) -> VadEngine: ...
@overload
def create(kind: Literal["stt"], url: str, models_dir: Path = ...) -> SttEngine: ...
@overload
def create(kind: Literal["turn"], url: str, models_dir: Path = ...) -> TurnEngine: ...
@overload
def create(kind: Literal["llm"], url: str, models_dir: Path = ...) -> LlmEngine: ...
@overload
def create(kind: Literal["tts"], url: str, models_dir: Path = ...) -> TtsEngine: ...
@overload
def create(kind: Kind, url: str, models_dir: Path = ...) -> Engine: ...
def create(kind: Kind, url: str, models_dir: Path = MODELS_DIR) -> Engine:
    """The driver that `url` names, constructed and not loaded.

    Raises: ConfigError as `parse` does, and for an unknown option or a bad value.
    """
    spec = parse(kind, url, models_dir)
    module, _, name = DRIVERS[kind, spec.scheme].partition(":")
    return build(getattr(importlib.import_module(module), name), spec)


def build(driver: type[Any], spec: EngineSpec) -> Engine:
    """Construct a driver class. A driver that does not say where it works is refused: privacy rests on it.

    A remote language model comes locked: see `engines.remote`. Raises: ConfigError.
    """
    engine = driver(spec, parse_options(driver.Options, spec))
    locality = getattr(engine, "locality", None)
    if locality not in ("local", "remote"):
        raise ConfigError(f"{driver.__name__} ({spec.url}) does not declare its locality; it must be local or remote")
    made: Engine = RemoteLlm(engine) if locality == "remote" and spec.kind == "llm" else engine
    return made
