"""Results for people: a table on the terminal and a picture as SVG, without a plotting library."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from rich.console import Console
from rich.table import Table

from voicebot.bench.measure import Figure, Result
from voicebot.bench.shapes import NOTE
from voicebot.errors import ConfigError

BAR_PX, ROW_PX, LABEL_PX, WIDTH_PX = 14, 20, 330, 860
COLOURS = ("#3b6ea5", "#c1712f", "#4c8c4a", "#8a5a9e", "#a83f4b", "#5f6b73")


def show(results: Sequence[Result], machine: str, console: Console) -> None:
    table = Table(title=f"{machine}; median (best) of {max(f.runs for r in results for f in r.figures)} runs")
    for heading in ("engine", "load", "memory", "measured", "median", "best"):
        words = heading in ("engine", "measured")
        table.add_column(heading, justify="left" if words else "right", no_wrap=not words)
    for result in results:
        for index, figure in enumerate(result.figures):
            head = [result.name, f"{result.load_s:.1f} s", _memory(result)] if index == 0 else ["", "", ""]
            table.add_row(*head, figure.name, _value(figure, figure.median), _value(figure, figure.best))
        table.add_section()
    console.print(table)
    for result in results:
        console.print(f"{result.name}: " + "; ".join(notes(result)), markup=False, soft_wrap=True)


def notes(result: Result) -> list[str]:
    return [*([NOTE] if result.random_weights else []), *result.notes]


def _memory(result: Result) -> str:
    return "?" if result.memory_mb is None else f"{result.memory_mb:.0f} MB"


def _value(figure: Figure, value: float) -> str:
    digits = 3 if figure.unit == "x" else 0 if value >= 100 else 1
    return f"{value:.{digits}f} {figure.unit}"


def write_svg(results: Sequence[Result], machine: str, path: Path) -> None:
    """One block of bars per measured quantity, a bar per engine. Raises: ConfigError."""
    try:
        path.write_text(svg(results, machine), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write the picture {path}: {error.strerror}") from error


def svg(results: Sequence[Result], machine: str) -> str:
    note = f" ({NOTE})" if any(result.random_weights for result in results) else ""
    parts = [_text(10, 20, f"{machine}: medians{note}", 13)]
    y = 44
    for name in dict.fromkeys(figure.name for result in results for figure in result.figures):
        rows = [(r.name, f, i) for i, r in enumerate(results) for f in r.figures if f.name == name]
        longest = max(figure.median for _, figure, _ in rows) or 1.0
        parts.append(_text(10, y, name, 12))
        for label, figure, index in rows:
            y += ROW_PX
            long_px = max(1.0, figure.median / longest * (WIDTH_PX - LABEL_PX - 120))
            colour = COLOURS[index % len(COLOURS)]
            parts.append(_text(24, y, label, 11))
            parts.append(
                f'<rect x="{LABEL_PX}" y="{y - BAR_PX + 3}" width="{long_px:.1f}" height="{BAR_PX}" fill="{colour}"/>'
            )
            parts.append(_text(LABEL_PX + long_px + 6, y, _value(figure, figure.median), 11))
        y += ROW_PX + 10
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH_PX}" height="{y}" font-family="sans-serif">'
    return "\n".join([head, f'<rect width="{WIDTH_PX}" height="{y}" fill="#ffffff"/>', *parts, "</svg>"]) + "\n"


def _text(x: float, y: float, text: str, size: int) -> str:
    return f'<text x="{x:.1f}" y="{y}" font-size="{size}" fill="#222222">{escape(text)}</text>'
