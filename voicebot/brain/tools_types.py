"""The forms that tools share with the session: what a tool is, what it sees of a call, what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True)
class Scheduled:
    """Something that will be spoken later: kind is "timer", "alarm" or "reminder"; `name` as the caller called it."""

    id: str
    due: datetime
    kind: str
    text: str
    name: str = ""


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


@dataclass(frozen=True)
class ToolResult:
    """`value` is JSON for a model, `speech` is for the caller; `failed` says that nothing was done."""

    value: dict[str, Any]
    speech: str
    failed: bool = False


@dataclass(frozen=True)
class Tool:
    """One tool. `parameters` is a JSON schema; `acting` tools wait for the commit of the turn."""

    name: str
    description: str
    parameters: dict[str, Any]
    acting: bool
    run: Callable[[ToolContext, dict[str, Any]], ToolResult]


class NotUnderstood(Exception):
    """An argument makes no sense; the message is a sentence for the caller."""


class TooManyScheduled(Exception):
    """A context's list of scheduled things is full."""
