"""What Prometheus is told. Labels name transports, stages and kinds of event, never a caller or a word said."""

from __future__ import annotations

from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0)
LAG_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5)


class SessionMetrics(Protocol):
    """What a call reports of itself; labels never carry its words."""

    def turn(self, transport: str, waterfall: dict[str, Any]) -> None: ...

    def count(self, name: str, amount: int = 1, **labels: str) -> None: ...


class Metrics:
    """One server's numbers, in a registry of their own. Thread: the loop."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.active_calls = Gauge("voicebot_calls_active", "Calls now", ["transport"], registry=self._registry)
        self.calls = Counter("voicebot_calls", "Calls ended, by how", ["transport", "reason"], registry=self._registry)
        self.refused = Counter("voicebot_calls_refused", "Calls not taken", ["reason"], registry=self._registry)
        self.loop_lag = Histogram(
            "voicebot_loop_lag_seconds", "Delay of a timer", buckets=LAG_SECONDS, registry=self._registry
        )
        self.pressed = Gauge(
            "voicebot_pressed", "1 while drafts are given up for want of computing", registry=self._registry
        )
        self.shadows = Counter(
            "voicebot_shadow_copies", "Copies of turns, by what became of them", ["outcome"], registry=self._registry
        )
        self._v2v = Histogram(
            "voicebot_v2v_seconds",
            "End of the caller's speech to the first sound of the reply",
            ["transport"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self._stages = Histogram(
            "voicebot_stage_seconds",
            "Each stage of a turn",
            ["transport", "stage"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self._events = Counter(
            "voicebot_events",
            "What happened in calls: drafts, commits, barge-ins, failures, ignored events",
            ["event", "transport"],
            registry=self._registry,
        )

    def turn(self, transport: str, waterfall: dict[str, Any]) -> None:
        """A turn was answered. `waterfall`: as in docs/events.md."""
        if waterfall["v2v_ms"] is not None:
            self._v2v.labels(transport).observe(waterfall["v2v_ms"] / 1000)
        for stage in waterfall["stages"]:
            seconds = max(0.0, stage["stop_ms"] - stage["start_ms"]) / 1000
            self._stages.labels(transport, stage["name"]).observe(seconds)

    def count(self, name: str, amount: int = 1, **labels: str) -> None:
        """`name` happened `amount` times more. The only label known: `transport`."""
        self._events.labels(name, labels["transport"]).inc(amount)

    def render(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)
