"""Events and commands of tools: what a model has run for a caller, at once or while the talk goes on.

A tool that acts on a thread or far away has begun before it has finished. From its beginning on its turn stands; what
comes of it is told in its reply, or, when that reply has been cut off or has gone on, as a notice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ToolBegan:
    """An event: a tool that acts is at work for a reply, and nobody can take that back."""

    reply: int
    name: str


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """An event: a tool ran for a reply. `acting`: it changed something outside the talk; `value` is its JSON result."""

    reply: int
    call_id: str
    name: str
    arguments: dict[str, Any]
    value: dict[str, Any]
    speech: str
    acting: bool


@dataclass(frozen=True, slots=True)
class NoticeWithdrawn:
    """An event: what a NoticeDue wanted said has been said otherwise."""

    text: str


@dataclass(frozen=True, slots=True)
class PublishTool:
    """A command, for the page."""

    turn: int
    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    speech: str = ""
