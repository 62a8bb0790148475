"""The tools of a server by name (built in, the operator's, those of MCP servers), and how one of them is run.

Rules:
1. Whatever a tool does, a `ToolResult` comes back: a fault, a timeout or a refusal is a failed one, with words for the
   caller. What went wrong is logged without the arguments, which are the caller's words.
2. A remote tool never gets the words of a private turn. For others the gate is asked; the one that is there by default
   denies everything.
3. Tools on threads see the call through `OnLoop`: what they ask of it is done on the event loop.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from voicebot.brain.tools import TOOLS, failure, openai_schema, refusal, run_here
from voicebot.brain.tools_types import NotUnderstood, Tool, ToolContext, ToolResult, TooManyScheduled
from voicebot.core.labels import Label
from voicebot.engines.base import Cancel, Locality
from voicebot.errors import ConfigError, EgressDenied, EngineError
from voicebot.lane import Lane, LaneLike

log = logging.getLogger(__name__)
THREADS = 4
LOOP_S = 5.0
"""How long a tool's thread waits for the event loop to answer it."""
VALUE_CHARS = 8000
"""Longest result, as JSON, that a model is shown: about two thousand tokens."""
_NAME = re.compile(r"[^a-zA-Z0-9_-]")
"""What the OpenAI chat format does not take in a tool's name."""


class Gate(Protocol):
    """The privacy rules, asked before a remote tool runs."""

    def __call__(self, tool: Tool, arguments: Mapping[str, Any], label: Label, /) -> None:
        """`label`: of the prompt that the arguments were made from. Raises: EgressDenied."""
        ...


def denied(tool: Tool, _arguments: Mapping[str, Any], _label: Label) -> None:
    """Nothing leaves. Raises: EgressDenied."""
    raise EgressDenied(f"{tool.name} works on {destination(tool)}; name that in privacy.allow to let it")


def allowed(destinations: Collection[str], clean: Callable[[str], bool]) -> Gate:
    """A gate to what the operator has named: hosts, or names of tools.

    A turn that is to be redacted passes if its arguments are `clean` (nothing in them would be redacted): a tool cannot
    work with placeholders.
    """

    def gate(tool: Tool, arguments: Mapping[str, Any], label: Label) -> None:
        if destination(tool) not in destinations:
            denied(tool, arguments, label)
        if label is not Label.OPEN and not clean(json.dumps(arguments, ensure_ascii=False)):
            raise EgressDenied(f"what {tool.name} would send to {destination(tool)} has personal details in it")

    return gate


def destination(tool: Tool) -> str:
    return tool.host or tool.name


class ToolThreads:
    """The lane's owner of nothing: it has threads so that plain functions may block."""

    locality: Locality = "local"
    max_concurrency = THREADS
    name = "tools"

    def load(self) -> None: ...

    def close(self) -> None: ...


class Toolbox:
    """One per server. Thread: the loop."""

    def __init__(
        self,
        tools: Iterable[Tool] = TOOLS.values(),
        gate: Gate = denied,
        threads: LaneLike[ToolThreads] | None = None,
    ) -> None:
        """`threads` None: a lane of its own, which `load` starts. Raises: ConfigError, as `add`."""
        self._own = Lane(ToolThreads()) if threads is None else None
        self._threads: LaneLike[ToolThreads] = self._own or threads  # type: ignore[assignment]
        self._gate = gate
        self._tools: dict[str, Tool] = {}
        self._groups: dict[str, dict[str, Tool]] = {}
        self.add(tools)

    async def load(self) -> None:
        """Start the threads."""
        if self._own is not None:
            await self._own.load()

    async def aclose(self) -> None:
        """Let what runs on a thread end. Idempotent."""
        if self._own is not None:
            await self._own.aclose()

    # ---- which there are

    def add(self, tools: Iterable[Tool]) -> None:
        """Raises: ConfigError, for a name that is taken."""
        for tool in tools:
            if (there := self._tools.get(tool.name)) is not None:
                raise ConfigError(
                    f"{tool.source}: a tool called {tool.name} is there already ({there.source}); "
                    'give this one another name, as in @tool(name="...")'
                )
            self._tools[tool.name] = tool

    def put_group(self, group: str, tools: Iterable[Tool]) -> None:
        """Have exactly these tools of an MCP server. A name that others have gets the server's name before it."""
        self._groups.pop(group, None)
        mine: dict[str, Tool] = {}
        for tool in tools:
            name = _NAME.sub("_", tool.name)[:64]
            if self.find(name) is not None or name in mine:
                name = _NAME.sub("_", f"{group}_{tool.name}")[:64]
            if self.find(name) is not None or name in mine:
                log.warning("%s: left out a second tool called %s", tool.source, name)
                continue
            mine[name] = replace(tool, name=name)
        self._groups[group] = mine

    def find(self, name: str) -> Tool | None:
        groups = (group[name] for group in self._groups.values() if name in group)
        return self._tools.get(name) or next(groups, None)

    def offered(self, names: Collection[str] | None) -> dict[str, Tool]:
        """Those of a member of the fleet: `names`, as far as they are there now, or None for all."""
        everything = dict(self._tools)
        for group in self._groups.values():
            everything |= group
        return {name: tool for name, tool in everything.items() if names is None or name in names}

    def schema(self, names: Collection[str] | None) -> list[dict[str, Any]]:
        """The `tools` list of the OpenAI chat format."""
        return openai_schema(self.offered(names).values())

    # ---- running one

    def run_here(self, tool: Tool, context: ToolContext, arguments: Any, label: Label) -> ToolResult:
        """A tool of the loop, at once."""
        try:
            self._ask_gate(tool, arguments, label)
            return _cut(run_here(tool, context, arguments))
        except Exception as error:  # noqa: BLE001 - an operator's tool may raise anything
            return _fault(tool, error)

    async def run(self, tool: Tool, context: ToolContext, arguments: Any, label: Label) -> ToolResult:
        """A tool on a thread or as a task. Cancellation: a task is cancelled; a thread runs to its end unheard."""
        try:
            self._ask_gate(tool, arguments, label)
            async with asyncio.timeout(tool.timeout_s):
                return _cut(await self._run(tool, context, arguments))
        except Exception as error:  # noqa: BLE001 - as above
            return _fault(tool, error)

    async def _run(self, tool: Tool, context: ToolContext, arguments: Any) -> ToolResult:
        if tool.run_async is not None:
            return await tool.run_async(context, arguments if isinstance(arguments, dict) else {})
        on_loop: Any = OnLoop(context, asyncio.get_running_loop())

        def work(_cancel: Cancel) -> ToolResult:
            try:
                return run_here(tool, on_loop, arguments)
            except Exception as error:  # noqa: BLE001 - as above; the lane would hide what it was
                return _fault(tool, error)

        return await self._threads.run(work)

    def _ask_gate(self, tool: Tool, arguments: Any, label: Label) -> None:
        """Raises: EgressDenied."""
        if not tool.remote:
            return
        if label is Label.LOCAL_ONLY:
            raise EgressDenied(f"{tool.name} works on {destination(tool)}, and this turn is private")
        self._gate(tool, arguments if isinstance(arguments, dict) else {}, label)


class OnLoop:
    """A call's context as a thread sees it. Raises: TimeoutError, if the loop does not answer within LOOP_S."""

    def __init__(self, context: ToolContext, loop: asyncio.AbstractEventLoop) -> None:
        self._context = context
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._context, name)
        if not callable(found):
            return found

        async def call(*args: Any, **kwargs: Any) -> Any:
            return found(*args, **kwargs)

        def ask(*args: Any, **kwargs: Any) -> Any:
            return asyncio.run_coroutine_threadsafe(call(*args, **kwargs), self._loop).result(LOOP_S)

        return ask


def _cut(result: ToolResult) -> ToolResult:
    """Raises: TypeError, for a value that is no JSON."""
    text = json.dumps(result.value, ensure_ascii=False)
    if len(text) <= VALUE_CHARS:
        return result
    return ToolResult({"beginning": text[:VALUE_CHARS], "characters": len(text)}, result.speech, result.failed)


def _fault(tool: Tool, error: Exception) -> ToolResult:
    """What the caller and the model are told of it."""
    if isinstance(error, NotUnderstood | TooManyScheduled):
        return refusal(error)
    if isinstance(error, EgressDenied):
        return failure(str(error), "Sorry, I would have to send what you said elsewhere for that, and I may not.")
    if isinstance(error, TimeoutError):
        log.warning("%s (%s) took longer than %g s", tool.name, tool.source, tool.timeout_s)
        if tool.acting:
            said = "Sorry, that took too long, and I cannot tell whether it was done."
            return failure(f"{tool.name} did not answer in time; it may have been done. Do not repeat it.", said)
        return failure(f"{tool.name} did not answer in time.", "Sorry, that took too long.")
    if isinstance(error, EngineError):
        log.warning("%s (%s): %s", tool.name, tool.source, error)
    else:
        log.error("%s (%s) failed: %s at %s", tool.name, tool.source, type(error).__name__, _place(error))
    return failure(f"{tool.name} failed.", "Sorry, that did not work.")


def _place(error: Exception) -> str:
    """File and line where it was raised: what an operator needs, and none of the caller's words."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else "an unknown place"
