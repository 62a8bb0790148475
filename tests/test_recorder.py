"""Traces on disk: whole, in order, bounded, and never in a call's way."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from voicebot.core.events import CallEnded, CallStarted, TextTyped, WindowHeard
from voicebot.core.settings import TurnSettings
from voicebot.core.trace import replay
from voicebot.core.turn import TurnMachine
from voicebot.recorder import QUEUE_ENTRIES, Recorder, TraceWriter


@contextmanager
def writing(folder: Path, keep: int = 10) -> Iterator[TraceWriter]:
    writer = TraceWriter(folder, keep)
    writer.start()
    try:
        yield writer
    finally:
        writer.close()


def a_call(writer: TraceWriter, call_id: str) -> Recorder:
    recorder = writer.open(call_id, "loopback", TurnSettings())
    machine = TurnMachine(TurnSettings())
    steps = [CallStarted(8000), TextTyped("hello")]
    steps += [WindowHeard(512 * n, 0.01, 0) for n in range(1, 40)]
    for number, event in enumerate([*steps, CallEnded("done")]):
        recorder.step(event, number / 10, machine.step(event, number / 10))
    return recorder


def test_a_trace_is_written_in_order_and_replays(tmp_path: Path) -> None:
    with writing(tmp_path / "new" / "folder") as writer:
        recorder = a_call(writer, "one")
        recorder.close("done", {"ignored": 0})
        writer.flush()
        lines = recorder.path.read_text().splitlines()
    assert '"call_id":"one"' in lines[0] and '"end":"done"' in lines[-1]
    windows = [json.loads(line)["w"][1] for line in lines if line.startswith('{"w"')]
    assert windows == [512 * n for n in range(1, 40)]
    assert replay(lines) is None


def test_closing_the_writer_writes_what_is_queued(tmp_path: Path) -> None:
    with writing(tmp_path) as writer:
        path = a_call(writer, "one").path
    assert '"CallEnded"' in path.read_text()


def test_only_the_newest_traces_are_kept(tmp_path: Path) -> None:
    with writing(tmp_path, keep=3) as writer:
        for number in range(6):
            a_call(writer, f"call-{number}")
            writer.flush()
            os.utime(tmp_path / f"call-{number}.jsonl", (number, number))
    assert sorted(path.stem for path in tmp_path.glob("*")) == ["call-3", "call-4", "call-5"]


def test_a_trace_cut_anywhere_still_replays(tmp_path: Path) -> None:
    with writing(tmp_path) as writer:
        path = a_call(writer, "killed").path
    lines = path.read_text().splitlines()
    assert len(lines) > 45
    for length in range(1, len(lines)):
        assert replay(lines[:length]) is None, f"cut after {length} lines"


def test_an_unwritable_disk_is_logged_and_the_writer_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with writing(tmp_path) as writer:
        (tmp_path / "blocked.jsonl").mkdir()
        a_call(writer, "blocked").close("done", {})
        writer.flush()
        good = a_call(writer, "good")
    assert "trace not written" in caplog.text and str(tmp_path) in caplog.text
    assert good.path.exists()


def test_a_folder_that_cannot_be_made_is_an_error_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        TraceWriter(tmp_path / "file" / "traces", 3).start()


def test_a_full_queue_ends_the_trace_with_one_log_line_and_never_waits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = TraceWriter(tmp_path, 3)  # Not started: a disk that takes nothing.
    entries = 0
    while writer.put(tmp_path / "other.jsonl", ""):
        entries += 1
    assert entries == QUEUE_ENTRIES
    recorder = a_call(writer, "slow")
    recorder.close("done", {})
    assert caplog.text.count("ends here: the disk is too slow") == 1
