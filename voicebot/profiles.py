"""Profiles: which engines run when the settings name none, and why, in words for the operator.

    embedded  Silero, PocketSphinx, the talker in models/, eSpeak NG: runs with nothing downloaded
    local     Silero, faster-whisper, a larger GGUF, Piper: where those models have been pulled
    gpu       the same as local, on CUDA
    auto      local where its models are present, else embedded

An engine URL in the settings always wins over the profile's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from voicebot.config import Config, EnginesConfig, home_dir
from voicebot.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parent
TALKER = Path("talker") / "talker.gguf"
WHISPER = "base.en"
_ADVICE = "put one there, set engines.stt, engines.llm and engines.tts, or use --profile embedded"
_FIRST_TO_PULL = {"stt": WHISPER, "llm": "qwen3-0.6b", "tts": "en_US-lessac-medium"}
"""The model that each kind's missing one is best begun with, on two cores."""
KINDS = ("vad", "stt", "llm", "tts")


@dataclass(frozen=True, slots=True)
class Resolved:
    """What will run. `engines` has a URL for each of vad, stt, llm and tts; `reasons` are sentences."""

    profile: str
    engines: EnginesConfig
    reasons: list[str]
    models_dir: Path
    shipped_talker: bool
    """Whether the language model is the one that came with the product."""


def models_dir(env: Mapping[str, str] | None = None) -> Path:
    """Where pulled models live: VOICEBOT_MODELS, else `models` in the state directory."""
    named = (os.environ if env is None else env).get("VOICEBOT_MODELS")
    return Path(named).expanduser() if named else home_dir(env) / "models"


def resolve_profile(config: Config, pulled: Path | None = None, shipped: Path | None = None) -> Resolved:
    """Choose the engines. `pulled`: models fetched by the operator; `shipped`: those that came with the product.

    Raises: ConfigError where a model of the profile is missing and no engine URL stands in for it.
    """
    pulled = models_dir() if pulled is None else pulled
    given = {kind: getattr(config.engines, kind) for kind in KINDS}
    profile, reasons = config.profile, []
    local = _local_engines(pulled, cuda=profile == "gpu")
    missing = [kind for kind in KINDS if given[kind] is None and local[kind] is None]
    if profile == "auto":
        profile = "local" if not missing and None in given.values() else "embedded"
        reasons.append(_why(profile, missing, given, pulled))
    if profile == "embedded":
        chosen = _embedded_engines(shipped, wanted=given["llm"] is None)
    elif missing:
        raise ConfigError(f"the {profile} profile has no {_names(missing)} model in {pulled}; {_ADVICE}")
    else:
        chosen = local
    urls = {kind: given[kind] or chosen[kind] for kind in KINDS}
    reasons += [f"{kind} is set to {given[kind]}" for kind in KINDS if given[kind]]
    shipped_talker = profile == "embedded" and given["llm"] is None
    engines = EnginesConfig(**urls)
    return Resolved(profile, engines, reasons, pulled, shipped_talker)


def _why(profile: str, missing: list[str], given: Mapping[str, str | None], pulled: Path) -> str:
    if None not in given.values():
        return "every engine is set by hand, so the profile decides nothing"
    if profile == "local":
        return f"local, because all of its models are in {pulled}"
    command = f"voicebot models pull {_FIRST_TO_PULL[missing[0]]}"
    return f"embedded, because there is no {_names(missing)} model in {pulled}; `{command}` brings the first"


def _names(kinds: list[str]) -> str:
    return " or ".join(filter(None, (", ".join(kinds[:-1]), kinds[-1])))


def _embedded_engines(shipped: Path | None, wanted: bool) -> dict[str, str | None]:
    talker = find_talker(shipped) if wanted else None
    return {
        "vad": "silero://",
        "stt": "pocketsphinx://",
        "llm": f"llama://{talker}" if talker else None,
        "tts": "espeak://en-us",
    }


def find_talker(shipped: Path | None = None) -> Path:
    """The shipped talker: in `shipped`, else in the package, else beside it in the repository. Raises: ConfigError."""
    roots = [shipped] if shipped else [_PACKAGE / "models", _PACKAGE.parent / "models"]
    for root in roots:
        if (root / TALKER).is_file():
            return root / TALKER
    raise ConfigError(
        f"the talker model {TALKER} is not in {' or '.join(str(root) for root in roots)}; "
        "make it with `make talker`, or set engines.llm to another model"
    )


def _local_engines(pulled: Path, cuda: bool) -> dict[str, str | None]:
    """URL of each engine whose model has been pulled, None for the others."""
    whisper = pulled / "whisper" / WHISPER
    gguf = next(iter(sorted((pulled / "llm").rglob("*.gguf"))), None)
    voice = next(iter(sorted((pulled / "piper").rglob("*.onnx"))), None)
    return {
        "vad": "silero://",
        "stt": f"whisper://{whisper}{'?device=cuda' * cuda}" if (whisper / "model.bin").is_file() else None,
        "llm": f"llama://{gguf}{'?gpu_layers=-1' * cuda}" if gguf else None,
        "tts": f"piper://{voice}" if voice else None,
    }
