"""Events and commands of errands: questions that an expert works on in the background while the talk goes on.

An errand is wanted by a reply (which says a few words meanwhile), begun when that reply's turn stands, and ends exactly
once, with DropErrand: its answer was delivered, or nobody wants it any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["answered", "failed"]
ErrandState = Literal["pending", "ready", "speaking", "delivered", "cancelled", "superseded", "stale", "ended"]


@dataclass(frozen=True, slots=True)
class ErrandWanted:
    """An event: this reply only acknowledges; an expert shall answer `request`, the caller's words."""

    reply: int
    request: str


@dataclass(frozen=True, slots=True)
class ErrandReady:
    """An event: the first words of the errand's answer are there, or words that say why there is none."""

    errand: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class ErrandRefused:
    """An event: the caller pressed "cancel" on the errand's mark on the page."""

    errand: int


@dataclass(frozen=True, slots=True)
class BeginErrand:
    """A command: ask the expert, once, and report ErrandReady. The turn stands: money may be spent."""

    errand: int
    turn: int
    request: str


@dataclass(frozen=True, slots=True)
class DeliverErrand:
    """A command: voice the errand's answer, from its first clause on, as this reply.

    `introduce`: the talk has moved on, so say first what it answers.
    """

    reply: int
    errand: int
    introduce: bool


@dataclass(frozen=True, slots=True)
class DropErrand:
    """A command: the errand is over; stop the expert if it works still. Exactly once for every errand begun."""

    errand: int


@dataclass(frozen=True, slots=True)
class PublishErrand:
    """A command, for the page: what has become of the errand that `turn` asked for."""

    errand: int
    turn: int
    request: str
    state: ErrandState


ErrandEvent = ErrandWanted | ErrandReady | ErrandRefused
ErrandCommand = BeginErrand | DeliverErrand | DropErrand | PublishErrand
