"""What a client wants of replies, over what the operator has set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Wishes:
    """One reply's, or all of a call's. None and "" leave a thing as the operator has it."""

    instructions: str = ""
    """Added to the instructions of whichever local model answers."""
    tools: tuple[dict[str, Any], ...] = ()
    """Tools that the client runs, as in the `tools` list of the OpenAI chat format."""
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    schema: dict[str, Any] | None = None
    """A JSON schema that the answer shall fit."""
    looks_only: bool = False
    """Of the server's own tools, only those that change nothing."""
    member: str = ""
    """The one member of the fleet that shall answer; "" for the router's choice."""

    @property
    def tool_names(self) -> frozenset[str]:
        return frozenset(tool["function"]["name"] for tool in self.tools)


NO_WISHES = Wishes()
