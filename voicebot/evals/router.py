"""Measures a router: accuracy with Wilson intervals, out-of-scope recall, calibration, hardness, risk and coverage."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from voicebot.brain.router import OOS, Route, Router
from voicebot.training import noise
from voicebot.training.grammar import Piece
from voicebot.training.router import Example

BINS = 15
Z = 1.96
"""Of a 95 % interval."""
NEIGHBOURS = 5
TIMED = 2000
"""Lines that are routed one by one to be timed, at most."""


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


def evaluate(router: Router, examples: Sequence[Example], learned: Sequence[Example] = ()) -> dict[str, Any]:
    """The document that `voicebot eval router --json` prints; accuracy counts "oos" as a task of its own.

    `learned`: the lines that the router was trained on, for the nearest-neighbour baseline; () leaves it out.
    """
    routes = router.routes(router.features.rows([one.text for one in examples]))
    right = [route.task == one.task for route, one in zip(routes, examples, strict=True)]
    return {
        "accuracy": _share(right), "accuracy_95": wilson(sum(right), len(right)), "n": len(right),
        **_parts(right, examples),
        "per_task": _per_task(routes, examples),
        "ece": calibration_error([route.confidence for route in routes], right),
        "oos_ece": calibration_error([route.oos for route in routes], [one.task == OOS for one in examples]),
        "hard": _hard(routes, examples),
        "risk_coverage": risk_coverage(routes, right),
        "baselines": _baselines(examples) | (_nearest(router, learned, examples) if learned else {}),
        "route_ms": route_times(router, [one.text for one in examples[:TIMED]]),
    }  # fmt: skip


def _share(right: Sequence[bool]) -> float:
    return round(sum(right) / max(1, len(right)), 4)


def _parts(right: Sequence[bool], examples: Sequence[Example]) -> dict[str, Any]:
    inside = [ok for ok, one in zip(right, examples, strict=True) if one.task != OOS]
    outside = [ok for ok, one in zip(right, examples, strict=True) if one.task == OOS]
    return {"in_scope": _part(inside), "oos_recall": _part(outside)}


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


def _nearest(router: Router, learned: Sequence[Example], examples: Sequence[Example]) -> dict[str, Any]:
    """What the NEIGHBOURS most similar training lines say, by the router's own features; the nearest breaks a tie.
    "oos" only where training lines of it are nearest."""
    known, asked = (router.features.rows([one.text for one in group]) for group in (learned, examples))
    known /= np.linalg.norm(known, axis=1, keepdims=True) + 1e-9
    right = []
    for row, one in zip(asked, examples, strict=True):
        near = np.argsort(-(known @ row), kind="stable")[:NEIGHBOURS]
        right.append(Counter(learned[at].task for at in near).most_common(1)[0][0] == one.task)
    return {"nearest": {"k": NEIGHBOURS, "accuracy": _share(right), **_parts(right, examples)}}


def route_times(router: Router, texts: Sequence[str]) -> dict[str, float]:
    """Milliseconds of one turn alone, by the clock (other work on the machine counts) and of this thread's own time."""
    router.route(texts[0] if texts else "")
    wall, own = [], []
    for text in texts:
        began, began_own = time.perf_counter(), time.thread_time()
        router.route(text)
        wall.append((time.perf_counter() - began) * 1000)
        own.append((time.thread_time() - began_own) * 1000)
    quantiles = {"p50": 50, "p99": 99}
    clock = {name: round(float(np.percentile(wall or [0], at)), 3) for name, at in quantiles.items()}
    return clock | {f"thread_{name}": round(float(np.percentile(own or [0], at)), 3) for name, at in quantiles.items()}


def write_curve(pairs: Sequence[Sequence[float]], file: Path) -> None:
    """The risk-coverage curve as an SVG on white, with a scale on both axes."""
    top = max((risk for _, risk in pairs), default=0) or 0.01
    points = " ".join(f"{60 + 400 * cover:.1f},{250 - 210 * risk / top:.1f}" for cover, risk in pairs)
    lines, words = "", ""
    for step in range(5):
        x, y = 60 + 100 * step, 250 - 52.5 * step
        lines += f"M60 {y}H460"
        words += f'<text x="{x}" y="268" text-anchor="middle">{25 * step} %</text>'
        words += f'<text x="54" y="{y + 4}" text-anchor="end">{25 * step * top:.1f} %</text>'
    file.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 500 300" width="500" height="300" '
        'font-family="sans-serif" font-size="12"><rect width="500" height="300" fill="#fff"/>'
        f'<path d="{lines}" stroke="#ddd"/><path d="M60 40V250H460" fill="none" stroke="#666"/>'
        f'<polyline points="{points}" fill="none" stroke="#0a6cbd" stroke-width="2"/>'
        f'<g fill="#333">{words}<text x="260" y="290" text-anchor="middle">share routed, surest first</text>'
        '<text x="14" y="24">of these wrong</text></g></svg>\n',
        "utf-8",
    )
