from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from voicebot.ledger.audit import Audit, audit
from voicebot.ledger.prices import Price, Prices

PRICES = Prices({"big": Price(2.0, 10.0)})
USAGE = {"prompt_tokens": 1000, "completion_tokens": 100}


@dataclass(frozen=True)
class Judged:
    task: str
    hard: bool = False
    oos: bool = False
    confidence: float = 0.9


def route(text: str, context: Sequence[str]) -> Judged:
    """A router of rules, for tests: the text says what it is."""
    return Judged(
        task=text.split()[0], hard="hard" in text, oos="oos" in text, confidence=0.1 if "unsure" in text else 0.9
    )


def completion(at_s: int | None = None, **more: Any) -> dict[str, Any]:
    choices = [{"message": {"role": "assistant", "content": "fine"}}]
    return {"model": "big", "choices": choices, "usage": USAGE, "created": at_s} | more


def asked(text: Any) -> dict[str, Any]:
    return {"messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": text}]}


def audited(*records: Any) -> Audit:
    lines = [r if isinstance(r, bytes) else json.dumps(r).encode() for r in records]
    return audit(lines, route, PRICES)


@pytest.mark.parametrize(
    "record",
    [
        asked("chat hello") | {"response": completion()},
        {"request": asked("chat hello"), "response": completion()},
        {"input": asked("chat hello"), "output": completion()},
        {"request": asked([{"type": "text", "text": "chat hello"}]), "response": {"body": completion()}},
    ],
)
def test_the_usual_forms_of_a_log_are_read(record: dict[str, Any]) -> None:
    found = audited(record)
    assert (found.total.calls, found.total.takeable, found.malformed, found.estimated) == (1, 1, {}, 0)
    assert found.total.takeable_usd == pytest.approx(0.003)


def test_batch_input_and_output_are_joined_in_either_order_and_a_lone_half_is_named() -> None:
    def output(name: str) -> dict[str, Any]:
        return {"custom_id": name, "response": {"status_code": 200, "body": completion()}, "error": None}

    def given(name: str) -> dict[str, Any]:
        return {"custom_id": name, "method": "POST", "body": asked("chat hello")}

    found = audited(given("a"), output("a"), output("b"), given("b"), output("c"), given("d"))
    assert found.total.calls == 2
    assert found.malformed == {
        5: "its request is not in the file (custom_id 'c')",
        6: "its response is not in the file (custom_id 'd')",
    }


def test_a_log_without_counts_or_times_is_estimated_and_has_no_month() -> None:
    found = audited({"model": "big", "messages": [*asked("chat " + "x" * 391)["messages"], {"role": "assistant",
                     "content": "y" * 40}]})  # fmt: skip
    assert (found.estimated, found.total.calls) == (1, 1)
    assert found.total.cost_usd == pytest.approx((101 * 2 + 10 * 10) / 1e6)
    assert found.monthly(1.0) is None
    assert found.monthly(1.0, days=1.0) == 30.44


def test_what_stays_at_the_frontier_is_told_with_its_reason_and_by_task() -> None:
    picture = [{"type": "text", "text": "chat what is this"}, {"type": "image_url", "image_url": {"url": "x"}}]
    long = completion(usage={"prompt_tokens": 9000, "completion_tokens": 1})
    found = audited(
        *({"request": asked(text), "response": completion()} for text in ("chat hi", "sums hard", "chat oos")),
        {"request": asked("chat unsure"), "response": completion()},
        {"request": asked(picture), "response": completion()},
        {"request": asked("chat long"), "response": long},
    )
    assert found.kept == {"hard": 1, "out of scope": 1, "router unsure": 1, "not only text": 1, "long prompt": 1}
    assert {name: (line.calls, line.takeable) for name, line in found.tasks.items()} == {"chat": (5, 1), "sums": (1, 0)}


def test_money_is_told_per_month_of_the_logs_own_span() -> None:
    day = 1_700_000_000
    found = audited(*({"request": asked("chat hi"), "response": completion(day + n * 86_400)} for n in range(3)))
    month = found.document()["total"]["takeable_usd_per_month"]
    assert month == pytest.approx(0.009 / 2 * 30.44)


def test_malformed_lines_are_counted_and_named_and_never_stop_the_rest() -> None:
    deep = b"[" * 100_000
    good = {"request": asked("chat hi"), "response": completion()}
    found = audited(b"{", b"\xff\xfe", b"[]", b"", deep, {}, {"messages": [3, None]}, {"messages": "x"},
                    {"custom_id": "a", "error": {"code": "x"}}, good)  # fmt: skip
    assert (found.lines, found.total.calls) == (9, 1)
    assert found.malformed[1] == "not JSON: JSONDecodeError"
    assert found.malformed[3] == "a list, not an object"
    assert found.malformed[9] == "the batch reports an error for it"
    assert sorted(found.malformed) == [1, 2, 3, 5, 6, 7, 8, 9]


def test_a_model_without_a_price_is_named_and_in_no_sum() -> None:
    found = audited({"request": asked("chat hi"), "response": completion(model="mystery")})
    assert (found.unknown_models, found.total.takeable, found.total.takeable_usd) == ({"mystery": 1}, 1, 0.0)
