"""An answer in writing, as it comes: what the brain gives to clients that read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class WroteText:
    """The next piece of its text."""

    text: str


@dataclass(frozen=True, slots=True)
class WroteCall:
    """A tool that the client runs."""

    call_id: str
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class WroteAll:
    """The end, always last. Token counts are over all generations for it; 0 where an engine counts none.

    `finish` "failed": nothing more comes, for `reason`.
    """

    finish: Literal["stop", "length", "tool_calls", "failed"]
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reason: str = ""
    model: str = ""


Piece = WroteText | WroteCall | WroteAll
