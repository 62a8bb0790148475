"""The bill: what was spent, and what it would have been had a frontier model answered every turn.

How the comparison counts:
- A turn's tokens are those of its last live attempt that succeeded: the answer that the caller got. Where the engine
  counted none, they are estimated at 4 characters per token.
- They are priced as the reference model prices a request without prompt caching, plus `prompt_tokens` for the longer
  prompt that one model for everything would need (0 unless set).
- What was spent holds everything: retries, failures, cancelled drafts, shadow copies and judges.
- Turns that no model answered (a tool did) cost nothing here and are left out of the comparison.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from voicebot.ledger.prices import Price, estimated_tokens

By = Literal["task", "member", "day"]
ANSWERS = ("live", "draft")
Record = Mapping[str, Any]


@dataclass(slots=True)
class Line:
    """A part of the bill. Money in US dollars."""

    turns: int = 0
    attempts: int = 0
    escalated: int = 0
    live_usd: float = 0.0
    shadow_usd: float = 0.0
    judge_usd: float = 0.0
    unknown: int = 0
    """Attempts whose cost is not known; they are in no sum."""
    compared: int = 0
    """Turns that the comparison knows the tokens of."""
    estimated: int = 0
    """Of those, the ones whose tokens were estimated."""
    all_frontier_usd: float = 0.0

    @property
    def spent_usd(self) -> float:
        return self.live_usd + self.shadow_usd + self.judge_usd

    @property
    def ratio(self) -> float | None:
        """How many times less than all-frontier; None where nothing was spent or nothing can be compared."""
        return self.all_frontier_usd / self.spent_usd if self.spent_usd and self.compared else None

    def document(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__} | {
            "spent_usd": self.spent_usd,
            "ratio": self.ratio,
            "escalated_share": self.escalated / self.turns if self.turns else None,
        }

    def add(self, attempt: Record) -> None:
        """Book one attempt."""
        self.attempts += 1
        cost = attempt["cost_usd"]
        if cost is None:
            self.unknown += 1
        elif attempt["purpose"] == "shadow":
            self.shadow_usd += cost
        elif attempt["purpose"] == "judge":
            self.judge_usd += cost
        else:
            self.live_usd += cost


@dataclass(slots=True)
class Bill:
    """`lines`: by task, member or day; `total` is over all. `why`: reason of an escalation -> how many."""

    reference: str
    price: Price
    prompt_tokens: int
    total: Line = field(default_factory=Line)
    lines: dict[str, Line] = field(default_factory=dict)
    why: Counter[str] = field(default_factory=Counter)
    unknown_models: Counter[str] = field(default_factory=Counter)

    def document(self) -> dict[str, Any]:
        """As JSON shows it."""
        return {
            "reference": {
                "model": self.reference,
                "input_usd_per_mtok": self.price.input_usd,
                "output_usd_per_mtok": self.price.output_usd,
                "prompt_tokens_added": self.prompt_tokens,
            },
            "total": self.total.document(),
            "lines": {name: line.document() for name, line in sorted(self.lines.items())},
            "escalated_why": dict(self.why.most_common()),
            "unknown_cost_models": dict(self.unknown_models.most_common()),
        }


def make_bill(
    turns: Iterable[Record],
    attempts: Iterable[Record],
    escalations: Iterable[Record],
    *,
    reference: str,
    price: Price,
    prompt_tokens: int = 0,
    by: By = "task",
) -> Bill:
    """Add up. `attempts` in the order of their start; `price`: the reference model's."""
    bill = Bill(reference, price, prompt_tokens)
    known = {(turn["call"], turn["turn"]): turn for turn in turns}
    answers: dict[tuple[str, int], Record] = {}
    for attempt in attempts:
        key = (attempt["call"], attempt["turn"])
        for line in _lines(bill, _group(by, known.get(key), attempt)):
            line.add(attempt)
        if attempt["cost_usd"] is None:
            bill.unknown_models[attempt["model"]] += 1
        if attempt["purpose"] in ANSWERS and attempt["outcome"] == "ok":
            answers[key] = attempt
    escalated = {(row["call"], row["turn"]): row for row in escalations}
    for key, turn in known.items():
        _book_turn(bill, by, turn, answers.get(key), escalated.get(key))
    return bill


def _book_turn(bill: Bill, by: By, turn: Record, answer: Record | None, escalation: Record | None) -> None:
    tokens, estimated = _tokens(answer)
    if escalation is not None:
        bill.why[escalation["why"] or "no reason recorded"] += 1
    for line in _lines(bill, _group(by, turn, answer)):
        line.turns += 1
        line.escalated += escalation is not None
        if tokens is not None:
            line.compared += 1
            line.estimated += estimated
            line.all_frontier_usd += bill.price.cost(tokens[0] + bill.prompt_tokens, tokens[1])


def _tokens(answer: Record | None) -> tuple[tuple[int, int] | None, bool]:
    """Prompt's and completion's tokens of an answer, and whether they are an estimate."""
    if answer is None:
        return None, False
    counted = answer["prompt_tokens"], answer["completion_tokens"]
    if None not in counted:
        return counted, False
    chars = answer["prompt_chars"], answer["completion_chars"]
    if None not in chars:
        return (estimated_tokens(chars[0]), estimated_tokens(chars[1])), True
    return None, False


def _lines(bill: Bill, group: str) -> tuple[Line, Line]:
    return bill.total, bill.lines.setdefault(group, Line())


def _group(by: By, turn: Record | None, attempt: Record | None) -> str:
    """The name of the line that a turn or an attempt is booked on."""
    if by == "member":
        member = attempt["member"] if attempt is not None else turn and turn["answered_by"]
        return str(member or "(none)")
    if by == "day":
        seconds = turn["at_s"] if turn is not None else attempt and attempt["started_s"]
        return time.strftime("%Y-%m-%d", time.gmtime(seconds or 0.0))
    return str((turn and turn["task"]) or "(none)")
