"""Killed with SIGKILL in mid-call, at moments that nobody chose: what was committed is in the ledger."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ledger.books import stored
from voicebot.ledger.writer import open_ledger

pytestmark = pytest.mark.realtime

CALLS = """
import os, sys, time
from pathlib import Path
from voicebot.ledger.rows import CallRow, TurnRow
from voicebot.ledger.writer import open_ledger

def talk(folder, call):
    ledger = open_ledger(f"sqlite:///{folder}/ledger.db", folder / "journal")
    ledger.write(CallRow(id=call, started_s=time.time()))
    for turn in range(1_000_000):
        assert ledger.write(TurnRow(call=call, turn=turn, at_s=time.time(), task="chat", label="open"))
        os.write(1, b"%d\\n" % turn)
        time.sleep(0.0005)

for call in sys.argv[2:]:
    if pid := os.fork():
        os.write(1, b"pid %d\\n" % pid)
        os.waitpid(pid, 0)
        os.write(1, b"dead\\n")
    else:
        talk(Path(sys.argv[1]), call)
"""
"""Each call in a process of its own, one after the other, in which the libraries have been imported once."""


def last_told(lines: Iterator[str], kill_after: int) -> int:
    """Kill the call once it has told of turn `kill_after`; the last turn that it told of."""
    pid, last = 0, -1
    for line in lines:
        word = line.strip()
        if word.startswith("pid"):
            pid = int(word.removeprefix("pid "))
        elif word == "dead":
            return last
        else:
            last = int(word)
        if pid and last >= kill_after:
            os.kill(pid, signal.SIGKILL)
            pid = 0
    raise AssertionError("the calls ended by themselves")


def test_every_committed_turn_is_in_the_ledger_after_kill_9_and_it_opens_clean(tmp_path: Path) -> None:
    chance = random.Random(4)
    names = [f"c{number}" for number in range(5)]
    command = [sys.executable, "-c", CALLS, str(tmp_path), *names]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2], text=True) as process:
        assert process.stdout is not None
        told = {name: last_told(iter(process.stdout.readline, ""), chance.randrange(300)) for name in names}
        assert process.wait() == 0
    url = f"sqlite:///{tmp_path}/ledger.db"
    open_ledger(url, tmp_path / "journal").close()
    for call, last in told.items():
        turns = [row["turn"] for row in stored(url, "turns") if row["call"] == call]
        assert turns[: last + 1] == list(range(last + 1))
        assert len(turns) - (last + 1) <= 1, "at most the turn that was committed and not yet told of"
    assert [row["id"] for row in stored(url, "calls")] == sorted(told)
    with sqlite3.connect(tmp_path / "ledger.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
    database.close()
    assert [path.name for path in (tmp_path / "journal").iterdir()] == ["pseudonym.key"]
