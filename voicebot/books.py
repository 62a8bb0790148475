"""Keeps the ledger of a server's calls: what the brain and the sessions tell, as rows. Thread: the loop."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from voicebot.brain.account import Decision, Tried
from voicebot.config_brain import LedgerConfig
from voicebot.core.events import PublishErrand, PublishTurn
from voicebot.core.labels import Label
from voicebot.ledger.prices import Price, Prices
from voicebot.ledger.rows import AttemptRow, CallRow, EscalationRow, Row, TurnRow

TURNS_KEPT = 4096
"""Turns whose decision and cost are remembered, over all calls; the oldest beyond are forgotten here, not on disk."""
ENDED = {
    "delivered": "spoken",
    "cancelled": "cancelled",
    "superseded": "merged",
    "stale": "dropped",
    "ended": "dropped",
}


class Writer(Protocol):
    """As `ledger.writer.LedgerWriter`."""

    def write(self, row: Row) -> bool: ...


def prices_of(ledger: LedgerConfig) -> Prices:
    """The price lists, and over them what the settings say."""
    listed = {name: Price(one.input_usd, one.output_usd, one.cached_usd) for name, one in ledger.prices.items()}
    return Prices(listed, ledger.local_usd_per_hour)


@dataclass(slots=True)
class _Turn:
    decision: Decision | None = None
    committed: bool = False
    at_s: float = 0.0
    heard: str = ""
    said: str = ""
    """Words wait here until the turn's label stands; see `brain.privacy`."""
    answered_by: str | None = None
    cost_usd: float | None = 0.0
    rejected: str = ""
    """Why the last member's answer was not good enough."""

    @property
    def why_escalated(self) -> str | None:
        """In a few words and without numbers, so that equal reasons add up: "hard", "unsure"."""
        why = self.rejected or (self.decision.reason if self.decision else "")
        return why.partition(":")[0].partition(" (")[0] or None


@dataclass(slots=True)
class Books:
    """An `brain.account.Account`. `engines`: member -> (engine URL without secrets, model), for the price lists."""

    writer: Writer
    prices: Prices
    engines: Mapping[str, tuple[str, str]]
    _calls: dict[str, CallRow] = field(default_factory=dict)
    _turns: OrderedDict[tuple[str, int], _Turn] = field(default_factory=OrderedDict)
    _escalations: dict[tuple[str, int], EscalationRow] = field(default_factory=dict)

    def call_began(self, call: str, transport: str, trace: str) -> None:
        row = self._calls[call] = CallRow(id=call, started_s=time.time(), transport=transport, trace=trace)
        self.writer.write(row)

    def call_ended(self, call: str, reason: str, label: Label) -> None:
        row = self._calls.pop(call)
        self.writer.write(replace(row, ended_s=time.time(), end_reason=reason, label=str(label)))
        for key in [key for key in self._escalations if key[0] == call]:
            del self._escalations[key]

    def decided(self, decision: Decision) -> None:
        self._turn(decision.call, decision.turn).decision = decision

    def committed(self, call: str, turn: int, heard: str) -> None:
        known = self._turn(call, turn)
        known.committed, known.heard, known.at_s = True, heard, time.time()
        self.writer.write(self._row(call, turn))

    def spoken(self, call: str, turn: PublishTurn) -> None:
        known = self._turn(call, turn.turn)
        if known.committed:
            known.said = turn.reply
            self.writer.write(replace(self._row(call, turn.turn), v2v_ms=turn.v2v_ms))

    def settled(self, call: str, turn: int, label: Label) -> None:
        known = self._turn(call, turn)
        if known.committed:
            row = self._row(call, turn)
            self.writer.write(replace(row, label=str(label), heard=known.heard, said=known.said))

    def tried(self, tried: Tried) -> None:
        engine, model = self.engines.get(tried.member, ("", tried.attempt.engine))
        done, known = tried.attempt.done, self._turn(tried.call, tried.turn)
        row = AttemptRow(
            call=tried.call,
            turn=tried.turn,
            member=tried.member,
            engine=engine,
            model=model,
            purpose=tried.purpose,
            started_s=time.time() - tried.attempt.ms / 1000,
            ms=tried.attempt.ms,
            ttft_ms=_known(tried.attempt.ttft_ms),
            prompt_tokens=done.prompt_tokens or None if done else None,
            completion_tokens=done.completion_tokens or None if done else None,
            cached_tokens=done.cached_tokens if done else None,
            prompt_chars=tried.attempt.prompt_chars or None,
            completion_chars=tried.attempt.completion_chars or None,
            outcome=tried.outcome,
            reason=tried.reason or None,
            mean_logprob=_known(done.mean_logprob) if done else None,
            min_logprob=_known(done.min_logprob) if done else None,
            label=str(tried.label),
            destination="remote" if tried.remote else "local",
            agreement=_known(tried.agreement),
        )
        cost = self.prices.cost(
            model, engine, row.destination, row.prompt_tokens, row.completion_tokens, row.cached_tokens, row.ms
        )
        if tried.purpose == "live":
            known.cost_usd = None if cost is None or known.cost_usd is None else known.cost_usd + cost
            if tried.outcome == "ok":
                known.answered_by = tried.member
            elif tried.outcome == "rejected":
                known.rejected = tried.reason
        self.writer.write(replace(row, cost_usd=cost))

    def errand(self, call: str, errand: PublishErrand) -> None:
        now, key = time.time(), (call, errand.errand)
        row = self._escalations.get(key)
        if row is None:
            why = self._turn(call, errand.turn).why_escalated
            row = EscalationRow(call=call, turn=errand.turn, member="frontier", asked_s=now, why=why)
        match errand.state:
            case "ready":
                row = replace(row, answered_s=row.answered_s or now)
            case "speaking":
                row = replace(row, spoken_s=row.spoken_s or now)
            case "pending":
                row = replace(row, acknowledged_s=now)
            case ended:
                row = replace(row, outcome=ENDED[ended], reason=ended)
        self._escalations[key] = row
        self.writer.write(row)

    def cost_usd(self, call: str, turn: int) -> float | None:
        return self._turn(call, turn).cost_usd

    def _row(self, call: str, turn: int) -> TurnRow:
        known = self._turn(call, turn)
        row = TurnRow(call=call, turn=turn, at_s=known.at_s, answered_by=known.answered_by)
        if known.decision is None:
            return row
        return replace(
            row,
            task=known.decision.task or None,
            hard=None if math.isnan(known.decision.hard) else known.decision.hard >= 0.5,
            confidence=_known(known.decision.confidence),
            label=str(known.decision.label),
            reason=known.decision.reason,
        )

    def _turn(self, call: str, turn: int) -> _Turn:
        known = self._turns.setdefault((call, turn), _Turn())
        if len(self._turns) > TURNS_KEPT:
            self._turns.popitem(last=False)
        return known


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
