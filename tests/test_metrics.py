from __future__ import annotations

from voicebot.metrics import Metrics

WATERFALL = {"stages": [{"name": "stt", "start_ms": -10.0, "stop_ms": 90.0}], "v2v_ms": 412.0}


def test_a_turn_is_counted_by_transport_and_stage() -> None:
    metrics = Metrics()
    metrics.turn("webrtc", WATERFALL)
    text = metrics.render().decode()
    assert 'voicebot_v2v_seconds_bucket{le="0.4",transport="webrtc"} 0.0' in text
    assert 'voicebot_v2v_seconds_bucket{le="0.5",transport="webrtc"} 1.0' in text
    assert 'voicebot_stage_seconds_sum{stage="stt",transport="webrtc"} 0.1' in text


def test_a_turn_without_a_first_sound_has_no_latency() -> None:
    metrics = Metrics()
    metrics.turn("twilio", {"stages": [], "v2v_ms": None})
    assert "voicebot_v2v_seconds_count" not in metrics.render().decode()


def test_events_are_counted_by_name() -> None:
    metrics = Metrics()
    metrics.count("barge_ins", 2, transport="twilio")
    metrics.count("barge_ins", transport="twilio")
    assert 'voicebot_events_total{event="barge_ins",transport="twilio"} 3.0' in metrics.render().decode()
