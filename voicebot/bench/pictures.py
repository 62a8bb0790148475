"""Pictures of whole calls: PNG or SVG by the file's name, drawn by matplotlib (the extra `bench`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from voicebot.bench.latency import STAGES, LatencyResult
from voicebot.bench.load import WITHIN_MS, LoadResult
from voicebot.bench.turns import TurnsResult
from voicebot.errors import ConfigError

COLOURS = {"wait": "#9aa5ad", "stt": "#3b6ea5", "llm": "#c1712f", "tts": "#4c8c4a", "playout": "#8a5a9e"}
NAMES = {"wait": "sure of the end", "stt": "hear", "llm": "think", "tts": "voice", "playout": "send"}
INK, FAINT = "#222222", "#cccccc"


def draw_latency(results: Sequence[LatencyResult], title: str, file: Path) -> None:
    """A waterfall of medians for each result, with its p50 and p95. Raises: ConfigError."""
    with _figure(file, (9, 1.2 + 1.9 * len(results))) as figure:
        figure.suptitle(f"From the last sample of speech to the answer's first audible one\n{title}", fontsize=10)
        for number, result in enumerate(results, 1):
            axes = figure.add_subplot(len(results), 1, number)
            _waterfall(axes, result)


def _waterfall(axes: Any, result: LatencyResult) -> None:
    rows = [stage for stage in STAGES if result.stages[stage][1] == result.stages[stage][1]]
    for row, stage in enumerate(rows):
        start, stop = result.stages[stage]
        axes.barh(row, stop - start, left=start, color=COLOURS[stage], height=0.7)
        axes.text(stop + 4, row, f"{stop - start:.0f} ms", va="center", fontsize=8, color=INK)
    for value, style, label in ((result.v2v_ms.p50, "-", "p50"), (result.v2v_ms.p95, "--", "p95")):
        axes.axvline(value, color=INK, linestyle=style, linewidth=1)
        axes.text(value, -0.75, f"{label} {value:.0f}", ha="center", fontsize=8, color=INK)
    axes.set_yticks(range(len(rows)), [NAMES[stage] for stage in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -1.1)
    axes.set_xlim(0, max(result.v2v_ms.p95, *(stop for _, stop in result.stages.values())) * 1.12)
    axes.set_xlabel("ms after the last sample of speech", fontsize=8)
    hits = "" if result.hit_rate != result.hit_rate else f"; {result.hit_rate:.0%} ready at the commit"
    axes.set_title(f"{result.name} over {result.transport}, {result.v2v_ms.n} turns{hits}", fontsize=9, loc="left")


def draw_load(result: LoadResult, title: str, file: Path) -> None:
    """Turn latency, barge-in and CPU against calls. Raises: ConfigError."""
    with _figure(file, (9, 4)) as figure:
        figure.suptitle(f"Calls on one core of the server\n{title}", fontsize=10)
        calls = [level.calls for level in result.levels]
        left, right = figure.subplots(1, 2)
        series = (
            ("voice to voice p50", [level.v2v_ms.p50 for level in result.levels], COLOURS["stt"], "-"),
            ("voice to voice p95", [level.v2v_ms.p95 for level in result.levels], COLOURS["stt"], "--"),
            ("barge-in p50", [level.barge_in_ms.p50 for level in result.levels], COLOURS["llm"], "-"),
        )
        for name, values, colour, style in series:
            left.plot(calls, values, style, color=colour, marker="o", markersize=3, label=name)
        left.axhline(result.levels[0].v2v_ms.p95 + WITHIN_MS, color=FAINT, label="alone + 100 ms")
        left.set_ylabel("ms", fontsize=8)
        right.plot(
            calls, [level.cpu_ms_per_s for level in result.levels], color=COLOURS["tts"], marker="o", markersize=3
        )
        right.set_ylabel("server CPU, ms per second of one call", fontsize=8)
        right.set_title(f"{result.holds} calls held; {result.memory_mb_per_call} MB a call", fontsize=9)
        for axes in (left, right):
            axes.set_xlabel("calls at once", fontsize=8)
            axes.set_ylim(bottom=0)
        left.legend(fontsize=8)


def draw_turns(result: TurnsResult, title: str, file: Path) -> None:
    """Cut-offs against the median wait, by words and by fixed silences. Raises: ConfigError."""
    pauses = list(result.points[0].cut_off) if result.points else []
    with _figure(file, (9, 3.8)) as figure:
        figure.suptitle(f"Callers cut off in a pause, against the wait when they have finished\n{title}", fontsize=10)
        for axes, pause in zip(figure.subplots(1, len(pauses), sharey=True), pauses, strict=True):
            for kind, colour in (("words", COLOURS["stt"]), ("fixed", COLOURS["llm"])):
                points = [point for point in result.points if point.name.startswith(kind)]
                waits = [point.wait_ms.p50 for point in points]
                shares = [point.cut_off[pause] * 100 for point in points]
                axes.plot(waits, shares, color=colour, marker="o", markersize=3, label=kind)
            axes.set_title(f"pauses of {pause} ms", fontsize=9)
            axes.set_xlabel("median wait, ms", fontsize=8)
        figure.axes[0].set_ylabel("cut off, %", fontsize=8)
        figure.axes[0].legend(fontsize=8)


@contextmanager
def _figure(file: Path, inches: tuple[float, float]) -> Iterator[Any]:
    """Drawn upon in the block, then written. Raises: ConfigError."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError(f"--plot needs the extra 'bench' (matplotlib): {error}") from error
    figure = Figure(figsize=inches, layout="constrained")
    FigureCanvasAgg(figure)
    yield figure
    for axes in figure.axes:
        axes.tick_params(labelsize=8)
        axes.grid(color=FAINT, linewidth=0.5)
        axes.set_axisbelow(True)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    try:
        figure.savefig(file, dpi=150)
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot write the picture {file}: {error}") from error
