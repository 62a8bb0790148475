"""An event loop on virtual time: when nothing is ready, the clock jumps to the next timer.

A world that would wait for ever is a `Deadlock` that names its tasks; one in which time stands still is a `Livelock`.
`run` also fails on tasks and timers that are left behind and on exceptions that nobody saw.
"""

from __future__ import annotations

import asyncio
import gc
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

STANDSTILL = 20_000
"""Rounds of the loop without any time passing: far beyond what one instant of a call needs."""


class Deadlock(AssertionError):
    """Every task waits, and no timer will wake one."""


class Livelock(AssertionError):
    """Tasks wake each other without end at one instant."""


class _Jump(selectors.SelectSelector):
    """Never waits; tells the loop how far the clock has gone instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._rounds = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0) if timeout is None or timeout > 0 else []
        if timeout is None and not ready:
            raise Deadlock(
                f"nothing will ever happen; waiting: {_names(asyncio.all_tasks(asyncio.get_running_loop()))}"
            )
        if timeout and not ready:
            self.now += timeout
            self._rounds = 0
        self._rounds += 1
        if self._rounds > STANDSTILL:
            self._rounds = 0  # So that what is cancelled now has its own rounds to end in.
            raise Livelock(f"time stands still at {self.now:.3f} s")
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """`time()` is virtual. Threads must not be waited for on it: they take no virtual time."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)
        self.unseen: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _loop, context: self.unseen.append(context))

    def time(self) -> float:
        return self._jump.now

    def timers(self) -> list[asyncio.TimerHandle]:
        """Those set and not cancelled."""
        scheduled: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        return [handle for handle in scheduled if not handle.cancelled()]


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end on virtual time. Raises: AssertionError for what `main` leaves behind or nobody noticed."""
    loop = VirtualTimeLoop()

    async def watched() -> T:
        result = await main
        await asyncio.sleep(0)  # What was cancelled in the last round ends in this one.
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"tasks left behind: {_names(left)}"
        assert not loop.timers(), f"timers left behind: {loop.timers()}"
        return result

    try:
        result = loop.run_until_complete(watched())
        gc.collect()  # A task's unseen exception is told when the task is collected.
        assert not loop.unseen, f"unseen: {loop.unseen}"
        return result
    finally:
        _end_all(loop)


def _end_all(loop: VirtualTimeLoop) -> None:
    """After a failure: cancel what is left, so that the failure is the only thing reported."""
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def _names(tasks: set[asyncio.Task[Any]]) -> list[str]:
    return sorted(task.get_name() for task in tasks)
