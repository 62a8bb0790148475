"""Every setting of the server: what it is called, its unit and its default, and how its value is found.

A later source wins over an earlier one:

    defaults below < TOML file < VOICEBOT_SECTION__KEY environment < --set section.key=value

An unknown key is an error that names it and its nearest neighbours, never ignored. Secrets are not settings: a setting
names the environment variable that holds one. Only `server.py` and the CLI read a `Config`.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from voicebot.config_api import ApiConfig, WyomingConfig
from voicebot.config_brain import (
    DocumentsConfig,
    FrontierConfig,
    LedgerConfig,
    MemberConfig,
    PrivacyConfig,
    RouterConfig,
    Section,
    ShadowConfig,
    ToolsConfig,
)
from voicebot.config_telephony import TelephonyConfig
from voicebot.core.settings import TurnSettings
from voicebot.errors import ConfigError

Profile = Literal["auto", "embedded", "local", "gpu"]

_TURN = TurnSettings()
"""Where the defaults of a turn are written."""

DEFAULT_FILE = Path("voicebot.toml")
ENV_PREFIX = "VOICEBOT_"
DEEP = ("fleet", "telephony")
"""Sections that have sections of their own."""
ENV_NOT_SETTINGS = frozenset({"VOICEBOT_HOME", "VOICEBOT_MODELS", "VOICEBOT_API_KEYS"})


class ServerConfig(Section):
    """The one port and how many calls share it."""

    host: str = "127.0.0.1"
    """Address to listen on; "0.0.0.0" for every interface."""
    port: int = Field(default=8080, ge=0, le=65535)
    """0 takes any free port."""
    max_calls: int = Field(default=20, ge=1, le=10_000)
    """Calls at once; one more is told to come back later (503, or WebSocket close 1013)."""
    drain_s: float = Field(default=20.0, ge=0)
    """On SIGTERM, how long calls may go on before they are ended."""
    call_limit_s: float = Field(default=3600.0, gt=0)
    """Longest call, by the wall clock."""
    api_remote: bool = False
    """Whether transcripts and traces are also served to clients on other machines."""


class EnginesConfig(Section):
    """Engine URLs; None takes the profile's."""

    vad: str | None = None
    stt: str | None = None
    turn: str | None = None
    """End of turn; "" for none: the rule of the last word alone."""
    llm: str | None = None
    tts: str | None = None


class TurnConfig(Section):
    """When a turn begins and ends. Meaning, unit and default of each: `core.settings.TurnSettings`."""

    speech_threshold: float = Field(default=_TURN.speech_threshold, gt=0, lt=1)
    silence_threshold: float = Field(default=_TURN.silence_threshold, gt=0, lt=1)
    start_ms: int = Field(default=_TURN.start_ms, ge=32)
    lead_in_ms: int = Field(default=_TURN.lead_in_ms, ge=0)
    soft_end_ms: int = Field(default=_TURN.soft_end_ms, ge=32)
    drafts: bool = _TURN.drafts
    min_wait_ms: int = Field(default=_TURN.min_wait_ms, ge=32)
    max_wait_ms: int = Field(default=_TURN.max_wait_ms, ge=32)
    sure_end: float = Field(default=_TURN.sure_end, gt=0, le=1)
    interrupt_ms: int = Field(default=_TURN.interrupt_ms, ge=32)
    overlap_confidence: float = Field(default=_TURN.overlap_confidence, ge=0, le=1)
    reopen_ms: int = Field(default=_TURN.reopen_ms, ge=0)
    verdict_ms: int = Field(default=_TURN.verdict_ms, ge=0)
    unheard_ms: int = Field(default=_TURN.unheard_ms, ge=0)
    stt_timeout_ms: int = Field(default=_TURN.stt_timeout_ms, gt=0)
    reply_timeout_ms: int = Field(default=_TURN.reply_timeout_ms, gt=0)
    playout_slack_ms: int = Field(default=_TURN.playout_slack_ms, ge=0)
    media_gap_ms: int = Field(default=_TURN.media_gap_ms, gt=0)
    idle_ms: int = Field(default=_TURN.idle_ms, ge=0)
    errand_gap_ms: int = Field(default=_TURN.errand_gap_ms, ge=0)
    errand_answer_ms: int = Field(default=_TURN.errand_answer_ms, ge=0)
    errand_stale_ms: int = Field(default=_TURN.errand_stale_ms, gt=0)

    @model_validator(mode="after")
    def _waits_in_order(self) -> TurnConfig:
        if not self.soft_end_ms <= self.min_wait_ms <= self.max_wait_ms:
            raise ValueError(
                f"turn.soft_end_ms ({self.soft_end_ms}) <= turn.min_wait_ms ({self.min_wait_ms}) "
                f"<= turn.max_wait_ms ({self.max_wait_ms}) must hold"
            )
        return self


class ReplyConfig(Section):
    """What the bot says, and how much of it."""

    system_prompt: str | None = None
    """None: none for the shipped talker, which has its job in its weights; a short one for other models."""
    greeting: str = ""
    """Spoken when the call begins; "" for none."""
    apology: str = _TURN.apology
    no_answer: str = _TURN.no_answer
    not_understood: str = _TURN.not_understood
    max_tokens: int = Field(default=200, ge=1)
    temperature: float = Field(default=0.0, ge=0, le=2)
    """0 is greedy: the same words every time."""
    history_turns: int = Field(default=_TURN.history_turns, ge=1)
    """Earlier turns that the model is shown."""


class IceServer(Section):
    """A STUN or TURN server, in the browser's own words (RTCIceServer)."""

    urls: tuple[str, ...]
    username: str | None = None
    credential: str | None = Field(default=None, repr=False)


class WebRtcConfig(Section):
    """No server by default: on one machine or network none is needed, and an unreachable one delays every answer."""

    ice_servers: tuple[IceServer, ...] = ()


class TraceConfig(Section):
    """One JSON line per event and command of every call."""

    dir: Path | None = None
    """None: `traces` in the state directory."""
    keep: int = Field(default=200, ge=0)
    """Traces kept; the oldest beyond are deleted."""
    keep_private: bool = False
    """Whether the words of private turns are in them too. Set it only where callers have agreed to be recorded."""


class Config(Section):
    """The whole of it."""

    profile: Profile = "auto"
    server: ServerConfig = ServerConfig()
    engines: EnginesConfig = EnginesConfig()
    turn: TurnConfig = TurnConfig()
    reply: ReplyConfig = ReplyConfig()
    webrtc: WebRtcConfig = WebRtcConfig()
    telephony: TelephonyConfig = TelephonyConfig()
    api: ApiConfig = ApiConfig()
    wyoming: WyomingConfig = WyomingConfig()
    trace: TraceConfig = TraceConfig()
    fleet: dict[str, MemberConfig] = Field(default_factory=dict)
    """By name; empty for one general member that the llm engine plays."""
    router: RouterConfig = RouterConfig()
    frontier: FrontierConfig = FrontierConfig()
    shadow: ShadowConfig = ShadowConfig()
    privacy: PrivacyConfig = PrivacyConfig()
    ledger: LedgerConfig = LedgerConfig()
    tools: ToolsConfig = ToolsConfig()
    documents: DocumentsConfig = DocumentsConfig()


@dataclass(frozen=True, slots=True)
class _Setting:
    """One value on its way in. `path`: ("server", "port"); `origin`: where an error message points."""

    path: tuple[str, ...]
    value: Any
    origin: str

    @property
    def key(self) -> str:
        return ".".join(self.path)


def load_config(
    path: Path | None = None,
    env: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
) -> Config:
    """The settings from all sources. `path` None reads ./voicebot.toml where there is one; `env` None is the process's.

    Raises: ConfigError, naming the key, its value, where it was set, and for an unknown key its close matches.
    """
    env = os.environ if env is None else env
    settings = [*_from_file(path), *_from_env(env), *_from_overrides(overrides)]
    tree: dict[str, Any] = {}
    for setting in settings:
        _check_known(setting)
        _put(tree, setting)
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(_in_words(error, settings)) from None


def _from_file(path: Path | None) -> Iterator[_Setting]:
    if path is None:
        if not DEFAULT_FILE.is_file():
            return
        path = DEFAULT_FILE
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the config file {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"the config file {path} is not valid TOML: {error}") from None
    yield from _flatten((), tree, str(path))


def _flatten(path: tuple[str, ...], tree: Mapping[str, Any], origin: str) -> Iterator[_Setting]:
    for key, value in tree.items():
        here = (*path, key)
        if isinstance(value, Mapping) and len(here) < (3 if here[0] in DEEP else 2):
            yield from _flatten(here, value, origin)
        else:
            yield _Setting(here, value, origin)


def _from_env(env: Mapping[str, str]) -> Iterator[_Setting]:
    for name, text in sorted(env.items()):
        if name.startswith(ENV_PREFIX) and name not in ENV_NOT_SETTINGS:
            path = tuple(name.removeprefix(ENV_PREFIX).lower().split("__"))
            yield _Setting(path, _toml_value(text), f"the environment variable {name}")


def _from_overrides(overrides: Iterable[str]) -> Iterator[_Setting]:
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set {override!r} is not KEY=VALUE; write e.g. --set server.port=9000")
        yield _Setting(tuple(key.strip().split(".")), _toml_value(text), f"--set {key.strip()}")


def _toml_value(text: str) -> Any:
    """The text as a TOML value; what is not one is a string, so that URLs need no quotes."""
    try:
        tree = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return tree["value"] if len(tree) == 1 else text


def _known_keys(model: type[Section] = Config, before: str = "") -> list[str]:
    keys = []
    for name, field in model.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Section):
            keys += _known_keys(section, f"{before}{name}.")
        else:
            keys.append(f"{before}{name}")
    return keys


def _check_known(setting: _Setting) -> None:
    known = _known_keys()
    if setting.path[0] == "fleet" and len(setting.path) == 3:
        known += [f"fleet.{setting.path[1]}.{key}" for key in MemberConfig.model_fields]
    if setting.key in known:
        return
    if any(key.startswith(f"{setting.key}.") for key in known):
        raise ConfigError(f"{setting.key} (from {setting.origin}) is a section; set one of its keys, not the section")
    last = setting.path[-1]
    close = difflib.get_close_matches(setting.key, known, n=3, cutoff=0.6) or [
        key for key in known if last in difflib.get_close_matches(last, [key.rpartition(".")[2]], cutoff=0.7)
    ]
    hint = f"; did you mean {' or '.join(close)}?" if close else f"; sections are {', '.join(Config.model_fields)}"
    raise ConfigError(f"unknown setting {setting.key!r} (from {setting.origin}){hint}")


def _put(tree: dict[str, Any], setting: _Setting) -> None:
    for key in setting.path[:-1]:
        tree = tree.setdefault(key, {})
    tree[setting.path[-1]] = setting.value


def _in_words(error: ValidationError, settings: Sequence[_Setting]) -> str:
    """One line for each value at fault."""
    origins = {setting.key: setting.origin for setting in settings}
    lines = []
    for fault in error.errors(include_url=False):
        if fault["type"] == "value_error":
            lines.append(str(fault["ctx"]["error"]))
            continue
        path = [str(part) for part in fault["loc"]]
        origin = (
            origins.get(".".join(path[:3])) or origins.get(".".join(path[:2])) or origins.get(path[0], "the defaults")
        )
        said = fault["msg"].replace("Input should", "should", 1)
        lines.append(f"{'.'.join(path)} = {fault['input']!r} (from {origin}): {said}")
    return "\n".join(lines)


def home_dir(env: Mapping[str, str] | None = None) -> Path:
    """Where traces and pulled models live: VOICEBOT_HOME, else voicebot in the XDG state directory."""
    env = os.environ if env is None else env
    if home := env.get("VOICEBOT_HOME"):
        return Path(home).expanduser()
    return Path(env.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "voicebot"


def trace_dir(config: Config, env: Mapping[str, str] | None = None) -> Path:
    """Where traces are written."""
    return config.trace.dir or home_dir(env) / "traces"


def ledger_places(config: Config, env: Mapping[str, str] | None = None) -> tuple[str, Path]:
    """The ledger's URL, and the folder where rows wait on their way into it."""
    ledger = config.ledger
    url = ledger.url or f"sqlite:///{home_dir(env) / 'ledger.db'}"
    return url, ledger.journal_dir or home_dir(env) / "ledger-journal"
