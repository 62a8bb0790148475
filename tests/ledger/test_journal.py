from __future__ import annotations

import os
from pathlib import Path

import pytest

from voicebot.ledger import journal as journal_module
from voicebot.ledger.journal import LONGEST_LINE, Journal, orphans


def drained(journal: Journal) -> list[bytes]:
    found: list[bytes] = []
    while True:
        while lines := journal.lines(10):
            found += lines
            journal.acknowledge()
        if not journal.rotate():
            return found


def test_lines_come_back_in_order_and_only_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 10_000)
    written = [b"%d" % number for number in range(25)]
    assert all(journal.append(line) for line in written)
    assert drained(journal) == written
    assert (drained(journal), journal.waiting_bytes) == ([], 0)
    journal.close()
    assert list(tmp_path.iterdir()) == []


def test_lines_that_were_not_acknowledged_are_read_again_and_left_for_the_next(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 10_000)
    journal.append(b"one")
    assert journal.lines(1) == journal.lines(1) == [b"one"]
    assert list(orphans(tmp_path)) == []
    journal.close()
    [orphan] = orphans(tmp_path)
    assert list(orphan.lines()) == [b"one"]
    orphan.close(delete=True)
    assert list(tmp_path.iterdir()) == []


def test_the_bound_is_of_what_waits_and_a_line_too_long_is_refused(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 10)
    assert [journal.append(b"1234"), journal.append(b"1234"), journal.append(b"")] == [True, True, False]
    assert drained(journal) == [b"1234", b"1234"]
    assert journal.append(b"again")
    journal.close()
    roomy = Journal(tmp_path / "other", 10 * LONGEST_LINE)
    assert not roomy.append(b"x" * (LONGEST_LINE + 1))
    assert roomy.append(b"x" * LONGEST_LINE)
    assert len(drained(roomy)[0]) == LONGEST_LINE
    roomy.close()


def test_a_large_segment_is_replaced_and_deleted_without_losing_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "SEGMENT_BYTES", 20)
    journal = Journal(tmp_path, 10_000)
    found = []
    for number in range(100):
        journal.append(b"%04d" % number)
        if number % 7 == 0:
            found += drained(journal)
    found += drained(journal)
    assert found == [b"%04d" % number for number in range(100)]
    assert len([path for path in tmp_path.iterdir() if path.suffix != ".lock"]) == 1
    assert journal.waiting_bytes == 0
    journal.close()


def test_a_write_that_the_disk_cuts_short_costs_its_own_line_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path, 10_000)
    whole = os.write
    monkeypatch.setattr(os, "write", lambda fd, text: whole(fd, text[:3]))
    assert not journal.append(b"first")
    monkeypatch.setattr(os, "write", whole)
    assert journal.append(b"second")
    assert drained(journal) == [b"fir", b"second"]
    journal.close()


def test_a_closed_journal_takes_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 10_000)
    journal.close()
    assert not journal.append(b"late")
