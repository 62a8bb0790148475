"""Where a turn's time went: a waterfall in milliseconds from the last voiced sample of the caller's speech."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

STAGES = (
    ("wait", "speech_stop", "commit"),
    ("stt", "stt_begin", "stt_end"),
    ("llm", "llm_begin", "first_clause"),
    ("tts", "first_clause", "first_audio"),
    ("playout", "ready", "playout"),
)
"""Name, and the marks between which the stage lies. Stages overlap: drafts run inside the wait."""


@dataclass(slots=True)
class TurnMarks:
    """Monotonic times (seconds) at which a turn's stages began and ended; the first of each counts."""

    drafts: int = 0
    """How many there were of the turn."""
    _at: dict[str, float] = field(default_factory=dict)

    def mark(self, name: str, now: float) -> None:
        self._at.setdefault(name, now)

    def remark(self, name: str, now: float) -> None:
        """A later draft replaces what an earlier one marked."""
        self._at[name] = now

    def forget(self, *names: str) -> None:
        for name in names:
            self._at.pop(name, None)

    def since_ms(self, name: str, now: float) -> float:
        """Milliseconds from a mark to `now`; 0.0 where there is no such mark."""
        return (now - self._at.get(name, now)) * 1000

    @property
    def ready_ms(self) -> float | None:
        """How long the first sound lay ready at the commit; negative if it came later; None until both are known."""
        if "commit" not in self._at or "first_audio" not in self._at:
            return None
        return round((self._at["commit"] - self._at["first_audio"]) * 1000, 1)

    def v2v_ms(self) -> float | None:
        """Last voiced sample to the first sample sent, as this machine's clock saw it; None until then."""
        if "playout" not in self._at or "speech_stop" not in self._at:
            return None
        return round((self._at["playout"] - self._at["speech_stop"]) * 1000, 1)

    def waterfall(self) -> dict[str, Any]:
        """{"stages": [{"name", "start_ms", "stop_ms"}], "v2v_ms", "ready_ms", "drafts"}.

        A stage is there when both its marks are.
        """
        at = dict(self._at)
        if "commit" in at and "first_audio" in at:
            at["ready"] = max(at["commit"], at["first_audio"])
        zero = at.get("speech_stop", 0.0)
        stages = [
            {"name": name, "start_ms": round((at[a] - zero) * 1000, 1), "stop_ms": round((at[b] - zero) * 1000, 1)}
            for name, a, b in STAGES
            if a in at and b in at
        ]
        return {"stages": stages, "v2v_ms": self.v2v_ms(), "ready_ms": self.ready_ms, "drafts": self.drafts}
