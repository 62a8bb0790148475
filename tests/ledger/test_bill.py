from __future__ import annotations

from pathlib import Path

import pytest

from tests.ledger.books import NOON, attempt, frontier, turn
from voicebot.errors import ConfigError
from voicebot.ledger.bill import Bill, By, make_bill
from voicebot.ledger.prices import Price, Prices
from voicebot.ledger.reader import reading
from voicebot.ledger.rows import CallRow, EscalationRow, Row
from voicebot.ledger.writer import open_ledger

BIG = Price(2.0, 10.0)
DAY_S = 86_400
EVENING: list[Row] = [
    CallRow(id="c1", started_s=NOON),
    *(turn(number, answered_by="talker") for number in range(1, 5)),
    turn(5, task="explain", answered_by="frontier", at_s=NOON + DAY_S),
    turn(6, task="tool", answered_by="tool"),
    *(attempt(number) for number in range(1, 4)),
    attempt(4, prompt_tokens=None, completion_tokens=None, prompt_chars=4000, completion_chars=399),
    attempt(5, outcome="rejected"),
    frontier(5, started_s=NOON + DAY_S),
    frontier(1, id="s1", purpose="shadow"),
    frontier(2, id="j2", purpose="judge"),
    frontier(3, id="lost", model="mystery", outcome="failed"),
    EscalationRow(call="c1", turn=5, asked_s=NOON + DAY_S, why="hard"),
]


def billed(tmp_path: Path, by: By = "task", since_s: float = 0.0, prompt_tokens: int = 0) -> Bill:
    url = f"sqlite:///{tmp_path}/ledger.db"
    ledger = open_ledger(url, tmp_path / "journal", Prices({"big": BIG}))
    assert all(ledger.write(row) for row in EVENING)
    ledger.close()
    with reading(url, tmp_path / "journal") as books:
        parts = books.turns(since_s), books.attempts(since_s), list(books.escalations(since_s))
        return make_bill(*parts, reference="big", price=BIG, prompt_tokens=prompt_tokens, by=by)


def test_the_bill_sets_what_was_spent_against_a_frontier_for_every_turn(tmp_path: Path) -> None:
    bill = billed(tmp_path)
    total = bill.total
    assert (total.turns, total.attempts, total.escalated) == (6, 9, 1)
    assert (total.live_usd, total.shadow_usd, total.judge_usd) == (0.003, 0.003, 0.003)
    assert (total.compared, total.estimated) == (5, 1)
    assert total.all_frontier_usd == pytest.approx(5 * 0.003)
    assert total.ratio == pytest.approx(5 / 3)
    assert bill.why == {"hard": 1}


def test_an_unknown_price_is_named_and_never_counted_as_nothing(tmp_path: Path) -> None:
    bill = billed(tmp_path)
    assert (bill.total.unknown, bill.unknown_models) == (1, {"mystery": 1})
    assert bill.document()["unknown_cost_models"] == {"mystery": 1}


@pytest.mark.parametrize(
    ("by", "turns"),
    [
        ("task", {"chat": 4, "explain": 1, "tool": 1}),
        ("member", {"talker": 4, "frontier": 1, "tool": 1}),
        ("day", {"2023-11-15": 5, "2023-11-16": 1}),
    ],
)
def test_the_lines_add_up_to_the_total(tmp_path: Path, by: By, turns: dict[str, int]) -> None:
    bill = billed(tmp_path, by)
    assert {name: line.turns for name, line in bill.lines.items() if line.turns} == turns
    assert sum(line.spent_usd for line in bill.lines.values()) == pytest.approx(bill.total.spent_usd)
    assert sum(line.all_frontier_usd for line in bill.lines.values()) == pytest.approx(bill.total.all_frontier_usd)


def test_since_leaves_out_what_was_before(tmp_path: Path) -> None:
    bill = billed(tmp_path, since_s=NOON + DAY_S)
    assert (bill.total.turns, bill.total.attempts, bill.total.ratio) == (1, 1, 1.0)


def test_a_longer_prompt_for_the_frontier_is_priced_for_each_compared_turn(tmp_path: Path) -> None:
    assert billed(tmp_path, prompt_tokens=500).total.all_frontier_usd == pytest.approx(5 * 0.004)


def test_nothing_spent_has_no_ratio() -> None:
    total = make_bill([], [], [], reference="big", price=BIG).total
    assert (total.ratio, total.document()["escalated_share"]) == (None, None)


def test_prices_know_the_public_lists_by_model_and_host() -> None:
    prices = Prices()
    assert prices.price("gpt-5") == prices.price("gpt-5", "openai://api.openai.com/v1?model=gpt-5")
    assert prices.price("gpt-5") == Price(1.25, 10.0, 0.125)
    assert prices.price("gpt-5", "openai://llm.example.com/v1") is None
    assert prices.price("claude-sonnet-4-5", "anthropic://?model=x") is not None
    assert prices.price("no such model") is None
    with pytest.raises(ConfigError, match="no price is known for the reference model 'no such model'"):
        prices.reference("no such model")


def test_local_models_cost_nothing_or_their_computing_time_and_overrides_win() -> None:
    assert Prices().cost("m", "llama:///m.gguf", "local", None, None) == 0.0
    assert Prices(local_usd_per_hour=3.6).cost("m", "", "local", 1, 1, ms=2000) == pytest.approx(0.002)
    assert Prices(local_usd_per_hour=3.6).cost("m", "", "local", 1, 1) is None
    assert Prices({"m": BIG}).cost("m", "", "local", 1000, 100) == 0.003
    assert Prices({"m": BIG}).cost("m", "", "remote", None, 100) is None
    assert Price(2.0, 10.0, 0.5).cost(1000, 0, cached=4000) == 0.0005
