"""How a figure is spread: the percentiles that are reported everywhere. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """Of `n` values; NaN where there are none."""

    n: int
    p50: float
    p95: float
    p99: float
    most: float


def spread(values: Sequence[float]) -> Spread:
    return Spread(len(values), *(percentile(values, share) for share in (0.5, 0.95, 0.99, 1.0)))


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest rank: a value that was really measured. NaN of none."""
    if not values:
        return math.nan
    return round(sorted(values)[max(0, math.ceil(share * len(values)) - 1)], 2)
