"""A world whose caller and engines follow a script: for session tests and for golden traces."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np

from tests import virtual_time
from tests.sim.brain import SimRoute
from tests.sim.engines import NOISE, SimEngine
from tests.sim.lane import Behaviour, VirtualLane
from tests.sim.world import World
from voicebot.brain.account import Notebook
from voicebot.brain.answer import BrainDeps
from voicebot.brain.expert import Ask, Expert
from voicebot.brain.fleet import Fleet, Member
from voicebot.brain.privacy import Verdict
from voicebot.brain.toolbox import Toolbox
from voicebot.brain.tools import TOOLS
from voicebot.brain.tools_types import Tool
from voicebot.core.labels import Label
from voicebot.core.settings import TurnSettings
from voicebot.engines.base import Cancel, LlmChunk, LlmDone, LlmRequest, TextDelta, ToolCall
from voicebot.session import CallDeps
from voicebot.transports.base import PhoneLine

Answer = str | ToolCall
WORD_MS = 240


class ScriptLlm(SimEngine):
    """Gives the next answer to every prompt; the last is repeated."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        super().__init__("script llm", Random(0))
        self.prompts: list[list[str]] = []
        self.caches_prompts = False
        self.read: list[str] = []
        """What it was to read ahead: the caller's words so far."""
        self._answers = answers

    def generate(self, request: LlmRequest, _cancel: Cancel) -> Iterator[LlmChunk]:
        if not request.sampling.max_tokens:
            self.read.append(request.messages[-1].text)
            yield LlmDone("length")
            return
        answer = self._answers[min(len(self.prompts), len(self._answers) - 1)]
        self.prompts.append([message.text for message in request.messages])
        yield answer if isinstance(answer, ToolCall) else TextDelta(answer)
        yield LlmDone("stop")


class WhyRouter:
    """Hard is what asks why."""

    def route(self, text: str, context: Sequence[str] = ()) -> SimRoute:
        return SimRoute("talk", float("why" in text.split()))


class Script(World):
    """`act` is the caller; the call is hung up when it returns, if it still runs."""

    def __init__(
        self,
        act: Callable[[Script], Awaitable[None]],
        answers: Sequence[Answer] = ("River table seven.",),
        failing: str = "",
        ask: Ask | None = None,
        tools: Sequence[Tool] = (),
        **settings: Any,
    ) -> None:
        """`failing`: the engine that fails all its jobs: "sim stt", "script llm" or "sim tts".

        `ask`: an expert, who gets every turn with "why" in it. `tools`: beside the built-in ones; none on a thread.
        """
        self._ask = ask
        self._more_tools = tools
        self.transfers: list[str] = []
        self._act = act
        self._answers = answers
        self._failing = failing
        self._turn_settings = TurnSettings(**settings)
        super().__init__(1)
        self.wire.breaks = False

    def _llm(self) -> Any:
        return ScriptLlm(self._answers)

    def _brain(self) -> BrainDeps | None:
        if self._ask is None:
            return None
        member = Member("talker", frozenset({"talk"}), self.llm, general=True)
        expert = Expert("frontier", self._ask, lambda _call: "ready", timeout_s=8.0)
        return BrainDeps(Fleet([member]), Notebook(), lambda _: Verdict(Label.OPEN), WhyRouter(), expert)

    def _settings(self) -> TurnSettings:
        return self._turn_settings

    def _line(self) -> PhoneLine:
        async def transfer(target: str) -> bool:
            self.transfers.append(target)
            self.session.hang_up("the carrier has taken the caller on")
            return True

        return PhoneLine(transfer=transfer)

    def _deps(self) -> CallDeps:
        return replace(super()._deps(), tools=Toolbox((*TOOLS.values(), *self._more_tools)))

    def _lane(self, engine: Any, _first_s: tuple[float, float], _next_s: tuple[float, float]) -> VirtualLane[Any]:
        fails = 1.0 if engine.name == self._failing else 0.0
        if engine.name == "sim stt":
            engine.streams = 1.0
        elif engine.name == "sim tts":
            engine.chunk_ms = 250
        return VirtualLane(engine, Behaviour((0.05, 0.05), (0.01, 0.01), fails=fails, refuses=fails), Random(0))

    async def _until_the_end(self, call: asyncio.Task[None], caller: asyncio.Task[None], *others: Any) -> None:
        caller.cancel()
        await asyncio.sleep(0.1)  # The call has begun.
        await self._act(self)
        self.session.hang_up("caller hung up")

    # ---- what a caller does

    async def say(self, words: str) -> None:
        for word in words.split():
            self.wire.say(self.caller_words.say(word, WORD_MS))
        await self._said()

    async def cough(self, ms: int = 240) -> None:
        self.wire.say(np.full(16 * ms, NOISE, dtype=np.int16))
        await self._said()

    async def _said(self) -> None:
        while self.wire.to_say:
            await asyncio.sleep(0.02)

    async def until(self, state: str) -> None:
        async with asyncio.timeout(60):
            while self.wire.state != state:
                await asyncio.sleep(0.02)

    # ---- what came of it

    @property
    def exchanges(self) -> list[tuple[str, str]]:
        """The history: (caller, bot)."""
        return [(exchange.caller, exchange.bot) for exchange in self.session._machine.history.exchanges]

    @property
    def prompts(self) -> list[list[str]]:
        llm: ScriptLlm = self.llm.engine
        return llm.prompts


def perform(
    act: Callable[[Script], Awaitable[None]],
    *answers: Answer,
    failing: str = "",
    ask: Ask | None = None,
    tools: Sequence[Tool] = (),
    **settings: Any,
) -> Script:
    """Live through the script, with all the checks of a seeded world. Raises: Violated."""
    worlds: list[Script] = []

    async def live() -> None:
        worlds.append(Script(act, answers or ("River table seven.",), failing, ask, tools, **settings))
        await worlds[0].live()

    virtual_time.run(live())
    return worlds[0]
