"""What remote models may cost, per call and per day. Pure: money is reserved before an attempt and settled after it.

Reserving first keeps attempts that run at the same time from spending the same dollar twice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Caps:
    """US dollars; infinity for no cap, 0 for nothing at all."""

    per_call_usd: float = math.inf
    per_day_usd: float = math.inf
    """A day begins at midnight UTC."""


@dataclass(slots=True)
class Hold:
    """Money set aside for one attempt."""

    call: str
    usd: float
    day: int
    open: bool = True


class Budget:
    """Shared by all calls of a server."""

    def __init__(self, caps: Caps, now: float = 0.0, spent_today_usd: float = 0.0) -> None:
        """`now`: Unix seconds. `spent_today_usd`: from the ledger, so that a restart does not reset the day."""
        self._caps = caps
        self._day = int(now // DAY_S)
        self._day_usd = spent_today_usd
        self._calls: dict[str, float] = {}

    @property
    def limited(self) -> bool:
        """Whether there is any cap."""
        return min(self._caps.per_call_usd, self._caps.per_day_usd) < math.inf

    def reserve(self, call: str, usd: float, now: float) -> Hold | str:
        """A hold on `usd`, or why there is none, in words."""
        if refusal := self.refusal(call, usd, now):
            return refusal
        self._add(call, usd)
        return Hold(call, usd, self._day)

    def refusal(self, call: str, usd: float, now: float) -> str:
        """Why so much may not be spent, in words; "" if it may."""
        self._turn_the_page(now)
        if self._day_usd + usd > self._caps.per_day_usd:
            return f"${usd:.4f} more would pass the day's cap of ${self._caps.per_day_usd:.2f}"
        if self.of_call(call) + usd > self._caps.per_call_usd:
            return f"${usd:.4f} more would pass the call's cap of ${self._caps.per_call_usd:.2f}"
        return ""

    def settle(self, hold: Hold, usd: float) -> None:
        """Put what was spent in the place of what was held. A second time changes nothing."""
        if not hold.open:
            return
        hold.open = False
        if hold.call in self._calls:
            self._calls[hold.call] += usd - hold.usd
        if hold.day == self._day:
            self._day_usd += usd - hold.usd

    def of_call(self, call: str) -> float:
        """Spent and held, US dollars."""
        return self._calls.get(call, 0.0)

    def today(self, now: float) -> float:
        """Spent and held, US dollars."""
        self._turn_the_page(now)
        return self._day_usd

    def end_call(self, call: str) -> None:
        """Forget a call that is over; what it spent stays in the day."""
        self._calls.pop(call, None)

    def _add(self, call: str, usd: float) -> None:
        self._day_usd += usd
        self._calls[call] = self.of_call(call) + usd

    def _turn_the_page(self, now: float) -> None:
        if (day := int(now // DAY_S)) > self._day:
            self._day, self._day_usd = day, 0.0
