"""A sleep that can be cut short: a player waits for its next frame, or for the first sound of an answer."""

from __future__ import annotations

import asyncio
import math

TICK_S = 0.001
"""uvloop's clock and timers count whole milliseconds, and less than half of one is no sleep at all: who looks again
sooner than the next tick spins until it comes."""
ROUNDING = 1e-4
"""Of a tick: what sums of seconds may be beside it; far less than the microsecond in which players count."""


class Alarm:
    """One sleeper's. Thread: the loop."""

    def __init__(self) -> None:
        self._sleeper: asyncio.Future[None] | None = None

    async def sleep_until(self, at_s: float) -> None:
        """Until the loop's clock has reached `at_s`, at its next tick, or `ring`."""
        loop = asyncio.get_running_loop()
        self._sleeper = loop.create_future()
        timer = loop.call_at(math.ceil(at_s / TICK_S - ROUNDING) * TICK_S, self.ring)
        try:
            await self._sleeper
        finally:
            timer.cancel()

    def ring(self) -> None:
        """Wake the sleeper; without one, nothing."""
        if self._sleeper is not None and not self._sleeper.done():
            self._sleeper.set_result(None)
