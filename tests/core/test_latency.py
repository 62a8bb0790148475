"""The waterfall of a turn."""

from __future__ import annotations

from voicebot.core.latency import TurnMarks


def test_stages_are_measured_from_the_callers_last_sample() -> None:
    marks = TurnMarks()
    times = {"stt_begin": 10.1, "speech_stop": 10.0, "stt_end": 10.15, "llm_begin": 10.15, "first_clause": 10.2}
    for name, at in {**times, "first_audio": 10.3, "commit": 10.25, "playout": 10.32}.items():
        marks.mark(name, at)
    stages = {stage["name"]: (stage["start_ms"], stage["stop_ms"]) for stage in marks.waterfall()["stages"]}
    assert stages == {
        "wait": (0.0, 250.0),
        "stt": (100.0, 150.0),
        "llm": (150.0, 200.0),
        "tts": (200.0, 300.0),
        "playout": (300.0, 320.0),
    }
    assert marks.waterfall()["v2v_ms"] == marks.v2v_ms() == 320.0


def test_the_first_mark_counts_unless_a_later_draft_replaces_it() -> None:
    marks = TurnMarks()
    marks.mark("speech_stop", 1.0)
    marks.mark("speech_stop", 2.0)
    marks.mark("playout", 3.0)
    assert marks.v2v_ms() == 2000.0
    marks.remark("speech_stop", 2.5)
    assert marks.v2v_ms() == 500.0
    marks.forget("playout", "never marked")
    assert marks.v2v_ms() is None


def test_a_turn_of_which_little_is_known_has_few_stages() -> None:
    marks = TurnMarks()
    assert marks.waterfall() == {"stages": [], "v2v_ms": None, "ready_ms": None, "drafts": 0}
    marks.mark("playout", 3.0)
    assert marks.v2v_ms() is None
    marks.mark("commit", 2.0)
    assert marks.waterfall()["stages"] == []
