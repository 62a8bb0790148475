from __future__ import annotations

import math
from typing import Any

from voicebot.bench.latency import summarize
from voicebot.bench.serving import event_counts


def turn(v2v_ms: float, commit_ms: float, sent_ms: float) -> dict[str, Any]:
    spans = {"wait": (0.0, commit_ms), "stt": (64.0, 114.0), "playout": (commit_ms, sent_ms)}
    stages = [{"name": name, "start_ms": start, "stop_ms": stop} for name, (start, stop) in spans.items()]
    return {"v2v_ms": v2v_ms, "waterfall": {"stages": stages}}


def test_turns_become_percentiles_stages_and_the_worth_of_drafts() -> None:
    events = {
        "drafts_ready": 3.0,
        "drafts_late": 1.0,
        "draft_used_ms": 900.0,
        "draft_wasted_ms": 100.0,
        "prompt_tokens": 400.0,
        "cached_tokens": 300.0,
        "reopened": 2.0,
    }
    result = summarize("embedded", "twilio", [turn(280, 250, 262), turn(300, 260, 270), turn(900, 800, 820)], events)
    assert (result.v2v_ms.p50, result.v2v_ms.p95) == (300, 900)
    assert (result.wait_ms.p50, result.after_commit_ms.p50) == (260, 12)
    assert result.stages["stt"] == (64, 114)
    assert math.isnan(result.stages["llm"][0])
    assert (result.hit_rate, result.wasted_share, result.reopened) == (0.75, 0.1, 2)
    assert result.cached_share == 0.75


def test_the_counts_of_all_transports_are_added() -> None:
    metrics = (
        'voicebot_events_total{event="drafts",transport="twilio"} 3.0\n'
        'voicebot_events_total{event="drafts",transport="webrtc"} 2.0\n'
        'voicebot_events_created{event="drafts",transport="webrtc"} 1.7e+09\n'
        "voicebot_pressed 0.0\n"
    )
    assert event_counts(metrics) == {"drafts": 5.0}
