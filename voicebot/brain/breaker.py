"""A circuit breaker: a destination that keeps failing is left alone for a while, then tried once. Pure; `now` is given.

closed --`failures` in a row--> open --`rest_s` later--> half open: one attempt --success--> closed
                                                                                --failure--> open
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    failures: int = 3
    """Failures in a row that open it, >= 1."""
    rest_s: float = 30.0
    """How long it stays open."""


class Breaker:
    """Of one destination. Times are monotonic seconds."""

    def __init__(self, settings: BreakerSettings) -> None:
        self._settings = settings
        self._failures = 0
        self._opened_at: float | None = None
        self._trying = False

    def state(self, now: float) -> Literal["closed", "open", "half open"]:
        if self._opened_at is None:
            return "closed"
        return "open" if now < self._opened_at + self._settings.rest_s else "half open"

    def begin(self, now: float) -> bool:
        """Whether an attempt may be made now. One that may must be followed by exactly one of the three below."""
        state = self.state(now)
        if state == "open" or (state == "half open" and self._trying):
            return False
        self._trying = state == "half open"
        return True

    def succeeded(self) -> None:
        self._failures, self._opened_at, self._trying = 0, None, False

    def failed(self, now: float) -> None:
        self._failures += 1
        if self._trying or self._failures >= self._settings.failures:
            self._opened_at = now
        self._trying = False

    def abandoned(self) -> None:
        """The attempt was cancelled by us: it says nothing about the destination."""
        self._trying = False
