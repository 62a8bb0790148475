"""How many calls a server holds: processor time, memory, lateness and turns at growing numbers of callers.

The server runs in a process of its own on one processor, the crowd on the others. It talks for `talk_s` at each level;
what the server uses is measured over the middle of that, when all are talking.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from voicebot.bench.crowd import Tally
from voicebot.bench.serving import Served, Usage, serving
from voicebot.bench.spread import Spread, spread

RAMP_S = 3.5
"""Until every caller is connected and in its first sentence."""
GAP_MS = 20.0
"""A piece of an answer that comes this much after the sound before it has ended leaves a gap that is heard."""
WITHIN_MS = 100.0
"""How much slower than alone a turn may be for a level to count as held."""
SCRIPTED = (
    "engines.stt=scripted://?text=what+time+is+it",
    "engines.llm=scripted://?reply=This+is+what+you+asked+for%2C+and+a+little+more+of+it+than+one+would+need.",
    "engines.tts=scripted://",
    "engines.turn=''",
    "router.url=''",
    "turn.min_wait_ms=200",
    "turn.max_wait_ms=200",
)
"""Engines that cost nothing, so that only the server is measured; voice activity is Silero's all the same."""


Crowd = Callable[[str, int, float, Tally], Coroutine[Any, Any, None]]
"""(the server's URL, calls, seconds, tally): hold so many calls for so long."""


@dataclass(frozen=True, slots=True)
class Level:
    """One number of calls. CPU: of the server, per second of one call."""

    calls: int
    cpu_ms_per_s: float
    memory_mb: float
    v2v_ms: Spread
    barge_in_ms: Spread
    lateness_ms: Spread
    gaps: int
    lost_turns: int
    failures: int
    caller_late_ms: Spread
    """Of the crowd itself: over a few ms, the crowd is what was measured."""

    def holds(self, alone: Level) -> bool:
        """Whether callers are served as one alone is, but for `WITHIN_MS`, without a gap and without a loss."""
        in_time = self.v2v_ms.p95 <= alone.v2v_ms.p95 + WITHIN_MS
        return in_time and not (self.gaps or self.lost_turns or self.failures)


@dataclass(frozen=True, slots=True)
class LoadResult:
    """`memory_mb_per_call`: what each call beyond the first adds, from the first level to the last."""

    levels: list[Level]
    cores: int
    memory_mb_per_call: float
    holds: int
    """The most calls measured that still hold."""
    first_failure: str = ""

    def document(self) -> dict[str, Any]:
        return asdict(self)


def measure_load(
    levels: Sequence[int], settings: Sequence[str], crowd: Crowd, talk_s: float, report: Callable[[str], None]
) -> LoadResult:
    """Raises: EngineUnavailable when the server does not start."""
    own = sorted(os.sched_getaffinity(0))
    cores, rest = own[:1], own[1:] or own
    found: list[Level] = []
    failure = ""
    with serving([*settings, f"server.max_calls={max(levels) + 4}"], cores) as server:
        os.sched_setaffinity(0, rest)
        try:
            for calls in levels:
                level, failures = asyncio.run(_level(server, calls, crowd, talk_s))
                found.append(level)
                failure = failure or next(iter(failures), "")
                report(f"{calls} calls: {level.cpu_ms_per_s:.1f} ms of CPU per second of call")
        finally:
            os.sched_setaffinity(0, own)
    held = [level.calls for level in found if level.holds(found[0])]
    return LoadResult(found, len(cores), _per_call(found), max(held, default=0), failure)


def _per_call(levels: Sequence[Level]) -> float:
    first, last = levels[0], levels[-1]
    more = last.calls - first.calls
    return round((last.memory_mb - first.memory_mb) / more, 2) if more > 0 else float("nan")


async def _level(server: Served, calls: int, crowd: Crowd, talk_s: float) -> tuple[Level, list[str]]:
    tally = Tally()
    usage: list[Usage] = []

    async def watch() -> None:
        await asyncio.sleep(RAMP_S)
        usage.append(server.usage())
        await asyncio.sleep(max(1.0, talk_s - RAMP_S))
        usage.append(server.usage())

    async with asyncio.TaskGroup() as group:
        group.create_task(watch())
        group.create_task(crowd(server.url, calls, talk_s, tally))
    before, after = usage
    cpu_ms = (after.cpu_s - before.cpu_s) / (after.at_s - before.at_s) / calls * 1000
    level = Level(
        calls=calls,
        cpu_ms_per_s=round(cpu_ms, 2),
        memory_mb=round(after.memory_mb, 1),
        v2v_ms=spread(tally.v2v_ms),
        barge_in_ms=spread(tally.clear_ms),
        lateness_ms=spread(tally.lateness_ms),
        gaps=sum(late > GAP_MS for late in tally.lateness_ms),
        lost_turns=tally.lost_turns,
        failures=len(tally.failures),
        caller_late_ms=spread(tally.tick_late_ms),
    )
    return level, tally.failures
