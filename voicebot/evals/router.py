"""Measures a router: accuracy with Wilson intervals, out-of-scope recall, calibration, hardness, risk and coverage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from voicebot.brain.router import OOS, Route, Router
from voicebot.training import noise
from voicebot.training.grammar import Piece
from voicebot.training.router import Example

BINS = 15
Z = 1.96
"""Of a 95 % interval."""


def wilson(right: int, count: int) -> list[float]:
    """95 % interval of a share. Source: Wilson, 1927."""
    if not count:
        return [0.0, 1.0]
    share, square = right / count, Z * Z / count
    middle = (share + square / 2) / (1 + square)
    half = Z * (share * (1 - share) / count + square / (4 * count)) ** 0.5 / (1 + square)
    return [round(max(0.0, middle - half), 4), round(min(1.0, middle + half), 4)]


def calibration_error(chances: Sequence[float], truths: Sequence[bool]) -> float:
    """Expected calibration error over BINS bins of equal width."""
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for chance, truth in zip(chances, truths, strict=True):
        bins[min(BINS - 1, int(chance * BINS))].append((chance, truth))
    gaps = (abs(sum(chance for chance, _ in each) - sum(truth for _, truth in each)) for each in bins)
    return round(sum(gaps) / max(1, len(chances)), 4)


def disturbed(examples: Sequence[Example], seed: int = 7) -> list[Example]:
    """The same lines with a recogniser's errors and a caller's hesitations."""
    rng = Random(seed)
    return [Example(noise.joined(noise.disturb([Piece(one.text)], rng)), one.task, one.hard) for one in examples]


def evaluate(router: Router, examples: Sequence[Example]) -> dict[str, Any]:
    """The document that `voicebot eval router --json` prints; accuracy counts "oos" as a task of its own."""
    routes = router.routes(router.features.rows([one.text for one in examples]))
    right = [route.task == one.task for route, one in zip(routes, examples, strict=True)]
    inside = [ok for ok, one in zip(right, examples, strict=True) if one.task != OOS]
    outside = [ok for ok, one in zip(right, examples, strict=True) if one.task == OOS]
    return {
        "accuracy": _share(right), "accuracy_95": wilson(sum(right), len(right)), "n": len(right),
        "in_scope": _part(inside), "oos_recall": _part(outside),
        "per_task": _per_task(routes, examples),
        "ece": calibration_error([route.confidence for route in routes], right),
        "oos_ece": calibration_error([route.oos for route in routes], [one.task == OOS for one in examples]),
        "hard": _hard(routes, examples),
        "risk_coverage": risk_coverage(routes, right),
        "baselines": _baselines(examples),
    }  # fmt: skip


def _share(right: Sequence[bool]) -> float:
    return round(sum(right) / max(1, len(right)), 4)


def _part(right: Sequence[bool]) -> dict[str, Any]:
    return {"share": _share(right), "right": sum(right), "n": len(right), "interval_95": wilson(sum(right), len(right))}


def _per_task(routes: Sequence[Route], examples: Sequence[Example]) -> dict[str, dict[str, float]]:
    wanted, given = Counter(one.task for one in examples), Counter(route.task for route in routes)
    both = Counter(one.task for route, one in zip(routes, examples, strict=True) if route.task == one.task)
    return {
        task: {
            "n": wanted[task],
            "recall": round(both[task] / wanted[task], 4),
            "precision": round(both[task] / max(1, given[task]), 4),
        }
        for task in sorted(wanted)
    }


def _hard(routes: Sequence[Route], examples: Sequence[Example]) -> dict[str, float]:
    """Of `hard` >= 0.5."""
    truths, marks = [one.hard for one in examples], [route.hard >= 0.5 for route in routes]
    both = sum(truth and mark for truth, mark in zip(truths, marks, strict=True))
    return {
        "n": sum(truths),
        "recall": round(both / max(1, sum(truths)), 4),
        "precision": round(both / max(1, sum(marks)), 4),
        "ece": calibration_error([route.hard for route in routes], truths),
    }


def risk_coverage(routes: Sequence[Route], right: Sequence[bool]) -> list[list[float]]:
    """[coverage, risk] pairs at each twentieth: the share answered, surest first, and the share of it that is wrong."""
    surest = [ok for _, ok in sorted(zip((-route.confidence for route in routes), right, strict=True))]
    counts = [max(1, len(surest) * step // 20) for step in range(1, 21)] if surest else []
    return [[round(count / len(surest), 4), round(1 - sum(surest[:count]) / count, 4)] for count in counts]


def _baselines(examples: Sequence[Example]) -> dict[str, float]:
    """What needs no model: always the most frequent task; any task by its frequency."""
    counts, size = Counter(one.task for one in examples), max(1, len(examples))
    return {
        "majority": round(max(counts.values(), default=0) / size, 4),
        "random": round(sum((count / size) ** 2 for count in counts.values()), 4),
    }


def write_curve(pairs: Sequence[Sequence[float]], file: Path) -> None:
    """The risk-coverage curve as an SVG."""
    top = max((risk for _, risk in pairs), default=0) or 0.01
    points = " ".join(f"{50 + 400 * cover:.1f},{250 - 220 * risk / top:.1f}" for cover, risk in pairs)
    file.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="480" height="300" font-family="sans-serif" font-size="12">'
        '<path d="M50 30V250H450" fill="none" stroke="#888"/>'
        f'<polyline points="{points}" fill="none" stroke="#0a6cbd" stroke-width="2"/>'
        '<text x="180" y="285">share answered, surest first</text>'
        f'<text x="8" y="20">share wrong (top: {100 * top:.1f} %)</text>'
        '<text x="45" y="266">0</text><text x="435" y="266">100 %</text></svg>\n',
        "utf-8",
    )
