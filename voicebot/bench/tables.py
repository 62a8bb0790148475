"""The figures of whole calls for people, on the terminal."""

from __future__ import annotations

import math

from rich.console import Console
from rich.table import Table

from voicebot.bench.latency import LatencyResult
from voicebot.bench.load import LoadResult
from voicebot.bench.spread import Spread
from voicebot.bench.turns import TurnsResult


def show_latency(result: LatencyResult, title: str, console: Console) -> None:
    table = Table("", "p50", "p95", "p99", "most", title=f"{result.name} over {result.transport}: ms; {title}")
    rows = {
        "voice to voice": result.v2v_ms,
        "wait until the commit": result.wait_ms,
        "commit to first sample sent": result.after_commit_ms,
    }
    for name, values in rows.items():
        table.add_row(name, *(_ms(value) for value in (values.p50, values.p95, values.p99, values.most)))
    console.print(table)
    stages = ", ".join(f"{name} {_ms(start)}-{_ms(stop)}" for name, (start, stop) in result.stages.items())
    console.print(f"{result.v2v_ms.n} turns; medians from the last speech sample: {stages}", soft_wrap=True)
    console.print(
        f"drafts: {_percent(result.hit_rate)} of the turns were ready at the commit, {_percent(result.wasted_share)} "
        f"of the work was for nothing, {result.reopened} turns were reopened",
        soft_wrap=True,
    )
    console.print(f"read before the answer was wanted: {_percent(result.cached_share)} of the prompts", soft_wrap=True)


def show_load(result: LoadResult, title: str, console: Console) -> None:
    table = Table(title=f"server on {result.cores} core; {title}")
    for heading in (
        "calls",
        "CPU ms/s",
        "memory MB",
        "v2v p50/p95",
        "barge-in p50/p95",
        "gaps",
        "lost",
        "callers late",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for level in result.levels:
        table.add_row(
            str(level.calls),
            f"{level.cpu_ms_per_s:.1f}",
            f"{level.memory_mb:.0f}",
            _pair(level.v2v_ms),
            _pair(level.barge_in_ms),
            str(level.gaps),
            str(level.lost_turns + level.failures),
            f"{_ms(level.caller_late_ms.p99)} ms",
        )
    console.print(table)
    console.print(
        f"{result.holds} calls are held within +100 ms without a gap; {result.memory_mb_per_call} MB a call beyond the "
        "first. CPU is the server's, per second of one call; 'callers late': p99 of the callers' own clock.",
        soft_wrap=True,
    )
    if result.first_failure:
        console.print(f"first failure: {result.first_failure}", markup=False, soft_wrap=True)


def show_turns(result: TurnsResult, title: str, console: Console) -> None:
    pauses = list(result.points[0].cut_off) if result.points else []
    table = Table(title=f"{result.recordings} recordings; {title}")
    table.add_column("setting", no_wrap=True)
    for heading in ("wait p50", "p95", *(f"cut off at {pause} ms" for pause in pauses), "unheard"):
        table.add_column(heading, justify="right", no_wrap=True)
    for point in result.points:
        shares = (_percent(point.cut_off[pause]) for pause in pauses)
        table.add_row(point.name, _ms(point.wait_ms.p50), _ms(point.wait_ms.p95), *shares, str(point.unheard))
    console.print(table)


def _pair(values: Spread) -> str:
    return f"{_ms(values.p50)} / {_ms(values.p95)}"


def _ms(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.0f}"


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{share:.0%}"
