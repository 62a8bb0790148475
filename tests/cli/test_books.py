from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.ledger.books import NOON, attempt, frontier, turn
from tests.ledger.test_audit import asked, completion, route
from voicebot.cli import audit as audit_command
from voicebot.cli.books import since_s
from voicebot.cli.main import app
from voicebot.errors import ConfigError
from voicebot.ledger.prices import Price, Prices
from voicebot.ledger.rows import CallRow
from voicebot.ledger.writer import open_ledger


def voicebot(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def books(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with one call of two turns in its ledger."""
    monkeypatch.setenv("VOICEBOT_HOME", str(tmp_path))
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db", tmp_path / "ledger-journal", Prices({"big": Price(2, 10)}))
    ledger.write(CallRow(id="c1", started_s=NOON, ended_s=NOON + 42, transport="webrtc"))
    for row in (turn(1), turn(2, task="explain"), attempt(1), frontier(2)):
        ledger.write(row)
    ledger.close()
    return tmp_path


def test_calls_list_and_show_tell_the_call(books: Path) -> None:
    [call] = json.loads(voicebot("calls", "list", "--json").stdout)["calls"]
    assert (call["id"], call["turns"], call["cost_usd"]) == ("c1", 2, 0.003)
    shown = json.loads(voicebot("calls", "show", "c1", "--json").stdout)
    assert [row["task"] for row in shown["turns"]] == ["chat", "explain"]
    assert [row["member"] for row in shown["attempts"]] == ["talker", "frontier"]
    assert "attempts (2)" in voicebot("calls", "show", "c1").stdout


def test_an_empty_ledger_is_shown_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEBOT_HOME", str(tmp_path))
    open_ledger(f"sqlite:///{tmp_path}/ledger.db", tmp_path / "ledger-journal", Prices()).close()
    assert json.loads(voicebot("calls", "list", "--json").stdout) == {"calls": []}
    assert voicebot("calls", "export").stdout == ""
    total = json.loads(voicebot("bill", "--json").stdout)["total"]
    assert (total["turns"], total["ratio"], total["escalated_share"]) == (0, None, None)
    for command in (("calls", "list"), ("bill",), ("bill", "--by", "day")):
        assert voicebot(*command).exit_code == 0


def test_the_settings_say_which_ledger_and_with_what_the_bill_compares(
    books: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOICEBOT_HOME", str(tmp_path / "elsewhere"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "voicebot.toml").write_text(
        f'[ledger]\nurl = "sqlite:///{books}/ledger.db"\nreference = "ours"\nreference_prompt_tokens = 7\n'
        "[ledger.prices.ours]\ninput_usd = 4\noutput_usd = 8\n"
    )
    assert [call["id"] for call in json.loads(voicebot("calls", "list", "--json").stdout)["calls"]] == ["c1"]
    assert json.loads(voicebot("bill", "--json").stdout)["reference"] == {
        "model": "ours", "input_usd_per_mtok": 4.0, "output_usd_per_mtok": 8.0, "prompt_tokens_added": 7,
    }  # fmt: skip


def test_show_of_an_unknown_call_is_bad_input(books: Path) -> None:
    result = voicebot("calls", "show", "nobody")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "no call 'nobody'" in result.stderr


def test_export_writes_a_call_a_line_or_a_turn_a_line(books: Path) -> None:
    [line] = voicebot("calls", "export").stdout.splitlines()
    assert len(json.loads(line)["turns"]) == 2
    rows = list(csv.DictReader(io.StringIO(voicebot("calls", "export", "--format", "csv").stdout)))
    assert [(row["call_id"], row["task"], row["cost_usd"]) for row in rows] == [
        ("c1", "chat", "0.0"),
        ("c1", "explain", "0.003"),
    ]
    assert voicebot("calls", "export", "--since", "2024-01-01").stdout == ""


def test_the_bill_is_one_json_document_or_a_table_that_says_how_it_counted(books: Path) -> None:
    document = json.loads(voicebot("bill", "--json", "--by", "member").stdout)
    assert document["total"]["spent_usd"] == 0.003
    assert document["total"]["all_frontier_usd"] == pytest.approx(2 * 0.00225)
    assert sorted(document["lines"]) == ["frontier", "talker"]
    table = voicebot("bill", "--reference", "gpt-4.1").stdout
    assert "all frontier: 2 of 2 turns at the price of gpt-4.1" in table


def test_a_reference_without_a_price_is_bad_input(books: Path) -> None:
    result = voicebot("bill", "--reference", "no-such-model")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "no-such-model" in result.stderr


@pytest.mark.parametrize("command", [("calls", "list"), ("bill",), ("calls", "export")])
def test_without_a_ledger_the_commands_say_so_and_make_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("VOICEBOT_HOME", str(tmp_path))
    result = voicebot(*command)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "there is no ledger at" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_since_takes_days_times_and_spans() -> None:
    assert since_s(None) == 0.0
    assert since_s("2023-11-15T12:00") == NOON
    assert since_s("2d", NOON) == NOON - 2 * 86_400
    with pytest.raises(ConfigError, match="--since 'yesterday' is no time"):
        since_s("yesterday")


def test_audit_of_a_missing_file_or_of_no_log_is_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_command, "load_route", lambda: None)
    assert voicebot("audit", tmp_path / "none.jsonl").exit_code == 2
    (tmp_path / "x.jsonl").write_text("hello\n")
    result = voicebot("audit", tmp_path / "x.jsonl")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "holds no chat completion; line 1: not JSON" in result.stderr


def test_audit_asks_the_shipped_router_what_small_models_could_take() -> None:
    judge = audit_command.load_route()
    timer, essay = judge("set a timer for ten minutes", []), judge("write a python program that finds primes", [])
    assert (timer.task, timer.hard, timer.oos) == ("tools", False, False)
    assert essay.hard or essay.oos


def test_audit_tells_tasks_and_money_per_month_for_people_and_as_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_command, "load_route", lambda: route)
    lines = [{"request": asked(f"timer {n}"), "response": completion(1_700_000_000 + n * 86_400)} for n in range(3)]
    (tmp_path / "x.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines) + "broken\n")
    document = json.loads(voicebot("audit", tmp_path / "x.jsonl", "--json").stdout)
    assert (document["tasks"]["timer"]["takeable"], document["unknown_cost_models"]) == (3, {"big": 3})
    assert document["malformed"] == {"4": "not JSON: JSONDecodeError"}
    told = voicebot("audit", tmp_path / "x.jsonl").stdout
    assert "line 4: not JSON: JSONDecodeError" in told
    assert "price unknown, and in no sum: big" in told
