"""Golden traces: what the core decided once, it decides again. `python -m tests.replays.make` makes them anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.replays.make import FOLDER, SCENARIOS
from voicebot.core.trace import replay

TRACES = sorted(FOLDER.glob("*.jsonl"))
SHOWS = {
    "plain_turn": ("CommitReply", "PlayoutFinished"),
    "backchannel": ("PausePlayout", "ResumePlayout"),
    "interruption": ("PausePlayout", "ClearPlayout"),
    "reopen": ("ClearPlayout", "PublishTurn"),
    "hang_up_in_mid_word": ("ClearPlayout", "CallEnded"),
    "stt_failure": ("DraftFailed", "Speak"),
    "tool_turn": ("ToolFinished", "PublishTool"),
    "typed_without_microphone": ("TextTyped", "PlayoutHeard"),
}


def entries(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_a_golden_trace_replays_identically(path: Path) -> None:
    difference = replay(path.read_text(encoding="utf-8").splitlines())
    assert difference is None, f"{path.name}: {difference}; if this is wanted: python -m tests.replays.make"


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_a_golden_trace_is_whole_and_shows_what_its_name_says(path: Path) -> None:
    lines = entries(path)
    seen = [entry.get("event") or entry.get("command") for entry in lines]
    assert "end" in lines[-1] and lines[0]["trace"] == 1
    assert set(SHOWS[path.stem]) <= set(seen)


def test_every_scenario_has_its_trace() -> None:
    assert {path.stem for path in TRACES} == set(SCENARIOS) == set(SHOWS)


def test_a_changed_decision_is_found() -> None:
    lines = (FOLDER / "plain_turn.jsonl").read_text(encoding="utf-8").splitlines()
    at = next(number for number, line in enumerate(lines) if '"CommitReply"' in line)
    difference = replay([*lines[:at], *lines[at + 1 :]])
    assert difference is not None and difference.line <= at + 1
