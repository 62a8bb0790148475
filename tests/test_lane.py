"""The lane with its real threads. Nothing sleeps: jobs and tests meet at events, each with a deadline."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from voicebot.engines.base import Cancel
from voicebot.errors import EngineBadOutput, EngineError, EngineOverloaded, EngineUnavailable
from voicebot.lane import STREAM_CHUNKS, Lane

DEADLINE_S = 10.0


class FakeEngine:
    locality = "local"
    name = "fake"

    def __init__(self, max_concurrency: int = 1, load_error: Exception | None = None) -> None:
        self.max_concurrency = max_concurrency
        self.load_error = load_error
        self.threads: set[str] = set()
        self.closed_on = ""

    def load(self) -> None:
        self.threads.add(threading.current_thread().name)
        if self.load_error is not None:
            raise self.load_error

    def close(self) -> None:
        self.closed_on = threading.current_thread().name


class Gate:
    """A job that stands at `pass_through` until the test opens it."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def __call__(self, _cancel: Cancel) -> str:
        self.reached.set()
        assert self.opened.wait(DEADLINE_S), "the test never opened the gate"
        return "through"


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), DEADLINE_S))


@asynccontextmanager
async def lane_of(engine: FakeEngine, queue_limit: int = 64) -> AsyncIterator[Lane[FakeEngine]]:
    lane = Lane(engine, queue_limit)
    await lane.load()
    try:
        yield lane
    finally:
        await lane.aclose()


async def reached(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, DEADLINE_S)


def test_a_job_runs_on_the_lane_and_its_result_comes_back_to_the_loop() -> None:
    async def body() -> None:
        async with lane_of(FakeEngine()) as lane:
            assert await lane.run(lambda _cancel: threading.current_thread().name) == "lane fake"

    run(body)


def test_jobs_are_done_in_the_order_in_which_they_came() -> None:
    async def body() -> None:
        done: list[int] = []
        async with lane_of(FakeEngine()) as lane:
            await asyncio.gather(*(lane.run(lambda _cancel, n=n: done.append(n)) for n in range(20)))
        assert done == list(range(20))

    run(body)


def test_as_many_jobs_run_at_once_as_the_engine_allows() -> None:
    async def body() -> None:
        together = threading.Barrier(3)
        async with lane_of(FakeEngine(max_concurrency=3)) as lane:
            jobs = (lane.run(lambda _cancel: together.wait(DEADLINE_S)) for _ in range(3))
            assert sorted(await asyncio.gather(*jobs)) == [0, 1, 2]

    run(body)


def test_a_job_cancelled_before_it_began_never_runs() -> None:
    async def body() -> None:
        gate, ran = Gate(), threading.Event()
        async with lane_of(FakeEngine()) as lane:
            first = asyncio.create_task(lane.run(gate))
            await reached(gate.reached)
            second = asyncio.create_task(lane.run(lambda _cancel: ran.set()))
            await asyncio.sleep(0)
            second.cancel()
            await asyncio.gather(second, return_exceptions=True)
            gate.opened.set()
            assert await first == "through"
            await lane.run(lambda _cancel: None)
        assert second.cancelled() and not ran.is_set()

    run(body)


def test_a_running_job_whose_caller_has_gone_is_told_and_its_result_is_dropped() -> None:
    async def body() -> None:
        gate, told = Gate(), threading.Event()

        def work(cancel: Cancel) -> str:
            gate(cancel)
            if cancel.is_set():
                told.set()
            return "late"

        async with lane_of(FakeEngine()) as lane:
            task = asyncio.create_task(lane.run(work))
            await reached(gate.reached)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            gate.opened.set()
            assert await lane.run(lambda _cancel: "next") == "next"
        assert task.cancelled() and told.is_set()

    run(body)


def test_an_engine_error_comes_through_as_it_is() -> None:
    async def body() -> None:
        def work(_cancel: Cancel) -> None:
            raise EngineBadOutput("no sense in it")

        async with lane_of(FakeEngine()) as lane:
            with pytest.raises(EngineBadOutput, match="no sense"):
                await lane.run(work)

    run(body)


def test_a_foreign_exception_is_the_failure_of_its_job_and_of_no_other() -> None:
    async def body() -> None:
        def work(_cancel: Cancel) -> None:
            raise KeyError("gone")

        async with lane_of(FakeEngine()) as lane:
            with pytest.raises(EngineError, match="fake failed: KeyError at ") as failure:
                await lane.run(work)
            assert isinstance(failure.value.__cause__, KeyError)
            assert await lane.run(lambda _cancel: "still here") == "still here"

    run(body)


def test_a_full_queue_refuses_at_once_and_says_so() -> None:
    async def body() -> None:
        gate = Gate()
        async with lane_of(FakeEngine(), queue_limit=2) as lane:
            running = asyncio.create_task(lane.run(gate))
            await reached(gate.reached)
            waiting = [asyncio.create_task(lane.run(lambda _cancel: 1)) for _ in range(2)]
            await asyncio.sleep(0)
            assert lane.waiting == 2
            with pytest.raises(EngineOverloaded, match="fake has 2 jobs waiting"):
                await lane.run(lambda _cancel: 2)
            gate.opened.set()
            assert await asyncio.gather(running, *waiting) == ["through", 1, 1]

    run(body)


def test_a_stream_delivers_every_chunk_in_order() -> None:
    async def body() -> None:
        async with lane_of(FakeEngine()) as lane:
            assert [n async for n in lane.stream(lambda _cancel: iter(range(500)))] == list(range(500))

    run(body)


def test_a_stream_waits_for_a_slow_reader() -> None:
    async def body() -> None:
        made: list[int] = []
        full = threading.Event()

        def work(_cancel: Cancel) -> Iterator[int]:
            for number in range(STREAM_CHUNKS * 3):
                made.append(number)
                if len(made) == STREAM_CHUNKS + 1:
                    full.set()
                yield number

        async with lane_of(FakeEngine()) as lane, aclosing(lane.stream(work)) as chunks:
            assert await anext(chunks) == 0
            await reached(full)
            # One was read, so the producer is at most one chunk beyond its allowance plus the one it holds.
            assert len(made) <= STREAM_CHUNKS + 2
            assert [n async for n in chunks] == list(range(1, STREAM_CHUNKS * 3))

    run(body)


def test_closing_a_stream_in_the_middle_stops_its_job_and_leaves_the_lane_free() -> None:
    async def body() -> None:
        stopped = threading.Event()

        def work(cancel: Cancel) -> Iterator[int]:
            try:
                number = 0
                while not cancel.is_set():
                    yield number
                    number += 1
            finally:
                stopped.set()

        async with lane_of(FakeEngine()) as lane:
            async with aclosing(lane.stream(work)) as chunks:
                assert await anext(chunks) == 0
            await reached(stopped)
            assert await lane.run(lambda _cancel: "free") == "free"

    run(body)


def test_an_error_in_mid_stream_comes_after_the_chunks_before_it() -> None:
    async def body() -> None:
        def work(_cancel: Cancel) -> Iterator[int]:
            yield 1
            raise EngineBadOutput("broke")

        seen: list[int] = []
        async with lane_of(FakeEngine()) as lane:
            with pytest.raises(EngineBadOutput, match="broke"):
                async for number in lane.stream(work):
                    seen.append(number)
        assert seen == [1]

    run(body)


def test_soon_runs_after_the_jobs_before_it_and_is_not_refused() -> None:
    async def body() -> None:
        order: list[str] = []
        gate, cleaned = Gate(), threading.Event()

        def clean(_cancel: Cancel) -> None:
            order.append("clean")
            cleaned.set()

        async with lane_of(FakeEngine(), queue_limit=1) as lane:
            first = asyncio.create_task(lane.run(gate))
            await reached(gate.reached)
            second = asyncio.create_task(lane.run(lambda _cancel: order.append("job")))
            await asyncio.sleep(0)
            lane.soon(clean)
            gate.opened.set()
            await asyncio.gather(first, second)
            await reached(cleaned)
        assert order == ["job", "clean"]

    run(body)


def test_a_failing_clean_up_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        def clean(_cancel: Cancel) -> None:
            raise EngineError("will not go")

        async with lane_of(FakeEngine()) as lane:
            lane.soon(clean)
            await lane.run(lambda _cancel: None)

    run(body)
    assert "clean-up job failed: will not go" in caplog.text


def test_an_engine_that_cannot_load_says_so_and_leaves_no_thread() -> None:
    async def body() -> None:
        lane = Lane(FakeEngine(load_error=EngineUnavailable("no such model")))
        with pytest.raises(EngineUnavailable, match="no such model"):
            await lane.load()
        await lane.aclose()

    run(body)


def test_closing_drops_waiting_jobs_lets_running_ones_end_and_closes_the_engine_on_its_lane() -> None:
    async def body() -> None:
        gate, engine = Gate(), FakeEngine(max_concurrency=2)
        lane = Lane(engine)
        await lane.load()
        other = Gate()
        running = [asyncio.create_task(lane.run(job)) for job in (gate, other)]
        await reached(gate.reached)
        await reached(other.reached)
        waiting = asyncio.create_task(lane.run(lambda _cancel: "never"))
        await asyncio.sleep(0)
        closing = asyncio.create_task(lane.aclose())
        with pytest.raises(EngineUnavailable, match="fake is closing"):
            await waiting
        gate.opened.set()
        other.opened.set()
        assert await asyncio.gather(*running) == ["through", "through"]
        await closing
        assert engine.closed_on == "lane fake"
        await lane.aclose()
        lane.soon(lambda _cancel: pytest.fail("a job after the end"))
        with pytest.raises(EngineUnavailable, match="is closed"):
            await lane.run(lambda _cancel: None)

    run(body)


def test_a_result_for_a_loop_that_has_closed_harms_nobody() -> None:
    gate = Gate()
    lane = Lane(FakeEngine())

    async def leave() -> None:
        await lane.load()
        asyncio.get_running_loop().create_task(lane.run(gate))
        await reached(gate.reached)

    run(leave)
    gate.opened.set()
    run(lane.aclose)
    assert not any(thread.is_alive() for thread in lane._threads)
