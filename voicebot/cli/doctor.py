"""`voicebot doctor`: what is installed, which profile would run and why, and whether a turn works; with advice.

The self-test speaks a sentence with the profile's own voice, recognises it, answers it and speaks the answer.
"""

from __future__ import annotations

import platform
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import httpx
import numpy as np
from rich.console import Console

from voicebot.assemble import Brainwork
from voicebot.brain.detector import Detector
from voicebot.config import Config
from voicebot.core.audio import SPEECH_RATE_HZ, WINDOW_SAMPLES, Pcm, resampler
from voicebot.engines.base import (
    KINDS,
    Kind,
    LlmEngine,
    LlmRequest,
    Message,
    Sampling,
    SttEngine,
    TextDelta,
    ToolCall,
    TtsEngine,
)
from voicebot.engines.registry import create, parse
from voicebot.errors import ConfigError, EngineBadOutput, EngineUnavailable, VoicebotError
from voicebot.frontier import Frontier
from voicebot.lane import Lane
from voicebot.machine import nvidia_gpus, this_machine, total_memory_mb
from voicebot.profiles import Resolved, resolve_profile
from voicebot.server import bind
from voicebot.toolwork import Toolwork
from voicebot.transports import opus

SENTENCE = "what time is it"
SPOKEN_TURN: tuple[Kind, ...] = ("vad", "stt", "llm", "tts")
"""The engines that the self-test runs."""
PACKAGES = (
    "aiortc", "fastapi", "uvicorn", "websockets", "numpy", "soxr", "onnxruntime", "silero-vad", "pocketsphinx",
    "faster-whisper", "llama-cpp-python", "espeakng-loader", "openai",
)  # fmt: skip
Status = Literal["ok", "warning", "failed"]
_MARKS: dict[Status, str] = {"ok": "[green]ok[/]", "warning": "[yellow]note[/]", "failed": "[red]FAILED[/]"}


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report. `advice`: what to do, where the status is not "ok"."""

    name: str
    status: Status
    detail: str
    advice: str = ""


@dataclass(slots=True)
class Report:
    """What `--json` prints. `self_test`: milliseconds of each step, empty if it did not run to its end."""

    checks: list[Check] = field(default_factory=list)
    profile: str = ""
    reasons: list[str] = field(default_factory=list)
    advice: str = ""
    """The one command that would improve the choice of models, "" where none would."""
    engines: dict[str, str] = field(default_factory=dict)
    self_test: dict[str, float] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return all(check.status != "failed" for check in self.checks)

    def document(self) -> dict[str, Any]:
        return {"ok": self.ok, **asdict(self)}


def examine(config: Config) -> Report:
    """Look at everything; never raises for what it finds. Blocks for as long as the engines take to load."""
    report = Report(checks=[_python(), _packages(), _opus(), _compiler(), _machine(), _gpu(config), _port(config)])
    try:
        resolved = resolve_profile(config)
    except ConfigError as error:
        report.checks.append(Check("profile", "failed", str(error), "see the line above, or run make setup again"))
        return report
    report.profile, report.reasons, report.advice = resolved.profile, resolved.why, resolved.advice
    report.engines = {kind: url for kind in KINDS if (url := getattr(resolved.engines, kind, None))}
    report.checks.append(_profile(resolved))
    report.checks += [_model(kind, url, resolved.models_dir) for kind, url in report.engines.items()]
    report.checks += [_fleet(config, resolved), _privacy(config, resolved)]
    report.checks.append(_self_test(resolved, report.self_test))
    return report


def show(report: Report, console: Console) -> None:
    for check in report.checks:
        console.print(f"{_MARKS[check.status]:<16} {check.name}: ", end="")
        console.print(check.detail, markup=False, soft_wrap=True)
        if check.advice:
            console.print(f"     -> {check.advice}", markup=False, soft_wrap=True)
    steps = ", ".join(f"{name} {ms:.0f} ms" for name, ms in report.self_test.items())
    if steps:
        console.print(f"self-test: {steps}", markup=False)


def _python() -> Check:
    """The packages ask for 3.11 or newer, so an older one cannot get here."""
    return Check("python", "ok", f"Python {platform.python_version()} on {platform.system()} {platform.machine()}")


def _packages() -> Check:
    found, missing = [], []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        return Check("packages", "failed", f"missing: {', '.join(missing)}", "run make setup")
    return Check("packages", "ok", ", ".join(found))


def _opus() -> Check:
    try:
        return Check("browser calls", "ok", opus.version())
    except ConfigError as error:
        return Check("browser calls", "warning", str(error), "telephones can call without it")


def _compiler() -> Check:
    for name in ("c++", "g++", "clang++"):
        if path := shutil.which(name):
            return Check("compiler", "ok", path)
    advice = "only needed to install llama-cpp-python again; e.g. apt-get install g++"
    return Check("compiler", "warning", "no C++ compiler found", advice)


def _machine() -> Check:
    machine, total = this_machine(), total_memory_mb() / 1024
    return Check(
        "machine", "ok", f"{machine.cores} cores, {machine.memory_mb / 1024:.1f} of {total:.1f} GiB memory free"
    )


def _gpu(config: Config) -> Check:
    found = "; ".join(f"{name}, {size_mb} MiB" for name, size_mb in nvidia_gpus())
    if found or config.profile != "gpu":
        return Check("gpu", "ok", found or "none (not needed)")
    return Check("gpu", "failed", "no NVIDIA GPU found", "install its driver, or use --profile local or embedded")


def _profile(resolved: Resolved) -> Check:
    detail = "; ".join(resolved.why) or f"{resolved.profile}, as asked"
    return Check("profile", "ok", detail, f"{resolved.advice}  {resolved.gain}" if resolved.advice else "")


def _port(config: Config) -> Check:
    where = f"{config.server.host} port {config.server.port}"
    try:
        bind(config.server).close()
    except ConfigError as error:
        if _is_ours(config):
            return Check("port", "ok", f"{where}: a voicebot is running there")
        return Check("port", "failed", str(error), "choose another port with --port")
    return Check("port", "ok", f"{where} is free")


def _is_ours(config: Config) -> bool:
    try:
        answer = httpx.get(f"http://{config.server.host}:{config.server.port}/healthz", timeout=2.0).json()
    except (httpx.HTTPError, ValueError):
        return False
    return isinstance(answer, dict) and "status" in answer


def _model(kind: str, url: str, models_dir: Path) -> Check:
    name = f"{kind} engine"
    try:
        assert kind in KINDS
        target = parse(kind, url, models_dir).find()
    except ConfigError as error:
        return Check(name, "failed", str(error), f"set engines.{kind} to another URL")
    if target == Path() or not target.exists():
        return Check(name, "ok", url)
    return Check(name, "ok", f"{url} ({_size(target) / 1e6:.1f} MB)")


def _fleet(config: Config, resolved: Resolved) -> Check:
    """Who answers what, with which tools and documents; MCP servers are only named, not started."""
    assert resolved.engines.llm is not None, "a resolved profile names every engine"
    try:
        brain = Brainwork(config, resolved, Lane(create("llm", resolved.engines.llm, resolved.models_dir)))
        tools = Toolwork(config, documents=brain.documents)
        if not config.tools.mcp:
            tools.check(config)
        if brain.documents is not None:
            brain.documents.scan()
            if (vectors := brain.documents.vectors) is not None:
                vectors.lane.engine.load()
    except (ConfigError, EngineUnavailable) as error:
        return Check("fleet", "failed", str(error), "mend what it names in [fleet], [tools] or [documents]")
    told = ["; ".join(f"{one.name} ({', '.join(sorted(one.tasks))})" for one in brain.fleet)]
    told += [f"{len(tools.box.offered(None))} tools", *(f"MCP server {name}" for name in config.tools.mcp)]
    problems: dict[str, str] = {}
    if brain.documents is not None:
        given = brain.documents
        told.append(f"{len(given.index)} passages of {len(given.files)} documents, found by {given.how}")
        problems = given.problems
    if problems:
        return Check("fleet", "warning", "; ".join(told), f"cannot be read: {', '.join(problems)}")
    return Check("fleet", "ok", "; ".join(told))


def _privacy(config: Config, resolved: Resolved) -> Check:
    """Whether words may leave, and what would keep them from it unasked."""
    try:
        frontier = Frontier(config, resolved.models_dir)
    except ConfigError as error:
        return Check("privacy", "failed", str(error), "set frontier.url to another URL")
    frontier.detector = Detector() if frontier.remote is not None else None
    detail = "; ".join(frontier.told())
    try:
        if frontier.remote is not None:
            frontier.remote.load()  # Asks nobody: it looks for the package and the key.
    except EngineUnavailable as error:
        return Check("privacy", "failed", str(error), "the server does not start without it")
    if frontier.detector is not None and frontier.detector.problem:
        return Check("privacy", "warning", detail, "the frontier will never be asked; mend what the line above names")
    return Check("privacy", "ok", detail)


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def _self_test(resolved: Resolved, timings: dict[str, float]) -> Check:
    try:
        heard, reply = _turn(resolved, timings)
    except VoicebotError as error:
        timings.clear()
        return Check("self-test", "failed", str(error), "mend the engine that it names, or choose another --profile")
    detail = f"said {SENTENCE!r}, heard {heard!r}, answered {reply!r}"
    if heard != SENTENCE:
        return Check(
            "self-test", "warning", detail, "the recogniser did not hear its own machine's voice word for word"
        )
    return Check("self-test", "ok", detail)


def _turn(resolved: Resolved, timings: dict[str, float]) -> tuple[str, str]:
    """One turn on this thread. Raises: EngineError, ConfigError."""
    urls = resolved.engines
    opened: list[Any] = []

    def timed(name: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = work()
        timings[name] = round((time.perf_counter() - began) * 1000, 1)
        return result

    def open_engine(kind: Kind) -> Any:
        url = getattr(urls, kind)
        assert url, "a resolved profile has every engine"
        engine = create(kind, url, resolved.models_dir)
        opened.append(engine)
        timed(f"load_{kind}", engine.load)
        return engine

    try:
        vad, stt, llm, tts = (open_engine(kind) for kind in SPOKEN_TURN)
        said = timed("tts", lambda: _speak(tts, SENTENCE))
        timed("vad", lambda: _require_speech(vad, said))
        heard = timed("stt", lambda: _recognise(stt, said))
        reply = timed("llm", lambda: _answer(llm, heard or SENTENCE))
        timed("tts_reply", lambda: _speak(tts, reply))
    finally:
        for engine in opened:
            engine.close()
    return heard, reply


def _speak(tts: TtsEngine, text: str) -> Pcm:
    """16 kHz, int16[n > 0]."""
    converter = resampler(tts.sample_rate_hz, SPEECH_RATE_HZ)
    parts = [converter.push(pcm) for pcm in tts.synthesize(text, threading.Event())]
    pcm = np.concatenate([*parts, converter.flush()])
    if not len(pcm):
        raise EngineBadOutput(f"{tts.name} gave no sound for {text!r}")
    return pcm


def _require_speech(vad: Any, pcm: Pcm) -> None:
    stream = vad.open_stream()
    whole = len(pcm) // WINDOW_SAMPLES * WINDOW_SAMPLES
    best = max((stream.probability(window) for window in pcm[:whole].reshape(-1, WINDOW_SAMPLES)), default=0.0)
    if best < 0.5:
        raise EngineBadOutput(f"{vad.name} hears no speech in a spoken sentence (at most {best:.2f})")


def _recognise(stt: SttEngine, pcm: Pcm) -> str:
    return stt.transcribe(pcm, threading.Event()).text.strip().lower().rstrip(".?!")


def _answer(llm: LlmEngine, text: str) -> str:
    """Tools are not run here: a call for one is named instead."""
    request = LlmRequest([Message("user", text)], sampling=Sampling(max_tokens=60), session="doctor")
    reply = ""
    for chunk in llm.generate(request, threading.Event()):
        if isinstance(chunk, TextDelta):
            reply += chunk.text
        elif isinstance(chunk, ToolCall):
            reply += f"I would use the tool {chunk.name}."
    if not reply.strip():
        raise EngineBadOutput(f"{llm.name} gave no words and no tool call in answer to {text!r}")
    return reply.strip()
