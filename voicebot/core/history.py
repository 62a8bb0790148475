"""The talk so far, as models get to see it: what the caller said and what the caller heard, nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

INTERRUPTED = "—"
"""Ends a reply that the caller cut short, so that a model does not take it for a finished thought."""


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A tool that ran in a turn: its call and its result. Without a result (yet) it is in no prompt."""

    call_id: str
    name: str
    arguments: dict[str, Any]
    value: dict[str, Any] | None


@dataclass(slots=True)
class Exchange:
    """One turn: the caller's words, the tools that ran, and the bot's words as far as they were heard."""

    turn: int
    caller: str
    tools: list[ToolUse] = field(default_factory=list)
    bot: str = ""
    interrupted: bool = False
    about: int = 0
    """For an expert's late answer: the turn that asked for it; 0 for everything else."""


@dataclass(frozen=True, slots=True)
class Line:
    """One message of a prompt. For role "tool", `tool` is the call whose result it is.

    `turn`: whose words it holds or answers, for the privacy of both.
    """

    role: Literal["user", "assistant", "tool"]
    text: str = ""
    tool: ToolUse | None = None
    turn: int = 0


class History:
    """The exchanges of a call, oldest first. `turns`: how many a prompt contains at most, and more than half of them.

    A prompt loses its oldest half at once, not a turn each time: its beginning stays as it is for the next turns, so
    that a model which keeps what it has read need not read all of it again in every turn.
    """

    def __init__(self, turns: int) -> None:
        self._turns = turns
        self.exchanges: list[Exchange] = []

    def add(self, turn: int, caller: str, about: int = 0) -> Exchange:
        """Begin an exchange: a committed turn, or the bot speaking unasked (`caller` "")."""
        exchange = Exchange(turn, caller, about=about)
        self.exchanges.append(exchange)
        return exchange

    def remove(self, turn: int) -> None:
        """Take a reopened turn's exchange back."""
        self.exchanges = [exchange for exchange in self.exchanges if exchange.turn != turn]

    def answer_tool(self, call_id: str, value: dict[str, Any]) -> bool:
        """Put a tool's result to its call; False if nothing waits for one of that name."""
        for exchange in reversed(self.exchanges):
            for at, tool in enumerate(exchange.tools):
                if tool.call_id == call_id and tool.value is None:
                    exchange.tools[at] = replace(tool, value=value)
                    return True
        return False

    def forget(self, turn: int, role: Literal["user", "assistant", "tool"], call_id: str) -> bool:
        """Take one side's words, or a tool's run, out of a turn; False if there are none."""
        exchange = next((one for one in self.exchanges if one.turn == turn), None)
        if exchange is None:
            return False
        if role == "user":
            exchange.caller = ""
        elif role == "assistant":
            exchange.bot = ""
        else:
            exchange.tools = [tool for tool in exchange.tools if tool.call_id != call_id]
        return True

    def lines(self, before: int | None = None) -> list[Line]:
        """The last turns as prompt messages; an exchange is taken whole or not at all.

        `before`: a turn that is to be answered now, which may be an exchange already; its words are not among these.
        """
        exchanges = [exchange for exchange in self.exchanges if exchange.turn != before]
        step = -(-self._turns // 2)
        over = max(0, len(exchanges) - self._turns)
        return [line for exchange in exchanges[-(-over // step) * step :] for line in _lines(exchange)]

    def last_reply(self) -> str:
        """What the bot said last, as far as it was heard; "" if nothing yet."""
        return next((exchange.bot for exchange in reversed(self.exchanges) if exchange.bot), "")


def _lines(exchange: Exchange) -> list[Line]:
    turn = exchange.about or exchange.turn
    lines = [Line("user", exchange.caller, turn=turn)] if exchange.caller else []
    for tool in exchange.tools:
        if tool.value is None:
            continue
        lines += [Line("assistant", tool=tool, turn=turn), Line("tool", tool=tool, turn=turn)]
    if exchange.bot:
        bot = f"{exchange.bot}{INTERRUPTED}" if exchange.interrupted else exchange.bot
        lines.append(Line("assistant", bot, turn=turn))
    return lines
