"""Voice to voice over many turns: percentiles, where the time went, and whether answering early paid. Pure.

A turn is `{"v2v_ms", "waterfall"}` as `voicebot call` measures it: from the last speech sample of the recording to the
first audible sample that came back.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from voicebot.bench.spread import Spread, percentile, spread

STAGES = ("wait", "stt", "llm", "tts", "playout")
Turn = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LatencyResult:
    """One run. Times in milliseconds."""

    name: str
    transport: str
    v2v_ms: Spread
    stages: dict[str, tuple[float, float]]
    """Stage -> median (start, stop), from the last speech sample as the server saw it."""
    wait_ms: Spread
    """Silence until the commit: what was waited to be sure that the caller had finished."""
    after_commit_ms: Spread
    """Commit to first sample sent: the server's and the engines' own share."""
    hit_rate: float
    """Share of turns whose first sound lay ready at the commit."""
    wasted_share: float
    """Of the time that drafts were worked on, how much was for nothing."""
    cached_share: float
    """Of the prompts' tokens, how many had been read before the answer was wanted."""
    reopened: int
    turns: list[dict[str, Any]]

    def document(self) -> dict[str, Any]:
        return asdict(self)


def summarize(name: str, transport: str, turns: Sequence[Turn], events: Mapping[str, float]) -> LatencyResult:
    """`events`: the server's counts of what happened in its calls."""
    stages = [_stages(turn) for turn in turns]
    waits = [each["wait"][1] for each in stages if "wait" in each]
    shares = [each["playout"][1] - each["wait"][1] for each in stages if "wait" in each and "playout" in each]
    ready, late = events.get("drafts_ready", 0), events.get("drafts_late", 0)
    prompt, cached = events.get("prompt_tokens", 0), events.get("cached_tokens", 0)
    used, wasted = events.get("draft_used_ms", 0), events.get("draft_wasted_ms", 0)
    return LatencyResult(
        name=name,
        transport=transport,
        v2v_ms=spread([turn["v2v_ms"] for turn in turns]),
        stages={stage: _median(each[stage] for each in stages if stage in each) for stage in STAGES},
        wait_ms=spread(waits),
        after_commit_ms=spread(shares),
        hit_rate=_share(ready, late),
        wasted_share=_share(wasted, used),
        cached_share=_share(cached, prompt - cached),
        reopened=int(events.get("reopened", 0)),
        turns=[dict(turn) for turn in turns],
    )


def _stages(turn: Turn) -> dict[str, tuple[float, float]]:
    listed = turn.get("waterfall", {}).get("stages", [])
    return {stage["name"]: (float(stage["start_ms"]), float(stage["stop_ms"])) for stage in listed}


def _median(spans: Iterable[tuple[float, float]]) -> tuple[float, float]:
    listed = list(spans)
    return percentile([start for start, _ in listed], 0.5), percentile([stop for _, stop in listed], 0.5)


def _share(part: float, rest: float) -> float:
    return round(part / (part + rest), 3) if part + rest else math.nan
