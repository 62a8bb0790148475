"""A lane on virtual time: the same interface and the same order of things as `voicebot.lane.Lane`, without threads.

Workers stand for the lane's threads: they belong to the world and not to a call, take jobs in order, stay busy with a
job whose caller has gone until they notice, and deliver results that may be late.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, Generic, TypeVar

from voicebot.engines.base import Cancel, Engine
from voicebot.errors import (
    EngineBadOutput,
    EngineError,
    EngineOverloaded,
    EngineTimeout,
    EngineUnavailable,
)
from voicebot.lane import STREAM_CHUNKS

EngineT = TypeVar("EngineT", bound=Engine)
T = TypeVar("T")

FAILURES = (EngineUnavailable, EngineTimeout, EngineBadOutput, EngineError)
_END = object()
_OWNER = re.compile(r"(?:reply|speak) (\d+)")


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How an engine treats its jobs. Delays in seconds, drawn evenly from their ranges; the rest are probabilities."""

    first_s: tuple[float, float] = (0.01, 0.2)
    next_s: tuple[float, float] = (0.0, 0.05)
    fails: float = 0.0
    refuses: float = 0.0
    stalls: float = 0.0
    stall_s: tuple[float, float] = (2.0, 25.0)
    workers: int = 1


@dataclass(slots=True, eq=False)
class _Token:
    cancelled: bool = False

    def is_set(self) -> bool:
        return self.cancelled


@dataclass(slots=True, eq=False)
class _Job:
    work: Callable[[Cancel], Any]
    deliver: Callable[[Any, EngineError | None], None]
    owner: int
    chunks: bool = False
    cleans_up: bool = False
    cancel: _Token = field(default_factory=_Token)
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(STREAM_CHUNKS))


class VirtualLane(Generic[EngineT]):
    """`start` inside a running loop, `aclose` at the world's end."""

    def __init__(self, engine: EngineT, behaviour: Behaviour, rng: Random, queue_limit: int = 64) -> None:
        self.engine = engine
        self.owner = 0
        """The reply that the engine works for at this moment; 0 for none."""
        self.longest_queue = 0
        self._behaviour = behaviour
        self._rng = rng
        self._queue_limit = queue_limit
        self._jobs: deque[_Job] = deque()
        self._filled = asyncio.Event()
        self._workers: list[asyncio.Task[None]] = []
        self._busy = 0

    def start(self) -> None:
        for number in range(self._behaviour.workers):
            name = f"lane {self.engine.name} {number}"
            self._workers.append(asyncio.create_task(self._work(), name=name))

    async def aclose(self) -> None:
        """Let what is queued and running end first."""
        while (self._jobs or self._busy) and not any(worker.done() for worker in self._workers):
            await asyncio.sleep(0.1)
        for worker in self._workers:
            worker.cancel()
        for outcome in await asyncio.gather(*self._workers, return_exceptions=True):
            if isinstance(outcome, Exception):  # An engine's assertion: the test fails, and does not wait for ever.
                raise outcome

    async def run(self, work: Callable[[Cancel], T]) -> T:
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def deliver(value: Any, error: EngineError | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(value)

        job = self._submit(_Job(work, deliver, _owner()))
        try:
            return await future
        finally:
            job.cancel.cancelled = True

    async def stream(self, work: Callable[[Cancel], Iterator[T]]) -> AsyncIterator[T]:
        chunks: asyncio.Queue[Any] = asyncio.Queue()

        def deliver(value: Any, error: EngineError | None) -> None:
            chunks.put_nowait(value if error is None else error)

        job = self._submit(_Job(work, deliver, _owner(), chunks=True))
        try:
            while (chunk := await chunks.get()) is not _END:
                if isinstance(chunk, EngineError):
                    raise chunk
                job.room.release()
                yield chunk
        finally:
            job.cancel.cancelled = True
            job.room.release()

    def soon(self, work: Callable[[Cancel], None]) -> None:
        """In its place in the queue; never refused and never failing."""
        self._jobs.append(_Job(work, lambda _value, _error: None, 0, cleans_up=True))
        self._filled.set()

    def _submit(self, job: _Job) -> _Job:
        if len(self._jobs) >= self._queue_limit or self._rng.random() < self._behaviour.refuses:
            raise EngineOverloaded(f"{self.engine.name} has {len(self._jobs)} jobs waiting")
        self._jobs.append(job)
        self.longest_queue = max(self.longest_queue, len(self._jobs))
        self._filled.set()
        return job

    async def _work(self) -> None:
        while True:
            while not self._jobs:
                self._filled.clear()
                await self._filled.wait()
            job = self._jobs.popleft()
            if job.cancel.is_set():
                continue
            self._busy += 1
            try:
                await self._do(job)
            except EngineError as error:
                job.deliver(None, error)
            finally:
                self._busy -= 1

    async def _do(self, job: _Job) -> None:
        if job.cleans_up:
            job.work(job.cancel)
            return
        fails = self._rng.random() < self._behaviour.fails
        fails_at = self._rng.choice((0, 0, 1, 2, 5)) if fails and job.chunks else 0
        stalls_at = self._rng.choice((0, 1, 3)) if self._rng.random() < self._behaviour.stalls else -1
        await self._pass_time(self._behaviour.first_s, stalls_at == 0)
        if fails and fails_at == 0:
            self._fail()
        if not job.chunks:
            self.owner = job.owner
            job.deliver(job.work(job.cancel), None)
            return
        await self._do_chunks(job, fails_at if fails else -1, stalls_at)

    async def _do_chunks(self, job: _Job, fails_at: int, stalls_at: int) -> None:
        chunks = iter(job.work(job.cancel))
        for number in range(1, 10_000):
            self.owner = job.owner
            chunk = next(chunks, _END)
            if chunk is _END:
                break
            await job.room.acquire()
            if job.cancel.is_set():
                return
            job.deliver(chunk, None)
            if number == fails_at:
                self._fail()
            await self._pass_time(self._behaviour.next_s, number == stalls_at)
        job.deliver(_END, None)

    def _fail(self) -> None:
        raise self._rng.choice(FAILURES)(f"{self.engine.name} fails as drawn")

    async def _pass_time(self, range_s: tuple[float, float], stall: bool) -> None:
        await asyncio.sleep(self._rng.uniform(*(self._behaviour.stall_s if stall else range_s)))


def _owner() -> int:
    """The reply that the asking task makes, by the task's name."""
    task = asyncio.current_task()
    found = _OWNER.search(task.get_name()) if task is not None else None
    return int(found.group(1)) if found else 0
