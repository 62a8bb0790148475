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


class Countdown:
    """A request on `FakeBatch`: gives a number a step."""

    def __init__(self, engine: FakeBatch, numbers: int, cancel: Cancel) -> None:
        self.engine, self.left, self.cancel = engine, numbers, cancel
        self.made: list[int] = []

    @property
    def ready(self) -> bool:
        return bool(self.made) or self.left == 0 or self.cancel.is_set()

    def __iter__(self) -> Countdown:
        return self

    def __next__(self) -> int:
        while not self.made:
            if self.left == 0 or self.cancel.is_set():
                raise StopIteration
            self.engine.step()
        return self.made.pop(0)


class FakeBatch(FakeEngine):
    """Counts down for every request at once; a request with two numbers unread rests."""

    batch_size = 2

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Countdown] = []
        self.most = 0
        self.breaks_at = 0

    def count(self, numbers: int, cancel: Cancel) -> Countdown:
        self.threads.add(threading.current_thread().name)
        self.requests.append(Countdown(self, numbers, cancel))
        return self.requests[-1]

    def step(self) -> bool:
        active = [r for r in self.requests if r.left and len(r.made) < 2 and not r.cancel.is_set()]
        self.most = max(self.most, len(active))
        for request in active:
            if request.left == self.breaks_at:
                raise KeyError("broken")
            request.made.append(request.left)
            request.left -= 1
        return bool(active)


@asynccontextmanager
async def batch_lane() -> AsyncIterator[Lane[FakeBatch]]:
    lane = Lane(FakeBatch())
    await lane.load()
    try:
        yield lane
    finally:
        await lane.aclose()


def test_a_batched_engine_works_on_several_streams_at_once_in_one_thread() -> None:
    async def body() -> None:
        async with batch_lane() as lane:
            engine = lane.engine

            async def count(numbers: int) -> list[int]:
                return [n async for n in lane.stream(lambda cancel: engine.count(numbers, cancel))]

            counted = await asyncio.gather(*(count(n) for n in (300, 200, 100, 0)))
            assert counted == [list(range(n, 0, -1)) for n in (300, 200, 100, 0)]
            assert engine.most == FakeBatch.batch_size
            assert engine.threads == {"lane fake"}
            assert await lane.run(lambda _cancel: "a plain job") == "a plain job"
            assert [n async for n in lane.stream(lambda _cancel: iter(range(200)))] == list(range(200))
        assert engine.closed_on == "lane fake"

    run(body)


def test_a_reader_who_does_not_fetch_makes_no_other_wait_in_a_batch() -> None:
    async def body() -> None:
        async with batch_lane() as lane:
            engine = lane.engine
            async with aclosing(lane.stream(lambda cancel: engine.count(1000, cancel))) as slow:
                assert await anext(slow) == 1000
                fast = [n async for n in lane.stream(lambda cancel: engine.count(500, cancel))]
                assert fast == list(range(500, 0, -1))
                unread = 1000 - engine.requests[0].left
                assert unread <= 1 + STREAM_CHUNKS + 2
                assert [n async for n in slow] == list(range(999, 0, -1)), "and it goes on once it is fetched again"

    run(body)


def test_closing_a_stream_of_a_batch_lets_a_waiting_one_in() -> None:
    async def body() -> None:
        async with batch_lane() as lane:
            engine = lane.engine
            streams = [lane.stream(lambda cancel: engine.count(10_000, cancel)) for _ in range(2)]
            for stream in streams:
                assert await anext(stream) == 10_000
            third = asyncio.create_task(anext(lane.stream(lambda cancel: engine.count(5, cancel))))
            await asyncio.sleep(0)
            assert lane.waiting == 1
            await streams[0].aclose()
            assert await third == 5
            assert engine.requests[0].cancel.is_set() and not engine.requests[1].cancel.is_set()
            await streams[1].aclose()

    run(body)


def test_errors_in_a_batch_reach_whom_they_concern() -> None:
    async def body() -> None:
        def refuse(_cancel: Cancel) -> Iterator[int]:
            raise EngineBadOutput("too long")

        async with batch_lane() as lane:
            engine = lane.engine
            with pytest.raises(EngineBadOutput, match="too long"):
                await anext(lane.stream(refuse))
            engine.breaks_at = 3
            with pytest.raises(EngineError, match="fake failed: KeyError at "):
                assert [n async for n in lane.stream(lambda cancel: engine.count(9, cancel))]
            assert [n async for n in lane.stream(lambda cancel: engine.count(2, cancel))] == [2, 1]

    run(body)
