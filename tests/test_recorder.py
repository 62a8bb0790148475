"""Traces on disk: whole, in order, bounded, and never in a call's way."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from voicebot.brain.privacy import CallPrivacy, Verdict
from voicebot.core.events import BeginReply, CallEnded, CallStarted, PartialTranscribed, TextTyped, WindowHeard
from voicebot.core.labels import Label
from voicebot.core.settings import TurnSettings
from voicebot.core.trace import replay, words_left_out
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


def a_private_call(writer: TraceWriter, private_turn: int) -> tuple[Recorder, list[int]]:
    """Four typed turns, of which one is made private by the next; the turns' numbers."""
    recorder, privacy = writer.open("one", "loopback", TurnSettings()), CallPrivacy(Label.OPEN)
    recorder.guard(privacy)
    machine, turns = TurnMachine(TurnSettings()), []
    for number, text in enumerate(["", "alpha", "bravo", "charlie", "delta"]):
        event = TextTyped(text) if text else CallStarted(8000)
        commands = machine.step(event, number * 10.0)
        recorder.step(event, number * 10.0, commands)
        turns += [command.turn for command in commands if isinstance(command, BeginReply)]
        if text:
            held = Verdict(Label.LOCAL_ONLY, ("asked",), "hold")
            release = Verdict(Label.OPEN, (), "release")
            privacy.turn(turns[-1], held if number == private_turn + 1 else release)
    return recorder, turns


def test_a_turns_words_are_written_once_it_can_no_longer_become_private(tmp_path: Path) -> None:
    with writing(tmp_path) as writer:
        recorder, _ = a_private_call(writer, private_turn=9)
        writer.flush()
        text = recorder.path.read_text()
        assert "alpha" in text and "delta" not in text
        recorder.close("done", {})
    assert "delta" in recorder.path.read_text()
    assert replay(recorder.path.read_text().splitlines()) is None


def test_the_words_of_a_private_turn_and_of_the_request_for_privacy_are_not_written(tmp_path: Path) -> None:
    with writing(tmp_path) as writer:
        recorder, turns = a_private_call(writer, private_turn=2)
        recorder.close("done", {})
    text = recorder.path.read_text()
    assert "bravo" not in text and "charlie" not in text
    assert "alpha" in text and "delta" in text
    assert f'"turn":{turns[1]}' in text
    lines = text.splitlines()
    assert words_left_out(lines)
    assert replay(lines) is None, "nothing of it hung on the meaning of its words"


def test_words_that_nobody_came_to_label_are_not_written_and_a_listeners_noises_are(tmp_path: Path) -> None:
    with writing(tmp_path) as writer:
        recorder = writer.open("one", "loopback", TurnSettings(greeting="Welcome."))
        recorder.guard(CallPrivacy(Label.OPEN))
        machine = TurnMachine(TurnSettings(greeting="Welcome."))
        for event in (CallStarted(8000), TextTyped("canary")):
            recorder.step(event, 1.0, machine.step(event, 1.0))
        recorder.step(PartialTranscribed(7, "mm-hm"), 2.0, [])
        recorder.close("crash", {})
    text = recorder.path.read_text()
    assert "canary" not in text and '"mm-hm"' in text and '"text":"Welcome."' in text


def test_with_consent_everything_is_written_at_once(tmp_path: Path) -> None:
    writer = TraceWriter(tmp_path, 3, keep_private=True)
    writer.start()
    recorder, _ = a_private_call(writer, private_turn=2)
    writer.flush()
    assert "bravo" in recorder.path.read_text() and "delta" in recorder.path.read_text()
    writer.close()


def test_what_must_be_held_for_too_long_is_written_without_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Recorder, "HELD_STEPS", 2)
    with writing(tmp_path) as writer:
        recorder, _ = a_private_call(writer, private_turn=9)
        writer.flush()
        assert "alpha" not in recorder.path.read_text() and words_left_out(recorder.path.read_text().splitlines())


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
