"""Shadows against heard answers, read from the ledger's rows."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.ledger.books import NOON, attempt, frontier, turn
from voicebot.cli.main import app
from voicebot.evals.agreement import agreement
from voicebot.evals.router import wilson
from voicebot.ledger.prices import Price, Prices
from voicebot.ledger.rows import AttemptRow, CallRow, TurnRow
from voicebot.ledger.writer import open_ledger

TURNS = [turn(number, answered_by="talker") for number in range(1, 7)]


def copied(number: int, agreement: float | None, reason: str, **more: object) -> AttemptRow:
    outcome = "failed" if agreement is None else "ok"
    return frontier(number, **{"id": f"s{number}", "purpose": "shadow", "agreement": agreement, "reason": reason}
                    | {"outcome": outcome} | more)  # fmt: skip


ROWS = [
    attempt(1), copied(1, 1.0, "same tool"), copied(2, 0.0, "other tool"), copied(3, 0.8, "words"),
    copied(4, 0.1, "words"), frontier(4, id="j4", purpose="judge", agreement=1.0),
    copied(5, None, "EngineTimeout"), copied(6, 1.0, "words", member="small"),
]  # fmt: skip


def test_agreement_is_counted_by_task_and_by_who_was_asked() -> None:
    pairs = agreement(map(asdict, TURNS), map(asdict, ROWS))
    big, small = (pair.document() for pair in pairs)
    assert (big["task"], big["heard"], big["shadow"], big["n"], big["failed"]) == ("chat", "talker", "frontier", 4, 1)
    assert (big["agreed"], big["agreed_95"], big["same_tool"]) == (2, wilson(2, 4), [1, 2])
    assert (big["words_in_common"], big["judged"], big["as_good"], big["as_good_95"]) == (0.45, 1, 3, wilson(3, 4))
    assert (small["shadow"], small["n"], small["agreed"]) == ("small", 1, 1)


def test_copies_of_turns_that_are_not_there_are_left_out() -> None:
    assert agreement([], map(asdict, ROWS)) == []


def test_the_command_reads_the_ledger_and_the_bill_keeps_copies_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOICEBOT_HOME", str(tmp_path))
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db", tmp_path / "ledger-journal", Prices({"big": Price(2, 10)}))
    rows: list[CallRow | TurnRow | AttemptRow] = [CallRow(id="c1", started_s=NOON), *TURNS, *ROWS]
    for row in rows:
        ledger.write(row)
    ledger.close()
    told = json.loads(CliRunner().invoke(app, ["eval", "shadow", "--json"]).stdout)
    assert [pair["shadow"] for pair in told["pairs"]] == ["frontier", "small"] and told["pairs"][0]["agreed"] == 2
    assert CliRunner().invoke(app, ["eval", "shadow"]).exit_code == 0
    assert "no turn was copied" in CliRunner().invoke(app, ["eval", "shadow", "--since", "1h"]).stdout
    total = json.loads(CliRunner().invoke(app, ["bill", "--json"]).stdout)["total"]
    assert (total["live_usd"], total["shadow_usd"], total["judge_usd"]) == (0.0, pytest.approx(0.018), 0.003)
