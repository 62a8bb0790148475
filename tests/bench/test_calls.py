"""Whole calls, measured as users measure them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from voicebot.bench.latency import summarize
from voicebot.cli.bench import app
from voicebot.cli.bench_calls import speech_dir
from voicebot.cli.bench_talk import talk
from voicebot.cli.wav import read_speech

SLOW = [
    "profile=embedded",
    "engines.stt=scripted://?text=what+time+is+it&delay_ms=60",
    "engines.llm=scripted://?reply=It+is+noon.&first_token_ms=60",
    "engines.tts=scripted://?first_chunk_ms=40",
    "engines.turn=''",
    "router.url=''",
    "turn.min_wait_ms=300",
    "turn.max_wait_ms=300",
]


HALF_PIECE_MS, WINDOW_MS = 10, 32
"""A wait ends with the nearest piece of speech, and begins behind the last window that is mostly voice."""


def run(*args: str) -> Any:
    answer = CliRunner().invoke(app, list(args))
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.stdout)


@pytest.mark.realtime
def test_answering_early_is_worth_what_the_engines_take() -> None:
    """A ratio of one run: without drafts the engines' 160 ms come after the wait, with them inside it."""
    speeches = [read_speech(speech_dir() / "what_time_is_it.wav")] * 4
    medians = {}
    for drafts in ("true", "false"):
        turns, events = talk([*SLOW, f"turn.drafts={drafts}"], speeches, "loopback", 20)
        medians[drafts] = summarize("slow", "loopback", turns, events).v2v_ms.p50
    assert medians["false"] / medians["true"] > 1.25, medians


@pytest.mark.realtime
def test_a_prompt_that_was_read_while_the_caller_spoke_is_not_waited_for() -> None:
    """A ratio of one run: six words at 60 ms each are read after the wait, or half of them before it and half in it.

    Drafts alone would come to about 1.5: 64 + 360 + 40 ms where a draft with half of the words read takes 300.
    """
    settings = [
        *SLOW,
        "engines.stt=scripted://?text=set+a+timer+for+ten+minutes&stream=true",
        "engines.llm=scripted://?reply=It+is+noon.&prompt_word_ms=60",
    ]
    speeches = [read_speech(speech_dir() / "set_a_timer.wav")] * 4
    results = {}
    for drafts in ("true", "false"):
        turns, events = talk([*settings, f"turn.drafts={drafts}"], speeches, "loopback", 20)
        results[drafts] = summarize("slow", "loopback", turns, events)
    assert results["false"].v2v_ms.p50 / results["true"].v2v_ms.p50 > 1.7, results
    assert results["true"].cached_share > results["false"].cached_share


@pytest.mark.realtime
def test_a_load_of_two_calls_is_measured_without_a_gap_or_a_lost_turn(tmp_path: Path) -> None:
    picture = tmp_path / "load.png"
    figures = run("load", "--server-only", "--calls", "1,2", "--seconds", "6", "--json", "-", "--plot", str(picture))
    assert [level["calls"] for level in figures["levels"]] == [1, 2]
    for level in figures["levels"]:
        assert level["v2v_ms"]["n"] >= level["calls"]
        assert 200 - HALF_PIECE_MS - WINDOW_MS < level["v2v_ms"]["p50"] < 1000, "from the last window with voice"
        assert level["barge_in_ms"]["p50"] > 0
        assert level["cpu_ms_per_s"] > 0
        assert (level["lost_turns"], level["failures"]) == (0, 0)
    assert picture.stat().st_size > 10_000


def test_numbers_of_calls_that_are_none_and_unknown_wires_are_refused() -> None:
    for args in (["load", "--calls", "1,x"], ["load", "--transport", "pigeon"], ["latency", "--transport", "pigeon"]):
        answer = CliRunner().invoke(app, args)
        assert answer.exit_code == 2, answer.output
