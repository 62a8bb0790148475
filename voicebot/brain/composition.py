"""An answer in writing: what `brain.reply` is for callers, for clients that read. Same plan, privacy and books.

    CallBrain.answer --> Composition.attempt / put --> emit(piece)

Words come as the model writes them, not cut into clauses; nothing is held, because a written question is a whole turn.
Where a caller would get an acknowledgement and a late answer, a reader waits for the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from voicebot.brain.account import Account, Tried
from voicebot.brain.agenda import Agenda
from voicebot.brain.answer import BrainDeps, CallBrain
from voicebot.brain.expert import Errand
from voicebot.brain.privacy import CallPrivacy
from voicebot.brain.reply import Reply
from voicebot.brain.toolbox import Toolbox
from voicebot.brain.tools_runs import CallTools, Spawn
from voicebot.core.composed import Piece, WroteAll, WroteCall, WroteText
from voicebot.core.events import ErrandWanted, Event, ToolHandedOver
from voicebot.core.history import Line
from voicebot.core.wishes import Wishes
from voicebot.errors import EngineError

Emit = Callable[[Piece], Awaitable[None]]


class _Verbatim(str):
    """A model's own piece of text: it brings its white space with it."""


class _Uncut:
    """In place of a `ClauseSplitter`."""

    def push(self, text: str) -> list[str]:
        return [_Verbatim(text)] if text else []

    def flush(self) -> list[str]:
        return []


class Composition(Reply):
    """One written answer in the making."""

    def __init__(
        self, report: Callable[[Event], None], tools: CallTools, turn: int, wishes: Wishes, emit: Emit
    ) -> None:
        no_voice = cast(Any, None)
        super().__init__(turn, no_voice, no_voice, report, tools.for_reply(turn, turn), 1)
        self.wishes = wishes
        self.commit()
        self._emit = emit
        self._last = ""
        self.waits_for_expert = False
        """The next words are an acknowledgement, which a reader does not need."""

    def _splitter(self) -> Any:
        return _Uncut()

    async def put(self, clause: str) -> None:
        """The next words of the answer."""
        if self.waits_for_expert:
            self.waits_for_expert = False
            return
        self._written += 1
        apart = self._last and not isinstance(clause, _Verbatim) and not self._last[-1].isspace()
        self._last = f" {clause}" if apart else clause
        await self._emit(WroteText(self._last))


@dataclass(slots=True)
class _Tally:
    """An account that also adds up what one answer took. Everything is passed on."""

    account: Account
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cut_off: bool = False
    model: str = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.account, name)

    def tried(self, tried: Tried) -> None:
        self.account.tried(tried)
        if (done := tried.attempt.done) is not None:
            self.prompt_tokens += done.prompt_tokens
            self.completion_tokens += done.completion_tokens
            self.cached_tokens += done.cached_tokens
            self.cut_off = done.finish_reason == "length"
            self.model = tried.member


@dataclass(frozen=True, slots=True)
class Writer:
    """What a call or a request writes its answers with."""

    call: str
    deps: BrainDeps
    privacy: CallPrivacy
    box: Toolbox
    agenda: Agenda
    spawn: Spawn

    async def write(self, turn: int, lines: Sequence[Line], wishes: Wishes, emit: Emit) -> None:
        """Answer what `lines` end with, piece by piece; the last is a `WroteAll`. `turn`: for the books.

        Cancellation: what was emitted stands; the model stops at its next token.
        """
        tally = _Tally(self.deps.account)
        calls: list[ToolHandedOver] = []
        wanted: list[str] = []

        def report(event: Event) -> None:
            if isinstance(event, ToolHandedOver):
                calls.append(event)
            elif isinstance(event, ErrandWanted):
                wanted.append(event.request)
                composition.waits_for_expert = True

        brain = CallBrain(self.call, replace(self.deps, account=cast(Account, tally)), report)
        brain.privacy = self.privacy
        tools = CallTools(self.box, self.agenda, report, self.spawn)
        composition = Composition(report, tools, turn, wishes, emit)
        failed = ""
        try:
            await brain.answer(composition, turn, "", lines)
            if wanted:
                await _fetch(brain, composition, Errand(turn, turn, wanted[0], report), lines)
        except EngineError as error:
            failed = f"{type(error).__name__}: {error}"
        finally:
            await tools.aclose()
        for call in calls:
            await emit(WroteCall(call.call_id, call.name, call.arguments))
        finish = "failed" if failed else "tool_calls" if calls else "length" if tally.cut_off else "stop"
        counted = (tally.prompt_tokens, tally.completion_tokens, tally.cached_tokens)
        await emit(WroteAll(cast(Any, finish), *counted, failed, tally.model))


def end_talk(call: str, deps: BrainDeps, privacy: CallPrivacy, reason: str) -> None:
    """A written talk is over: every label in it stands, so the books may keep its words, and nothing else is kept."""
    brain = CallBrain(call, deps, lambda _event: None)
    brain.privacy = privacy
    brain.close()
    deps.account.call_ended(call, reason, privacy.strictest)


async def _fetch(brain: CallBrain, composition: Composition, errand: Errand, lines: Sequence[Line]) -> None:
    """Wait for the expert where a caller would have been told to."""
    async with asyncio.TaskGroup() as group:
        group.create_task(brain.run_errand(errand, lines[:-1]), name="errand of a written answer")
        async for clause in errand.words():
            await composition.put(clause)
