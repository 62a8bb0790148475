from __future__ import annotations

import logging
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from tests.ledger.books import NOON, attempt, frontier, stored, turn
from tests.ledger.conftest import Opener
from voicebot.errors import ConfigError
from voicebot.ledger.database import connect, migrate
from voicebot.ledger.rows import CallRow, EgressRow, EscalationRow
from voicebot.ledger.tables import metadata
from voicebot.ledger.writer import open_ledger

WAIT_S = 10.0


def test_a_row_of_every_table_is_stored_as_written(opened: Opener, url: str) -> None:
    ledger = opened()
    call = CallRow(id="c1", started_s=NOON, transport="twilio", label="redact")
    egress = EgressRow(
        id="e", at_s=NOON, destination="h:443", label="open", bytes=2**40, purpose="live", sha256="ab", outcome="sent"
    )
    escalation = EscalationRow(id="x", call="c1", turn=1, asked_s=NOON, why="hard")
    for row in (call, egress, escalation, turn(1, hard=True, confidence=0.5), attempt(1)):
        assert ledger.write(row)
    assert ledger.flush(WAIT_S)
    assert stored(url, "calls") == [{"id": "c1", "started_s": NOON, "transport": "twilio", "label": "redact"}]
    assert stored(url, "egress")[0]["bytes"] == 2**40
    assert stored(url, "escalations") == [{"id": "x", "call": "c1", "turn": 1, "asked_s": NOON, "why": "hard"}]
    assert stored(url, "turns")[0] | {"hard": True, "confidence": 0.5} == stored(url, "turns")[0]
    assert stored(url, "attempts")[0]["cost_usd"] == 0.0
    assert (ledger.health.stored, ledger.health.lost, ledger.health.rejected) == (5, 0, 0)


def test_a_row_written_again_fills_in_and_forgets_nothing(opened: Opener, url: str) -> None:
    ledger = opened()
    ledger.write(CallRow(id="c1", started_s=NOON, transport="webrtc"))
    ledger.write(CallRow(id="c1", started_s=NOON, ended_s=NOON + 60, end_reason="hung up"))
    assert ledger.flush(WAIT_S)
    [call] = stored(url, "calls")
    assert (call["transport"], call["ended_s"], call["end_reason"]) == ("webrtc", NOON + 60, "hung up")


@pytest.mark.parametrize(
    ("keep", "label", "kept"),
    [(True, "open", True), (True, "redact", False), (True, "local_only", False), (True, None, False),
     (False, "open", False)],
)  # fmt: skip
def test_texts_touch_the_disk_only_where_label_and_config_permit(
    opened: Opener, url: str, tmp_path: Path, keep: bool, label: str | None, kept: bool
) -> None:
    ledger = opened(keep_texts=keep)
    ledger.write(turn(1, label=label, heard="canary heard", said="canary said"))
    assert ledger.flush(WAIT_S)
    journal = b"".join(path.read_bytes() for path in (tmp_path / "journal").iterdir())
    assert (b"canary" in journal) is kept
    assert (stored(url, "turns")[0].get("heard") == "canary heard") is kept


def test_a_turn_made_private_later_loses_its_texts(opened: Opener, url: str) -> None:
    ledger = opened(keep_texts=True)
    spoken = turn(1, heard="my pin", said="noted")
    ledger.write(spoken)
    ledger.write(replace(spoken, label="local_only"))
    assert ledger.flush(WAIT_S)
    assert (stored(url, "turns")[0]["heard"], stored(url, "turns")[0]["said"]) == ("", "")


def test_an_attempt_is_priced_when_it_has_ended_and_an_unknown_model_stays_unknown(opened: Opener, url: str) -> None:
    ledger = opened()
    ledger.write(frontier(1))
    ledger.write(frontier(2, cached_tokens=500))
    ledger.write(frontier(3, model="never heard of"))
    ledger.write(frontier(4, outcome=None))
    ledger.write(frontier(5, cost_usd=1.5))
    assert ledger.flush(WAIT_S)
    assert [row.get("cost_usd") for row in stored(url, "attempts")] == [0.003, 0.00225, None, None, 1.5]


def test_a_refused_row_is_counted_and_named_and_the_others_go_in(
    opened: Opener, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = opened(keep_texts=True)
    ledger.write(turn(1))
    ledger.write(turn(2**70, heard="canary"))
    ledger.write(turn(3, at_s=None))
    ledger.write(turn(4, heard="a\0b \ud800 c"))
    with caplog.at_level(logging.ERROR):
        assert ledger.flush(WAIT_S)
    assert [(row["turn"], row.get("heard")) for row in stored(url, "turns")] == [(1, None), (4, "a\ufffdb ? c")]
    assert (ledger.health.stored, ledger.health.rejected) == (2, 2)
    assert f"('c1', {2**70})" in caplog.text and "canary" not in caplog.text


def test_what_a_gone_process_left_is_taken_over_even_with_its_last_line_cut(
    opened: Opener, url: str, tmp_path: Path
) -> None:
    folder = tmp_path / "journal"
    folder.mkdir()
    (folder / "1-aa.lock").touch()
    (folder / "1-aa.000001").write_text('["turns",{"call":"c1","turn":1,"at_s":5.0}]\nnonsense\n["nothing",{}]\n')
    (folder / "1-aa.000002").write_text('["turns",{"call":"c1","turn":1,"at_s":6.0}]\n["turns",{"call":"c1","tu')
    ledger = opened()
    assert stored(url, "turns") == [{"call": "c1", "turn": 1, "at_s": 6.0}]
    assert (ledger.health.stored, ledger.health.rejected) == (2, 3)
    assert not list(folder.glob("1-aa*"))


def test_the_journal_of_a_live_process_is_left_alone(opened: Opener, url: str, tmp_path: Path) -> None:
    first, second = opened(), opened()
    assert first.write(turn(1)) and second.write(turn(2))
    assert first.flush(WAIT_S) and second.flush(WAIT_S)
    assert [row["turn"] for row in stored(url, "turns")] == [1, 2]


def test_closing_carries_everything_over_and_leaves_no_journal(opened: Opener, url: str, tmp_path: Path) -> None:
    ledger = opened()
    for number in range(250):
        ledger.write(turn(number))
    ledger.close()
    ledger.close()
    assert not ledger.write(turn(999))
    assert len(stored(url, "turns")) == 250
    assert [path.name for path in (tmp_path / "journal").iterdir()] == ["pseudonym.key"]


def test_opening_twice_keeps_what_is_there_and_the_tables_are_those_of_the_migrations(opened: Opener, url: str) -> None:
    opened().close()
    opened().close()
    engine = connect(url)
    found = inspect(engine)
    for table in metadata.tables.values():
        assert [column["name"] for column in found.get_columns(table.name)] == [c.name for c in table.columns]
        nullable = [column["nullable"] for column in found.get_columns(table.name)]
        assert nullable == [bool(c.nullable) for c in table.columns], table.name
        assert {index["name"] for index in found.get_indexes(table.name)} == {i.name for i in table.indexes}
        assert found.get_pk_constraint(table.name)["constrained_columns"] == [c.name for c in table.primary_key]
    engine.dispose()


def test_a_ledger_of_a_newer_version_is_refused_with_both_versions(opened: Opener, url: str, tmp_path: Path) -> None:
    opened().close()
    engine = connect(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0999'"))
    with pytest.raises(ConfigError, match=r"has version 0999, which this voicebot does not know .*update voicebot"):
        migrate(engine)
    engine.dispose()


@pytest.mark.parametrize("bad", ["nonsense", "mysql://host/x", "sqlite://", "sqlite:///:memory:"])
def test_a_url_that_is_no_ledger_is_a_config_error(bad: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ledger\.url"):
        open_ledger(bad, tmp_path)


def test_no_message_tells_the_password(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        open_ledger("mysql://bob:hunter2@host/x", tmp_path)
    assert "hunter2" not in str(error.value)


@pytest.mark.realtime
def test_a_locked_database_hurts_no_call_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("voicebot.ledger.database.BUSY_S", 0.05)
    monkeypatch.setattr("voicebot.ledger.writer.RETRY_S", 0.05)
    url = f"sqlite:///{tmp_path}/ledger.db"
    ledger = open_ledger(url, tmp_path / "journal", journal_bytes=3000)
    with sqlite3.connect(tmp_path / "ledger.db") as other:
        other.execute("BEGIN IMMEDIATE")
        kept = [ledger.write(turn(number)) for number in range(100)]
        assert not ledger.flush(0.4)
        assert "locked" in ledger.health.failing
        assert 2900 < ledger.health.waiting_bytes <= 3000
        assert ledger.health.lost == kept.count(False) > 0
        other.execute("ROLLBACK")
    other.close()
    assert ledger.flush(WAIT_S)
    assert [row["turn"] for row in stored(url, "turns")] == list(range(kept.index(False)))
    assert (ledger.health.failing, ledger.health.waiting_bytes) == ("", 0)
    assert sum("rows wait in the journal" in record.message for record in caplog.records) == 1
    ledger.close()


def test_a_number_becomes_the_same_pseudonym_for_this_folder_only(tmp_path: Path) -> None:
    names = []
    for folder in ("one", "one", "other"):
        ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db", tmp_path / folder)
        names.append(ledger.pseudonym("+4930123456"))
        ledger.close()
    assert names[0] == names[1] != names[2]
    assert len(names[0]) == 16 and "4930" not in names[0]
    assert (tmp_path / "one" / "pseudonym.key").stat().st_mode & 0o777 == 0o600
