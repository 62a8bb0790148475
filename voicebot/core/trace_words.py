"""Words out of a trace: whose words a step holds, and the step without them. Pure.

A private turn's words are replaced by tokens ("x7x"), the same word by the same token for a whole call and where it can
be of the same length, so that what the machine decided by equality and by length is decided again in a replay; what it
decided by meaning is not, and `replay` says so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

from voicebot.core import events as ev
from voicebot.core.events import Command, Event
from voicebot.core.text import is_backchannel, is_stop

LEFT_OUT = "left_out"
"""The key that marks a line whose words were left out."""
NO_WORDS = frozenset({"model", "stage", "state", "outcome", "route", "waterfall", "name", "role"})
"""Fields of text that are ours, whoever speaks. Every other text is somebody's words."""
OURS = (ev.CallStarted, ev.CallEnded, ev.EndCall)
"""Steps whose every text is ours."""
NOBODY = -1
"""Stands for the turn of greetings, apologies and notices, which answer nobody."""
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


class Owners:
    """Which turns the words of a step belong to: learned from the commands that began drafts, replies and errands."""

    def __init__(self) -> None:
        self._turns: dict[tuple[str, int], int] = {}
        """Kind and id -> turn. The number of an answer that comes late is that of no turn of the caller's."""

    def of(self, event: Event, commands: Sequence[Command]) -> list[frozenset[int]]:
        """For the event and each command: the turns that it names, itself or by a draft, reply or errand of theirs.

        What names none (a typed turn, before it has a number) belongs to the turn that the step begins to answer.
        """
        for command in commands:
            self._learn(command)
        begun = frozenset(command.turn for command in commands if isinstance(command, ev.BeginReply))
        return [self._named(part) or begun for part in (event, *commands)]

    def _learn(self, command: Command) -> None:
        match command:
            case ev.BeginDraft(draft, turn):
                self._turns["draft", draft] = turn
            case ev.BeginReply(reply, turn):
                self._turns["reply", reply] = turn
            case ev.Speak(reply):
                self._turns["reply", reply] = NOBODY
            case ev.BeginErrand(errand, turn):
                self._turns["errand", errand] = turn
            case ev.DeliverErrand(reply, errand) if ("errand", errand) in self._turns:
                self._turns["reply", reply] = self._turns["errand", errand]
            case ev.PublishReply(number, reply) if self._turns.get(("reply", reply), number) != number:
                self._turns["turn", number] = self._turns["reply", reply]

    def _named(self, part: Event | Command) -> frozenset[int]:
        ids = [(kind, value) for kind in ("turn", "draft", "reply", "errand")
               if isinstance(value := getattr(part, kind, None), int)]  # fmt: skip
        return frozenset(self._turns.get(one, one[1]) for one in ids) - {NOBODY}


def has_words(part: Event | Command) -> bool:
    """Whether a field of it may hold somebody's words."""
    texts = (getattr(part, f.name) for f in fields(part) if f.name not in NO_WORDS)
    return not isinstance(part, OURS) and any(isinstance(text, str | dict) and text for text in texts)


def only_noises(part: Event | Command) -> bool:
    """Whether its words are none but those with which listeners listen and callers stop the bot."""
    texts = [value for f in fields(part) if f.name not in NO_WORDS and isinstance(value := getattr(part, f.name), str)]
    return all(is_backchannel(text) or is_stop(text) for text in texts)


class Tokens:
    """One call's words and what stands for them."""

    def __init__(self) -> None:
        self._tokens: dict[str, str] = {}

    def without(self, part: Event | Command) -> dict[str, Any]:
        """The fields of an event or a command, its words replaced."""
        given = asdict(part)
        if isinstance(part, OURS):
            return given
        return {key: value if key in NO_WORDS else self._replaced(value) for key, value in given.items()}

    def _replaced(self, value: Any, within: bool = False) -> Any:
        """Figures of a step stay (ids, samples, probabilities); those within a tool's arguments and result do not."""
        if isinstance(value, str):
            return _WORD.sub(lambda match: self._token(match.group()), value)
        if isinstance(value, dict):
            return {self._replaced(key): self._replaced(item, within=True) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._replaced(item, within=True) for item in value]
        return 0 if within and not isinstance(value, bool) and value is not None else value

    def _token(self, word: str) -> str:
        plain = word.lower()
        token = self._tokens.setdefault(plain, f"x{len(self._tokens)}")
        return token.ljust(len(word), "x")
