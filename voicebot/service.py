"""What one process serves calls with: engines on their lanes, the calls, and the states of its life.

loading --every engine loaded, a dummy turn done--> ready --SIGTERM--> draining --calls over or drain_s--> gone
   `--an engine failed--> failed
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from aiortc import RTCIceServer

from voicebot.assemble import Brainwork, here
from voicebot.brain.fleet import Fleet
from voicebot.brain.phrases import Phrases
from voicebot.calls import CallRecord, Calls, Slot, new_call_id
from voicebot.config import Config, trace_dir
from voicebot.core.settings import TurnSettings
from voicebot.engines.base import LlmEngine, SttEngine, TtsEngine, TurnEngine, VadEngine
from voicebot.engines.registry import create
from voicebot.errors import ConfigError, VoicebotError
from voicebot.faults import outline
from voicebot.frontier import call_label
from voicebot.lane import Lane
from voicebot.metrics import Metrics
from voicebot.pressure import Pressure
from voicebot.profiles import Resolved, resolve_profile
from voicebot.recorder import TraceWriter
from voicebot.session import CallDeps, Session
from voicebot.toolwork import Toolwork
from voicebot.transports.base import NO_LINE, PhoneLine
from voicebot.warmup import dummy_turn, make_phrases
from voicebot.windows import WindowBatch

log = logging.getLogger(__name__)
Status = Literal["loading", "ready", "draining", "failed"]
COLLECT_AT = (700, 10, 1)
"""Python's own thresholds but for the last, which is 10: what calls that have ended leave behind is then given back ten
calls at a time, which holds the loop for 10 ms, and not seventy at a time, which held it for 40 to 70."""
LOOK_EVERY_S = 0.1


class VoiceServer:
    """One process's engines and calls. Thread: the loop."""

    def __init__(self, config: Config) -> None:
        """Choose and construct the engines, unloaded. Raises: ConfigError."""
        self.config = config
        self.resolved = resolve_profile(config)
        self.metrics = Metrics()
        self.calls = Calls(config.server.max_calls, self.metrics)
        self.calls.closed_because = "the models are still loading; try again in a moment"
        self.status: Status = "loading"
        self.error = ""
        self.fault: VoicebotError | None = None
        self.load_s = 0.0
        self.on_loaded: Callable[[], None] = lambda: None
        """Called when the status has become ready or failed."""
        self.ice_servers = [
            RTCIceServer(urls=list(ice.urls), username=ice.username, credential=ice.credential)
            for ice in config.webrtc.ice_servers
        ]
        self._vad, self._stt, self._llm, self._tts = _engines(self.resolved)
        self._turn = _turn_lane(self.resolved)
        self._brain = Brainwork(config, self.resolved, self._llm)
        self._tools = Toolwork(config, self._brain.frontier.clean, self._brain.documents)
        self._traces = TraceWriter(_made(trace_dir(config)), config.trace.keep, config.trace.keep_private)
        self._deps: CallDeps | None = None
        self._group: asyncio.TaskGroup | None = None
        self._pressure = Pressure()
        self._phrases = Phrases()

    @property
    def info(self) -> dict[str, Any]:
        """The `call` event's fields but the call's id."""
        return {"profile": self.resolved.profile, "models": self.models, "version": product_version()}

    @property
    def outward(self) -> list[str]:
        """What may leave this machine, in sentences."""
        return self._brain.frontier.told()

    @property
    def models(self) -> dict[str, str]:
        """Kind -> the engine's name for people."""
        engines = {"vad": self._vad, "stt": self._stt.engine, "llm": self._llm.engine, "tts": self._tts.engine}
        turn = {"turn": self._turn.engine.name} if self._turn else {}
        return {kind: engine.name for kind, engine in engines.items()} | turn

    async def begin(
        self,
        slot: Slot,
        transport: Any,
        alias: str = "",
        numbers: Collection[str] = (),
        line: PhoneLine = NO_LINE,
        kind: type[Session] = Session,
    ) -> CallRecord:
        """Start a call on a negotiated transport. `numbers`: those that call and are called, as far as is known.

        `transport`: a `CallTransport` that fits the `kind` of session.
        """
        assert self._deps is not None and self._group is not None, "no call is admitted before the engines are loaded"
        label = call_label(self.config.privacy, transport.kind, numbers)
        session = kind(new_call_id(), transport, self._deps, label, line)
        session.allow_drafts(not self._pressure.pressed)
        return slot.start(self._group, transport, session, alias)

    @property
    def fleet(self) -> Fleet:
        """Who answers here."""
        return self._brain.fleet

    @property
    def deps(self) -> CallDeps:
        """What calls share. Only once the engines are loaded."""
        assert self._deps is not None, "nothing is served before the engines are loaded"
        return self._deps

    async def flush_traces(self) -> None:
        """Wait until what has happened so far is on disk."""
        await asyncio.to_thread(self._traces.flush)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The server's life. Closing order: calls, background tasks, tools, lanes, traces."""
        self._traces.start()
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                background = [
                    group.create_task(self._load(), name="load engines"),
                    group.create_task(self._watch_loop(), name="watch loop"),
                ]
                if (documents := self._brain.documents) is not None:
                    background.append(group.create_task(documents.watch(), name="watch documents"))
                if (shadows := self._brain.shadows) is not None:
                    shadows.count = lambda outcome: self.metrics.shadows.labels(outcome).inc()
                    background.append(group.create_task(shadows.run(), name="compare answers"))
                try:
                    yield
                finally:
                    self.calls.closed_because = "the server is stopping"
                    await self.calls.aclose()
                    for task in background:
                        task.cancel()
                    await self._tools.aclose()
        finally:
            await self._brain.aclose()
            for lane in (self._stt, self._llm, self._tts, self._turn):
                if lane is not None:
                    await lane.aclose()
            self._vad.close()
            await asyncio.to_thread(self._traces.close)

    async def drain(self) -> None:
        """Admit no more calls, let those that are talk on for `drain_s`, then end them."""
        self.status = "draining"
        self.calls.closed_because = "the server is stopping; call again in a minute"
        if not await self.calls.wait_empty(self.config.server.drain_s):
            await self.calls.aclose()

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """A task that the server waits for at its end; an error of ours in it is logged and ends that task only."""
        assert self._group is not None, "nothing is begun before the server runs"
        return self._group.create_task(_guarded(work, name), name=name)

    def drain_then(self, done: Callable[[], None]) -> None:
        """Start draining as a task of the server; call `done` at its end."""
        assert self._group is not None

        async def work() -> None:
            await self.drain()
            done()

        self._group.create_task(work(), name="drain")

    async def reload(self, config: Config) -> None:
        """Take the fleet of other settings for the calls that begin from now on; those that are on keep theirs.

        Raises: ConfigError, EngineError; the fleet stays as it is then.
        """
        assert self._group is not None and self._deps is not None, "nothing is served before the engines are loaded"
        self._tools.check(config)
        left = await self._brain.swap(config)
        self._deps = replace(self._deps, brain=self._brain.deps())

        async def close() -> None:
            await self.calls.wait_empty(self.config.server.call_limit_s)
            for lane in left:
                await lane.aclose()

        self._group.create_task(close(), name="close engines that no call uses")

    def reload_from(self, read: Callable[[], Config]) -> None:
        """The same as a task of the server; how it went is in the log."""

        async def work() -> None:
            try:
                await self.reload(await asyncio.to_thread(read))
            except VoicebotError as error:
                log.error("the fleet stays as it is: %s", error)
            else:
                log.info(
                    "the fleet is now: %s", ", ".join(f"{one.name} ({one.lane.engine.name})" for one in self.fleet)
                )

        if self.status == "ready" and self._group is not None:
            self._group.create_task(work(), name="reload the fleet")

    async def _load(self) -> None:
        """Load all engines at once, have them do a turn, and open the doors."""
        assert self._group is not None
        began = time.monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.to_thread(self._vad.load))
                for lane in (self._stt, self._llm, self._tts, self._turn):
                    if lane is not None:
                        group.create_task(lane.load())
                group.create_task(self._brain.load())
                group.create_task(self._tools.load(self._group))
            await dummy_turn(self._stt, self._llm, self._tts)
            await make_phrases(self._phrases, self._tts, turn_settings(self.config))
        except* VoicebotError as errors:
            self.fault = first_fault(errors)
            self.status, self.error = "failed", str(self.fault)
            self.calls.closed_because = f"the server could not load its models: {self.error}"
            log.error("not ready: %s", self.error)
        else:
            self._open(time.monotonic() - began)
        self.on_loaded()

    def _open(self, load_s: float) -> None:
        self._deps = CallDeps(
            vad=WindowBatch(self._vad),
            stt=self._stt,
            end_of_turn=self._turn,
            brain=self._brain.deps(),
            tts=self._tts,
            tools=self._tools.box,
            phrases=self._phrases,
            turn=turn_settings(self.config),
            open_recorder=self._traces.open,
            metrics=self.metrics,
            info=self.info,
        )
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECT_AT)
        self.load_s = load_s
        if self.status == "loading":
            self.status, self.calls.closed_because = "ready", ""

    async def _watch_loop(self) -> None:
        """How late a timer is tells how long something held the loop; with waiting jobs, whether drafts go on."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LOOK_EVERY_S
            await asyncio.sleep(LOOK_EVERY_S)
            lag_s = max(0.0, loop.time() - due)
            self.metrics.loop_lag.observe(lag_s)
            if self._pressure.look(lag_s, self._stt.waiting + self._llm.waiting + self._tts.waiting):
                self.metrics.pressed.set(self._pressure.pressed)
                self.calls.allow_drafts(not self._pressure.pressed)
                if self._brain.shadows is not None:
                    self._brain.shadows.press(self._pressure.pressed)


async def _guarded(work: Coroutine[Any, Any, None], name: str) -> None:
    try:
        await work
    except Exception as error:  # noqa: BLE001 - a fault of ours ends this piece of work and no other
        log.error("%s: ended by an error of ours: %s", name, outline(error))


def _engines(resolved: Resolved) -> tuple[VadEngine, Lane[SttEngine], Lane[LlmEngine], Lane[TtsEngine]]:
    urls, models = resolved.engines, resolved.models_dir
    assert urls.vad and urls.stt and urls.llm and urls.tts, "a resolved profile names every engine"
    return (
        create("vad", urls.vad, models),
        Lane(create("stt", urls.stt, models)),
        Lane(here(create("llm", urls.llm, models))),
        Lane(create("tts", urls.tts, models)),
    )


def _turn_lane(resolved: Resolved) -> Lane[TurnEngine] | None:
    url = resolved.engines.turn
    return Lane(create("turn", url, resolved.models_dir)) if url else None


def first_fault(errors: BaseExceptionGroup[VoicebotError]) -> VoicebotError:
    """The first error of ours in a group."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, VoicebotError)
    return error


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot write traces to {folder}: {error.strerror}; set trace.dir") from None
    return folder


def turn_settings(config: Config) -> TurnSettings:
    """What a call's turn machine is told."""
    reply = config.reply
    return TurnSettings(
        **config.turn.model_dump(),
        call_limit_ms=round(config.server.call_limit_s * 1000),
        history_turns=reply.history_turns,
        greeting=reply.greeting,
        apology=reply.apology,
        no_answer=reply.no_answer,
        not_understood=reply.not_understood,
    )


def product_version() -> str:
    """As installed; "0" in a source tree that was not."""
    try:
        return version("voicebot")
    except PackageNotFoundError:
        return "0"
