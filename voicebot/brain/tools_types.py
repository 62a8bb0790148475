"""The forms that tools share with the session: what a tool is, what it sees of a call, what it gives back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

Where = Literal["loop", "thread", "task"]
"""Where a tool runs: at once on the event loop (pure and quick), on a thread of the tools' lane, or as a task."""

TIMEOUT_S = 10.0
"""How long a tool may take where it does not say."""


@dataclass(frozen=True)
class Scheduled:
    """Something that will be spoken later: kind is "timer", "alarm" or "reminder"; `name` as the caller called it;
    `number` grows with each that is set in a call."""

    id: str
    due: datetime
    kind: str
    text: str
    name: str = ""
    number: int = 0


class ToolContext(Protocol):
    """What tools may see and touch of one call."""

    def now(self) -> datetime:
        """The caller's time, aware of its zone."""
        ...

    def last_reply(self) -> str:
        """What was said last before this turn, "" at the start."""
        ...

    def schedule(self, due: datetime, kind: str, text: str, name: str = "") -> str:
        """Have `text` spoken when `due`; returns an id. Bounded: raises TooManyScheduled when full."""
        ...

    def scheduled(self) -> list[Scheduled]: ...

    def unschedule(self, item_id: str) -> bool: ...

    def set_volume(self, percent: int) -> None: ...

    def volume(self) -> int: ...


class CallContext(ToolContext, Protocol):
    """What tools outside the trained eleven may see and touch besides."""

    @property
    def call_id(self) -> str: ...

    @property
    def caller(self) -> str:
        """Who calls, the same in every call of theirs (a number, an account); "" where that is not known."""
        ...

    @property
    def called(self) -> str:
        """Which of our numbers was called; "" where that is not known."""
        ...

    @property
    def parameters(self) -> Mapping[str, str]:
        """What the carrier was told to pass on with the call."""
        ...

    def send_digits(self, digits: str) -> bool:
        """Play DTMF keys (0-9 * # A-D) into the caller's line. False: this call's line cannot."""
        ...

    def hang_up(self, reason: str) -> bool:
        """End the call once the present reply has been heard. False: this call's transport cannot."""
        ...

    def transfer(self, target: str) -> bool:
        """Hand the caller over to `target` (a telephone number or SIP address). False: the transport cannot."""
        ...


@dataclass(frozen=True)
class ToolResult:
    """`value` is JSON for a model, `speech` is for the caller; `failed` says that nothing was done."""

    value: dict[str, Any]
    speech: str
    failed: bool = False


HANDED_OVER = ToolResult({}, "")
"""In place of a result: the tool is the client's, who has been told, and the reply ends here."""

Run = Callable[[Any, dict[str, Any]], ToolResult]
AsyncRun = Callable[[Any, dict[str, Any]], Awaitable[ToolResult]]


@dataclass(frozen=True)
class Tool:
    """One tool. `parameters` is a JSON schema; `acting` tools change something outside the talk.

    `run` and `run_async` get the call's `CallContext` (the eleven of `brain.tools` need only its `ToolContext`).
    """

    name: str
    description: str
    parameters: dict[str, Any]
    acting: bool
    run: Run
    """For `where` "loop" and "thread"."""
    run_async: AsyncRun | None = None
    """For `where` "task"."""
    where: Where = "loop"
    slow: bool = False
    """It may take longer than a caller waits in silence: it runs on while the talk does."""
    timeout_s: float = TIMEOUT_S
    remote: bool = False
    """Its arguments leave this machine: the privacy rules are asked first."""
    working: str = "I am working on that, and will tell you when it is done."
    """What is said when a slow tool goes on in the background."""
    host: str = ""
    """For a remote one: the machine that its arguments go to, where that is known."""
    source: str = "built in"
    """Where it comes from, for error messages and the operator: a file and line, or an MCP server."""

    @property
    def waits(self) -> bool:
        """It has a side effect or a cost, so it waits for the commit of the caller's turn."""
        return self.acting or self.slow or self.remote


class NotUnderstood(Exception):
    """An argument makes no sense or cannot be served; the message is a sentence for the caller."""


class TooManyScheduled(Exception):
    """A context's list of scheduled things is full."""
