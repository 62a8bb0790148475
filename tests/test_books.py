"""What a call tells becomes rows: turns when they stand, attempts with their cost, errands step by step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from voicebot.books import Books
from voicebot.brain.account import EXPERT, Decision, Tried
from voicebot.brain.reply import Attempt
from voicebot.core.events import PublishErrand, PublishTurn
from voicebot.core.labels import Label
from voicebot.engines.base import LlmDone
from voicebot.ledger.prices import Price, Prices
from voicebot.ledger.rows import AttemptRow, CallRow, EscalationRow, Row, TurnRow

PRICES = Prices({"big": Price(10.0, 20.0)})
DECISION = Decision("c1", 2, "talk", 0.9, 0.1, 0.8, Label.REDACT, "hard (0.90): the expert, in the background")
DONE = LlmDone("stop", prompt_tokens=100, completion_tokens=50, mean_logprob=-0.5, min_logprob=-2.0)
TURN = PublishTurn(2, "why", "Because.", "talker", 300.0, {})


class Kept:
    def __init__(self) -> None:
        self.rows: list[Row] = []

    def write(self, row: Row) -> bool:
        self.rows.append(row)
        return True

    def of(self, kind: type[Any]) -> list[Any]:
        return [row for row in self.rows if isinstance(row, kind)]


def books() -> tuple[Books, Kept]:
    kept = Kept()
    return Books(kept, PRICES, {EXPERT: ("openai://api.example.com/v1", "big"), "talker": ("llama://x", "x")}), kept


def test_a_turn_is_written_when_it_stands_and_not_before() -> None:
    keeper, kept = books()
    keeper.decided(DECISION)
    assert kept.rows == []
    keeper.committed("c1", 2, "why")
    (row,) = kept.of(TurnRow)
    assert (row.turn, row.task, row.hard, row.label, row.heard) == (2, "talk", True, "redact", None)
    assert row.reason == DECISION.reason


def test_words_are_written_when_the_turns_label_stands_and_with_that_label() -> None:
    keeper, kept = books()
    keeper.decided(DECISION)
    keeper.committed("c1", 2, "why")
    keeper.spoken("c1", TURN)
    assert all(row.heard is None and row.said is None for row in kept.of(TurnRow))
    keeper.settled("c1", 2, Label.LOCAL_ONLY)
    last = kept.of(TurnRow)[-1]
    assert (last.label, last.heard, last.said) == ("local_only", "why", "Because.")
    assert last.at_s == kept.of(TurnRow)[0].at_s
    keeper.settled("c1", 3, Label.OPEN)
    assert kept.of(TurnRow)[-1] is last, "a turn that was never committed is none"


def test_what_was_never_committed_is_no_turn() -> None:
    keeper, kept = books()
    keeper.spoken("c1", replace(TURN, turn=9))
    assert kept.rows == []


def test_a_turn_without_a_decision_is_kept_too() -> None:
    keeper, kept = books()
    keeper.committed("c1", 2, "why")
    keeper.spoken("c1", TURN)
    assert [(row.task, row.v2v_ms) for row in kept.of(TurnRow)] == [(None, None), (None, 300.0)]


def test_an_attempt_is_priced_and_the_turns_cost_adds_up() -> None:
    keeper, kept = books()
    attempt = Attempt("openai big", ttft_ms=400.0, ms=900.0, done=DONE, prompt_chars=400, completion_chars=200)
    keeper.tried(Tried("c1", 2, "talker", replace(attempt, done=None), Label.REDACT, "rejected", "unsure"))
    keeper.tried(Tried("c1", 2, EXPERT, attempt, Label.REDACT, "ok", remote=True))
    local, remote = kept.of(AttemptRow)
    assert (local.cost_usd, local.destination, local.outcome, local.reason) == (0.0, "local", "rejected", "unsure")
    assert remote.cost_usd == (100 * 10 + 50 * 20) / 1e6
    assert keeper.cost_usd("c1", 2) == remote.cost_usd
    keeper.committed("c1", 2, "why")
    assert kept.of(TurnRow)[-1].answered_by == EXPERT


def test_an_unknown_price_makes_the_turns_cost_unknown_and_never_nothing() -> None:
    keeper, _ = books()
    keeper.engines = {EXPERT: ("openai://api.example.com/v1", "nobody-knows-it")}
    keeper.tried(Tried("c1", 2, EXPERT, Attempt("x", done=DONE), Label.OPEN, "ok", remote=True))
    assert keeper.cost_usd("c1", 2) is None


def test_an_errand_is_one_row_that_fills_up() -> None:
    keeper, kept = books()
    keeper.decided(DECISION)
    for state in ("pending", "ready", "speaking", "delivered"):
        keeper.errand("c1", PublishErrand(4, 2, "why", state))
    rows = kept.of(EscalationRow)
    assert len({row.id for row in rows}) == 1
    last = rows[-1]
    assert (last.outcome, last.reason, last.why) == ("spoken", "delivered", "hard")
    assert last.asked_s <= last.acknowledged_s <= last.answered_s <= last.spoken_s


def test_an_errand_after_a_rejected_answer_says_what_was_wrong_with_that() -> None:
    keeper, kept = books()
    keeper.decided(replace(DECISION, reason="talk: talker owns it"))
    unsure = "unsure: mean log-probability -3.00 is below -1.00"
    keeper.tried(Tried("c1", 2, "talker", Attempt("x", done=DONE), Label.OPEN, "rejected", unsure))
    keeper.errand("c1", PublishErrand(4, 2, "why", "pending"))
    assert kept.of(EscalationRow)[-1].why == "unsure"


def test_a_call_is_written_at_both_ends() -> None:
    keeper, kept = books()
    keeper.call_began("c1", "webrtc", "t.jsonl")
    keeper.errand("c1", PublishErrand(4, 2, "why", "pending"))
    keeper.call_ended("c1", "caller hung up", Label.LOCAL_ONLY)
    began, ended = kept.of(CallRow)
    assert began.ended_s is None and ended.ended_s >= began.started_s
    assert (ended.label, ended.end_reason) == ("local_only", "caller hung up")


def test_only_so_many_turns_are_remembered() -> None:
    keeper, _ = books()
    for turn in range(5000):
        keeper.decided(replace(DECISION, turn=turn))
    assert len(keeper._turns) == 4096
