"""What the brain and a call tell of themselves, for whoever keeps the books. Words only where a method says so."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, Protocol

from voicebot.brain.policy import EXPERT as EXPERT  # The name under which its attempts are kept.
from voicebot.brain.reply import Attempt
from voicebot.core.events import PublishErrand, PublishTurn
from voicebot.core.labels import Label

Purpose = Literal["live", "shadow", "judge"]
Outcome = Literal["ok", "rejected", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Decision:
    """How one turn was routed. `reason`: the policy's; probabilities are the router's, NaN without a router."""

    call: str
    turn: int
    task: str
    hard: float
    oos: float
    confidence: float
    label: Label
    reason: str


@dataclass(frozen=True, slots=True)
class Tried:
    """One model's attempt at one turn. `agreement`: of a shadow or judge, 0..1; NaN for none.

    The attempt's words are for `brain.shadow`; an account keeps none of them.
    """

    call: str
    turn: int
    member: str
    attempt: Attempt
    label: Label
    outcome: Outcome
    reason: str = ""
    purpose: Purpose = "live"
    remote: bool = False
    agreement: float = math.nan


class Account(Protocol):
    """Every method returns at once and never raises."""

    def call_began(self, call: str, transport: str, trace: str) -> None: ...

    def call_ended(self, call: str, reason: str, label: Label) -> None: ...

    def decided(self, decision: Decision) -> None:
        """A turn's plan; the turn may still be taken back."""
        ...

    def committed(self, call: str, turn: int, heard: str) -> None:
        """The turn stands. `heard`: the caller's words."""
        ...

    def spoken(self, call: str, turn: PublishTurn) -> None:
        """The turn's account so far, with words; told when its first sound goes out and when it has ended."""
        ...

    def settled(self, call: str, turn: int, label: Label) -> None:
        """The turn's label stands: until now its words could still become private."""
        ...

    def tried(self, tried: Tried) -> None: ...

    def errand(self, call: str, errand: PublishErrand) -> None: ...

    def cost_usd(self, call: str, turn: int) -> float | None:
        """What the turn's attempts have cost so far; None where a price is not known."""
        ...


@dataclass(slots=True)
class Notebook:
    """An account that only remembers: for tests, and where no ledger is kept."""

    decisions: list[Decision] = field(default_factory=list)
    attempts: list[Tried] = field(default_factory=list)

    def call_began(self, call: str, transport: str, trace: str) -> None: ...

    def call_ended(self, call: str, reason: str, label: Label) -> None: ...

    def decided(self, decision: Decision) -> None:
        self.decisions.append(decision)

    def committed(self, call: str, turn: int, heard: str) -> None: ...

    def spoken(self, call: str, turn: PublishTurn) -> None: ...

    def settled(self, call: str, turn: int, label: Label) -> None: ...

    def tried(self, tried: Tried) -> None:
        self.attempts.append(tried)

    def errand(self, call: str, errand: PublishErrand) -> None: ...

    def cost_usd(self, call: str, turn: int) -> float | None:
        return None
