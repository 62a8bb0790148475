"""The virtual loop itself: it jumps, it keeps order, and it tells what hangs, spins or is left behind."""

from __future__ import annotations

import asyncio

import pytest

from tests.virtual_time import Deadlock, Livelock, run


def test_an_hour_passes_at_once_and_timers_keep_their_order() -> None:
    async def body() -> list[tuple[str, float]]:
        seen: list[tuple[str, float]] = []
        loop = asyncio.get_running_loop()

        async def after(seconds: float, name: str) -> None:
            await asyncio.sleep(seconds)
            seen.append((name, round(loop.time(), 6)))

        await asyncio.gather(after(3600, "late"), after(0.02, "early"), after(60, "middle"))
        return seen

    assert run(body()) == [("early", 0.02), ("middle", 60.0), ("late", 3600.0)]


def test_waiting_for_what_never_comes_names_the_tasks() -> None:
    async def body() -> None:
        never = asyncio.Event()
        task = asyncio.create_task(never.wait(), name="the stuck one")
        await task

    with pytest.raises(Deadlock, match="the stuck one"):
        run(body())


def test_spinning_at_one_instant_is_found() -> None:
    async def body() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(Livelock, match="time stands still"):
        run(body())


def test_a_task_left_behind_fails() -> None:
    async def body() -> None:
        body.task = asyncio.create_task(asyncio.sleep(1), name="left")  # type: ignore[attr-defined]

    with pytest.raises(AssertionError, match=r"tasks left behind: \['left'\]"):
        run(body())


def test_a_timer_left_behind_fails() -> None:
    async def body() -> None:
        asyncio.get_running_loop().call_later(1, print)

    with pytest.raises(AssertionError, match="timers left behind"):
        run(body())


def test_an_exception_that_nobody_saw_fails() -> None:
    async def wrong() -> None:
        raise ValueError("unseen")

    async def body() -> None:
        asyncio.create_task(wrong())
        await asyncio.sleep(1)

    with pytest.raises(AssertionError, match="never retrieved"):
        run(body())
