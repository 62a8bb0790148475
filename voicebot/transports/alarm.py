"""A sleep that can be cut short: a player waits for its next frame, or for the first sound of an answer."""

from __future__ import annotations

import asyncio


class Alarm:
    """One sleeper's. Thread: the loop."""

    def __init__(self) -> None:
        self._sleeper: asyncio.Future[None] | None = None

    async def sleep_until(self, at_s: float) -> None:
        """Until the loop's clock says `at_s`, or `ring`."""
        loop = asyncio.get_running_loop()
        self._sleeper = loop.create_future()
        timer = loop.call_at(at_s, self.ring)
        try:
            await self._sleeper
        finally:
            timer.cancel()

    def ring(self) -> None:
        """Wake the sleeper; without one, nothing."""
        if self._sleeper is not None and not self._sleeper.done():
            self._sleeper.set_result(None)
