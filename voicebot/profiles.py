"""Profiles: which engines run when the settings name none, and why, in words for the operator.

    embedded  Silero, PocketSphinx, the talker in models/, eSpeak NG: runs with nothing downloaded
    local     Silero, faster-whisper, a larger GGUF, Piper: the best pulled ones that fit this machine together
    gpu       the same as local, on CUDA
    auto      local where its models are present, else embedded

An engine URL in the settings always wins over the profile's. Nothing is ever downloaded by starting the server.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from voicebot.config import Config, EnginesConfig, home_dir
from voicebot.errors import ConfigError
from voicebot.machine import Machine, this_machine
from voicebot.models import Model, load_manifest
from voicebot.sizes import SIZED, Choice, best_or_smallest, fits, of_model, recommended

_PACKAGE = Path(__file__).resolve().parent
TALKER = Path("talker") / "talker.gguf"
_ADVICE = "put one there, set engines.stt, engines.llm and engines.tts, or use --profile embedded"
KINDS = ("vad", "stt", "llm", "tts")
ALWAYS = {"vad": "silero://"}
"""What every profile runs alike."""
_OWN_MODEL = (1.2, 200)
"""Memory of a model that is not in the manifest: its file's size times the first, plus the second in MB; a guess."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """What will run. `engines` has a URL for each of KINDS; `why` is in sentences."""

    profile: str
    engines: EnginesConfig
    why: list[str]
    models_dir: Path
    shipped_talker: bool
    """Whether the language model is the one that came with the product."""
    advice: str = ""
    """The one command that would improve it, "" where none would."""
    gain: str = ""
    """What that command brings."""

    @property
    def reasons(self) -> list[str]:
        """Sentences for the start banner."""
        return [*self.why, *([f"`{self.advice}` {self.gain}"] if self.advice else [])]


def models_dir(env: Mapping[str, str] | None = None) -> Path:
    """Where pulled models live: VOICEBOT_MODELS, else `models` in the state directory."""
    named = (os.environ if env is None else env).get("VOICEBOT_MODELS")
    return Path(named).expanduser() if named else home_dir(env) / "models"


def resolve_profile(
    config: Config, pulled: Path | None = None, shipped: Path | None = None, machine: Machine | None = None
) -> Resolved:
    """Choose the engines. `pulled`: models fetched by the operator; `shipped`: those that came with the product.

    Raises: ConfigError where a model of the profile is missing and no engine URL stands in for it.
    """
    pulled = models_dir() if pulled is None else pulled
    machine, manifest = machine or this_machine(), load_manifest()
    machine = machine if config.profile == "gpu" else replace(machine, gpu_mb=0)
    given = {kind: getattr(config.engines, kind) for kind in KINDS}
    sized = [kind for kind in SIZED if given[kind] is None]
    choices = [one for one in _pulled(pulled, manifest, cuda=config.profile == "gpu") if one.kind in sized]
    local = best_or_smallest(choices, machine)
    missing = [kind for kind in sized if kind not in local]
    profile, why = config.profile, []
    if profile == "auto":
        profile = "local" if sized and not missing else "embedded"
        why.append(_why(profile, missing, sized, pulled))
    if profile != "embedded" and missing:
        raise ConfigError(f"the {profile} profile has no {_names(missing)} model in {pulled}; {_ADVICE}")
    if profile != "embedded" and sized:
        why.append(_which(local, machine))
    chosen = _embedded_engines(shipped, sized) if profile == "embedded" else {k: one.url for k, one in local.items()}
    urls = ALWAYS | chosen | {kind: url for kind, url in given.items() if url}
    why += [f"{kind} is set to {given[kind]}" for kind in KINDS if given[kind]]
    wanted = recommended(manifest, machine, sized) if config.profile != "embedded" and sized else {}
    advice, gain = _improvement(profile, wanted, local, machine, manifest, {one.name for one in choices})
    shipped_talker = profile == "embedded" and given["llm"] is None
    turn = turn_engine(urls["stt"]) if config.engines.turn is None else config.engines.turn
    return Resolved(profile, EnginesConfig(**urls, turn=turn), why, pulled, shipped_talker, advice, gain)


def turn_engine(stt: str) -> str:
    """The shipped end-of-turn model, which reads English; none for a recogniser that may write another language."""
    english = re.match(r"pocketsphinx:|moonshine:|whisper://[^?]*(\.en|distil-large-v3)\b", stt)
    return "text://" if english else ""


def _why(profile: str, missing: list[str], sized: list[str], pulled: Path) -> str:
    if not sized:
        return "every sized engine is set by hand, so the profile decides nothing"
    if profile == "local":
        return f"local, because all of its models are in {pulled}"
    return f"embedded, because there is no {_names(missing)} model in {pulled}"


def _which(local: Mapping[str, Choice], machine: Machine) -> str:
    names = ", ".join(f"{kind} {choice.name}" for kind, choice in local.items())
    if fits(list(local.values()), machine):
        return f"{names}: the best of those pulled that fit together in {machine}"
    return f"{names}: the smallest of those pulled, and still more than suits {machine}"


def _improvement(
    profile: str,
    wanted: Mapping[str, Choice],
    local: Mapping[str, Choice],
    machine: Machine,
    manifest: Mapping[str, Model],
    there: set[str],
) -> tuple[str, str]:
    """The command and what it brings. A model of the operator's own, or of no rank, is left alone if it fits."""
    if profile == "embedded":
        names = [choice.name for kind, choice in wanted.items() if kind not in local]
        gain = "would bring the local profile"
    else:
        heavy = not fits(list(local.values()), machine)
        gain = "would suit this machine better"
        names = [
            choice.name
            for kind, choice in wanted.items()
            if heavy or 0 < local[kind].rank < choice.rank
            if choice.name not in there
        ]
    if not names:
        return "", ""
    size_mb = sum(manifest[name].size_mb for name in names)
    return f"voicebot models pull {' '.join(names)}", f"(about {size_mb} MB) {gain}"


def _names(kinds: list[str]) -> str:
    return " or ".join(filter(None, (", ".join(kinds[:-1]), kinds[-1])))


def _embedded_engines(shipped: Path | None, sized: Sequence[str]) -> dict[str, str]:
    engines = {"stt": "pocketsphinx://", "tts": "espeak://en-us"}
    return engines | ({"llm": f"llama://{find_talker(shipped)}"} if "llm" in sized else {})


def shipped_model(name: Path) -> Path:
    """Where a model that came with the product lies: in the package, else beside it in the repository."""
    places = [root / "models" / name for root in (_PACKAGE, _PACKAGE.parent)]
    return next((place for place in places if place.exists()), places[0])


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


def _pulled(root: Path, manifest: Mapping[str, Model], cuda: bool) -> Iterator[Choice]:
    """Every model in the models directory that the local profile could run, the manifest's and the operator's own."""
    known = {model.folder(root): model for model in manifest.values()}
    for kind, scheme, folder, pattern, gpu in (
        ("stt", "whisper", "whisper", "*/model.bin", "?device=cuda"),
        ("llm", "llama", "llm", "**/*.gguf", "?gpu_layers=-1"),
        ("tts", "piper", "piper", "**/*.onnx", ""),
    ):
        for file in sorted((root / folder).glob(pattern)):
            target = file.parent if kind == "stt" else file
            url = f"{scheme}://{target}{gpu * cuda}"
            if model := known.get(file.parent):
                yield of_model(model, url)
            else:
                factor, more = _OWN_MODEL
                memory_mb = round((file.stat().st_size >> 20) * factor) + more
                yield Choice(target.name.removesuffix(file.suffix), kind, memory_mb, cores=1, rank=0, url=url)
