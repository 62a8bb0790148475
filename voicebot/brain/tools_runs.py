"""The tools of one call: each wish is carried out once, and what came of it is told once.

Rules:
1. A tool that acts, is slow or sends something away (`Tool.waits`) starts only when its turn stands.
2. A run is known by its turn, its name, its arguments as they are meant ("two" is 2), and the how-manieth such call of
   the attempt it is. Another attempt at the same turn (a retry, a fallback) that asks for the same gets the same run.
3. What acts, or is slow, goes on whatever becomes of its reply. Any other look-up ends with the reply waiting for it.
4. A result goes to the reply that waits for it. Where none does (it was cut off, or the tool is slow and the reply has
   gone on), it is reported and said in the next gap.
5. An equal wish of a later turn joins a run that is still at work, or takes a result that was not said yet. After that
   it is a new wish.
6. A turn that is answered anew has other words: its look-ups are dropped. What acted is not.
7. When the call ends, what acts gets END_S to finish; else it is reported that nobody knows what came of it.
8. There is no await between the beginning of an act and its record, nor between a result and its report.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Coroutine
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from voicebot.brain.toolbox import Toolbox
from voicebot.brain.tools import failure, unknown
from voicebot.brain.tools_numbers import parse_number
from voicebot.brain.tools_types import HANDED_OVER, Tool, ToolContext, ToolResult
from voicebot.core.events import Event, NoticeDue, NoticeWithdrawn, ToolBegan, ToolFinished, ToolHandedOver
from voicebot.core.labels import Label
from voicebot.core.wishes import NO_WISHES, Wishes
from voicebot.engines.base import ToolCall
from voicebot.errors import EngineError

WAIT_S = 0.8
"""How long a reply waits for a slow tool before it says that this takes a while: a pause that is no awkward one yet."""
END_S = 5.0
RUNS_KEPT = 200
"""Runs that are remembered; beyond, the oldest that have been told are forgotten."""
AT_WORK = {"status": "at work; the result is told to the caller when it is there"}
NO_WORDS = "Sorry, I have what you asked for, but I cannot put it into words."
LOST = failure("The call ended before it was known whether this was done.", "")

Phrase = Callable[[ToolResult], Awaitable[str]]
"""Has a model put a result into words. Raises: EngineError."""
Spawn = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]
Wish = tuple[str, str]
"""A tool's name and its arguments as they are meant."""


@dataclass(slots=True, eq=False)
class Run:
    """One wish being carried out. `turn`: the last one that asked for it; `reply`: the last that was told of it."""

    tool: Tool
    call: ToolCall
    wish: Wish
    label: Label
    turn: int
    reply: int
    phrase: Phrase
    result: ToolResult | None = None
    task: asyncio.Task[None] | None = None
    waiting: int = 0
    told: bool = False
    notice: str = ""
    """The words that tell it, while they wait to be said."""

    @property
    def outlives(self) -> bool:
        return self.tool.acting or self.tool.slow


class CallTools:
    """One call's. `spawn` starts a task that ends with the call, after `aclose`. Thread: the loop."""

    def __init__(self, box: Toolbox, context: ToolContext, report: Callable[[Event], None], spawn: Spawn) -> None:
        self.box = box
        self._context = context
        self._report = report
        self._spawn = spawn
        self._runs: dict[tuple[int, Wish, int], Run] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self._handed_over = 0

    def for_reply(self, reply: int, turn: int) -> ReplyTools:
        """What a new reply runs its tools with. Rule 6. `turn` 0: one that runs none."""
        for key, run in list(self._runs.items()):
            if run.turn == turn and not run.tool.acting:
                self._drop(run)
                del self._runs[key]
        return ReplyTools(self, reply, turn)

    def said(self, text: str) -> None:
        """A notice is being said."""
        run = next((run for run in self._runs.values() if text and run.notice == text), None)
        if run is not None:
            run.told, run.notice = True, ""

    async def aclose(self) -> None:
        """The call is over: rule 7."""
        self._closing = True
        acting = {run.task for run in self._runs.values() if run.tool.acting and run.task and not run.task.done()}
        for task in self._tasks - acting:
            task.cancel()
        if acting:
            await asyncio.wait(acting, timeout=END_S)
        for task in self._tasks:
            task.cancel()

    # ---- for ReplyTools

    def claim(self, asked: Run, nth: int) -> Run:
        """The run of this wish: the one that there is, or else `asked`, begun now. Rules 2 and 5."""
        key = (asked.turn, asked.wish, nth)
        found = self._runs.get(key) or self._untold(asked)
        if found is None:
            found = asked
            self._begin(asked)
        found.turn = asked.turn
        if found.outlives or found.task is not None:
            self._runs[key] = found
            self._forget_some()
        return found

    def _untold(self, asked: Run) -> Run | None:
        """An equal wish of an earlier turn whose result nobody has heard; each is found once, as its turn changes."""
        for key, run in self._runs.items():
            if run.wish == asked.wish and run.turn != asked.turn and run.outlives and not run.told:
                return self._runs.pop(key)
        return None

    def _begin(self, run: Run) -> None:
        if run.tool.where == "loop":
            run.result = self.box.run_here(run.tool, self._context, run.call.arguments, run.label)
        else:
            run.task = self._start(self._work(run), run.tool.name)

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = self._spawn(work, f"tool {name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _forget_some(self) -> None:
        for key in [key for key, run in self._runs.items() if run.told][: max(0, len(self._runs) - RUNS_KEPT)]:
            del self._runs[key]

    async def wait(self, run: Run, reply: int) -> None:
        """Until there is a result, or WAIT_S for a slow tool's. Cancellation: rule 3."""
        assert run.task is not None
        if run.tool.acting:
            self._report(ToolBegan(reply, run.tool.name))
        run.waiting += 1
        try:
            await asyncio.wait({run.task}, timeout=WAIT_S if run.tool.slow else None)
        except asyncio.CancelledError:
            run.waiting -= 1
            self._left(run)
            raise
        run.waiting -= 1

    def tell(self, run: Run, reply: int, call: ToolCall) -> ToolResult:
        """The result for a reply, on record with it; or that the tool is at work still."""
        if run.result is None:
            run.reply = reply
            working = ToolResult(AT_WORK, run.tool.working)
            self.report_finished(reply, call, working, run.tool)
            return working
        if run.notice:
            self._report(NoticeWithdrawn(run.notice))
            run.notice = ""
        if not (run.told and run.reply == reply):
            self.report_finished(reply, call, run.result, run.tool)
        run.told, run.reply = True, reply
        return run.result

    def hand_over(self, reply: int, call: ToolCall) -> ToolResult:
        """Have the client run its own tool. Models number their calls from one in every reply, so it gets a new id."""
        self._handed_over += 1
        self._report(ToolHandedOver(reply, f"call_{reply}_{self._handed_over}", call.name, call.arguments))
        return HANDED_OVER

    def report_finished(self, reply: int, call: ToolCall, result: ToolResult, tool: Tool | None) -> None:
        acting = tool is not None and tool.acting
        self._report(
            ToolFinished(reply, call.call_id, call.name, call.arguments, result.value, result.speech, acting=acting)
        )

    # ---- at work

    async def _work(self, run: Run) -> None:
        try:
            run.result = await self.box.run(run.tool, self._context, run.call.arguments, run.label)
        except asyncio.CancelledError:
            if run.tool.acting:
                self.report_finished(run.reply, run.call, LOST, run.tool)
            raise
        if not run.waiting:
            self._late(run)

    def _left(self, run: Run) -> None:
        """A reply waits no longer."""
        if run.waiting or run.told:
            return
        if run.result is None:
            if not run.outlives:
                self._drop(run)
        else:
            self._late(run)

    def _drop(self, run: Run) -> None:
        run.told = True
        if run.task is not None:
            run.task.cancel()
        if run.notice:
            self._report(NoticeWithdrawn(run.notice))

    def _late(self, run: Run) -> None:
        """Rule 4: nobody waits for the result."""
        if not run.outlives:
            return
        assert run.result is not None
        late = ToolCall(f"{run.call.call_id} late", run.call.name, run.call.arguments)
        self.report_finished(run.reply, late, run.result, run.tool)
        if self._closing:
            return
        if run.result.speech:
            self._announce(run, run.result.speech)
        else:
            self._start(self._put_into_words(run, run.result), f"{run.tool.name} words")

    async def _put_into_words(self, run: Run, result: ToolResult) -> None:
        try:
            text = await run.phrase(result)
        except EngineError:
            text = ""
        if not run.told:
            self._announce(run, text or ("That is done now." if run.tool.acting else NO_WORDS))

    def _announce(self, run: Run, text: str) -> None:
        run.notice = text
        self._report(NoticeDue(text))


@dataclass(slots=True)
class ReplyTools:
    """What one reply runs its tools with, through all attempts at it."""

    _calls: CallTools
    _reply: int
    _turn: int
    _label: Label = Label.LOCAL_ONLY
    _offered: dict[str, Tool] = field(default_factory=dict)
    _clients: Collection[str] = ()
    _asked: Counter[Wish] = field(default_factory=Counter)

    def begin(self, label: Label, names: Collection[str] | None, wishes: Wishes = NO_WISHES) -> list[dict[str, Any]]:
        """An attempt begins, with these tools and the client's; their schema. `label`: of the prompt.

        A tool of the client's that is called as one of ours takes its place.
        """
        self._label, self._asked, self._clients = label, Counter(), wishes.tool_names
        offered = self._calls.box.offered(names)
        barred = {name for name, tool in offered.items() if wishes.looks_only and tool.acting}
        self._offered = {name: tool for name, tool in offered.items() if name not in barred.union(self._clients)}
        return [*self._calls.box.schema(self._offered), *wishes.tools]

    async def run(self, call: ToolCall, stands: Callable[[], Awaitable[object]], phrase: Phrase) -> ToolResult:
        """Do what a model asked for. `stands` waits until the turn does; `phrase`: for a late result without words."""
        if call.name in self._clients:
            await stands()
            return self._calls.hand_over(self._reply, call)
        tool = self._offered.get(call.name)
        if tool is None:
            result = unknown(call.name)
            self._calls.report_finished(self._reply, call, result, None)
            return result
        if tool.waits:
            await stands()
        wish = wish_of(call)
        self._asked[wish] += 1
        asked = Run(tool, call, wish, self._label, self._turn, self._reply, phrase)
        run = self._calls.claim(asked, self._asked[wish])
        if run.result is None:
            await self._calls.wait(run, self._reply)
        return self._calls.tell(run, self._reply, call)


def wish_of(call: ToolCall) -> Wish:
    """What the call asks for, whichever way a model writes it."""
    return call.name, json.dumps(_meant(call.arguments), sort_keys=True, ensure_ascii=False)


def _meant(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: meant for key, part in value.items() if (meant := _meant(part)) not in (None, "", [], {})}
    if isinstance(value, list):
        return [_meant(part) for part in value]
    if isinstance(value, str):
        number = parse_number(value)
        return f"= {number}" if number is not None else " ".join(value.casefold().split())
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return f"= {Fraction(str(value))}"
    return value
