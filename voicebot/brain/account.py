"""What the brain tells of itself, for whoever keeps the books: the ledger, the metrics. Nothing here holds words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from voicebot.brain.reply import Attempt
from voicebot.core.labels import Label

Purpose = Literal["live", "shadow"]


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
    """One model's attempt at one turn. `outcome`: "ok", "rejected", "failed" or "cancelled"."""

    call: str
    turn: int
    member: str
    attempt: Attempt
    label: Label
    outcome: str
    reason: str = ""
    purpose: Purpose = "live"


class Account(Protocol):
    """Every method returns at once and never raises."""

    def decided(self, decision: Decision) -> None: ...

    def tried(self, tried: Tried) -> None: ...


@dataclass(slots=True)
class Notebook:
    """An account that only remembers: for tests, and where no ledger is kept."""

    decisions: list[Decision] = field(default_factory=list)
    attempts: list[Tried] = field(default_factory=list)

    def decided(self, decision: Decision) -> None:
        self.decisions.append(decision)

    def tried(self, tried: Tried) -> None:
        self.attempts.append(tried)
