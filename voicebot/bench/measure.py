"""Measuring an engine as calls use it: loaded on its lane, asked from the event loop, the same drivers.

A figure is the median of `repeat` runs, with the best beside it: on a shared machine the best is what the code needs,
the median what it got.
"""

from __future__ import annotations

import asyncio
import os
import platform
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from voicebot.engines.base import Engine, Kind
from voicebot.engines.registry import create
from voicebot.lane import Lane

EngineT = TypeVar("EngineT", bound=Engine)


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured quantity. `unit`: "ms", "tokens/s" or "x" (a real-time factor)."""

    name: str
    unit: str
    median: float
    best: float
    runs: int


@dataclass(frozen=True, slots=True)
class Result:
    """What one engine did. `random_weights`: a shape, whose words mean nothing."""

    kind: Kind
    name: str
    url: str
    random_weights: bool
    load_s: float
    memory_mb: float | None
    """Growth of this process while loading, and while the first run; None where the system does not say."""
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is to be measured."""

    kind: Kind
    name: str
    url: str
    models_dir: Path
    random_weights: bool


Measure = Callable[[Lane[Any], int, list[str]], Awaitable[list[Figure]]]
"""(loaded lane, repeat, notes to add to) -> figures."""


def measure(subject: Subject, repeat: int, work: Measure) -> Result:
    """Load the engine on a lane of its own, run `work` on it, close it. Raises: EngineError, ConfigError."""
    return asyncio.run(_measure(subject, repeat, work))


async def _measure(subject: Subject, repeat: int, work: Measure) -> Result:
    engine = create(subject.kind, subject.url, subject.models_dir)
    lane: Lane[Any] = Lane(engine)
    before = resident_mb()
    began = time.perf_counter()
    notes: list[str] = []
    try:
        await lane.load()
        load_s = round(time.perf_counter() - began, 2)
        figures = await work(lane, repeat, notes)
        after = resident_mb()
    finally:
        await lane.aclose()
    memory = None if before is None or after is None else round(after - before, 1)
    return Result(subject.kind, subject.name, subject.url, subject.random_weights, load_s, memory, figures, notes)


def summary(name: str, unit: str, values: list[float]) -> Figure:
    """The best is the lowest, but of a rate."""
    best = max(values) if unit.endswith("/s") else min(values)
    return Figure(name, unit, round(median(values), 3), round(best, 3), len(values))


def resident_mb() -> float | None:
    """Memory of this process that lies in RAM; None where there is no /proc."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def machine() -> dict[str, Any]:
    """Which computer this is, and how busy: a figure without it says little."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {"cpu": _cpu(), "cores": os.cpu_count(), "system": platform.platform(terse=True), "load_1min": load}


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())
