"""The lane: the threads that own one engine, and the only place where threads are crossed.

    event loop                       lane thread(s)
    ----------                       --------------
    run(fn, ...)    --- job --->     fn(..., cancel)
                    <-- result --
    stream(fn, ...) --- job --->     for chunk in fn(..., cancel)
                    <-- chunks -     (at most STREAM_CHUNKS ahead of the reader)

A lane has as many threads as its engine allows (`max_concurrency`), so a library with one owner thread has one.
Jobs wait in a bounded queue; a full queue refuses at once (EngineOverloaded). Cancelling the awaiting task sets the
job's cancel token; a job that has not begun is then dropped unrun.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from voicebot.engines.base import Cancel, Engine
from voicebot.errors import EngineError, EngineOverloaded, EngineUnavailable
from voicebot.faults import outline

EngineT = TypeVar("EngineT", bound=Engine)
T = TypeVar("T")

STREAM_CHUNKS = 64
"""How far a streaming job may run ahead of its reader before it waits."""

log = logging.getLogger(__name__)
_END = object()


@dataclass(slots=True)
class _Job:
    work: Callable[[Cancel], Any]
    deliver: Callable[[Any, BaseException | None], None]
    cancel: threading.Event = field(default_factory=threading.Event)


EngineCo = TypeVar("EngineCo", bound=Engine, covariant=True)


class LaneLike(Protocol[EngineCo]):
    """What users of a lane see; the simulation has one on virtual time."""

    @property
    def engine(self) -> EngineCo: ...

    async def run(self, work: Callable[[Cancel], T]) -> T: ...

    def stream(self, work: Callable[[Cancel], Iterator[T]]) -> AsyncIterator[T]: ...

    def soon(self, work: Callable[[Cancel], None]) -> None: ...


class Lane(Generic[EngineT]):
    """One engine and its threads. Thread: every method is called on the loop."""

    def __init__(self, engine: EngineT, queue_limit: int = 64) -> None:
        """`queue_limit`: jobs that may wait; one more is refused with EngineOverloaded."""
        self.engine = engine
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._queue_limit = queue_limit
        self._threads: list[threading.Thread] = []
        self._closed = False

    @property
    def waiting(self) -> int:
        """Jobs not begun yet."""
        return self._jobs.qsize()

    async def load(self) -> None:
        """Start the threads and load the engine on the first. Raises: EngineError."""
        self._loop = asyncio.get_running_loop()
        self._start_thread()
        await self.run(lambda _cancel: self.engine.load())
        for _ in range(self.engine.max_concurrency - 1):
            self._start_thread()

    async def aclose(self) -> None:
        """Let running jobs end, drop waiting ones, close the engine on its lane, join. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._refuse_waiting()
        if not self._threads:
            return
        for _ in self._threads[1:]:
            self._jobs.put(None)
        closing = threading.Event()
        self._jobs.put(_Job(lambda _cancel: self.engine.close(), lambda _value, _error: closing.set()))
        self._jobs.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def _refuse_waiting(self) -> None:
        while True:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return
            if job is not None:
                job.deliver(None, EngineUnavailable(f"{self.engine.name} is closing"))

    async def run(self, work: Callable[[Cancel], T]) -> T:
        """One job, one result. Cancellation: the job is told to stop and its result is dropped.

        Raises: EngineError from the driver; EngineOverloaded when the queue is full.
        """
        future: asyncio.Future[T] = self._loop.create_future()

        def deliver(value: T, error: BaseException | None) -> None:
            self._post(_resolve, future, value, error)

        job = self._submit(work, deliver)
        try:
            return await future
        finally:
            job.cancel.set()

    async def stream(self, work: Callable[[Cancel], Iterator[T]]) -> AsyncIterator[T]:
        """One job, many chunks. Closing the iterator cancels the job. Raises: as `run`."""
        chunks: asyncio.Queue[Any] = asyncio.Queue()
        room = threading.Semaphore(STREAM_CHUNKS)

        def produce(cancel: Cancel) -> None:
            for chunk in work(cancel):
                room.acquire()
                if cancel.is_set():
                    return
                self._post(chunks.put_nowait, chunk)

        def deliver(_value: Any, error: BaseException | None) -> None:
            self._post(chunks.put_nowait, error if error is not None else _END)

        job = self._submit(produce, deliver)
        try:
            while (chunk := await chunks.get()) is not _END:
                if isinstance(chunk, BaseException):
                    raise chunk
                room.release()
                yield chunk
        finally:
            job.cancel.set()
            room.release()

    def soon(self, work: Callable[[Cancel], None]) -> None:
        """Give something back to the engine after the jobs before it; nobody waits for it, and it is never refused."""
        if not self._closed:
            self._jobs.put(_Job(work, _drop_result))

    def _submit(self, work: Callable[[Cancel], Any], deliver: Callable[[Any, BaseException | None], None]) -> _Job:
        if self._closed:
            raise EngineUnavailable(f"{self.engine.name} is closed")
        if self._jobs.qsize() >= self._queue_limit:
            raise EngineOverloaded(
                f"{self.engine.name} has {self._jobs.qsize()} jobs waiting, its limit; lower server.max_calls"
            )
        job = _Job(work, deliver)
        self._jobs.put(job)
        return job

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._work, name=f"lane {self.engine.name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        """Thread: the lane's. An unknown exception of a driver is that job's failure, never the lane's end."""
        while (job := self._jobs.get()) is not None:
            if job.cancel.is_set():
                continue
            try:
                value, error = job.work(job.cancel), None
            except EngineError as known:
                value, error = None, known
            except Exception as foreign:  # noqa: BLE001 - a driver's bug is one job's failure
                value, error = None, EngineError(f"{self.engine.name} failed: {outline(foreign)}")
                error.__cause__ = foreign
            job.deliver(value, error)

    def _post(self, callback: Callable[..., Any], *args: Any) -> None:
        """Hand over to the loop; a loop that has closed wants nothing any more."""
        with contextlib.suppress(RuntimeError):  # What call_soon_threadsafe raises on a closed loop, and only there.
            self._loop.call_soon_threadsafe(callback, *args)


def _drop_result(_value: Any, error: BaseException | None) -> None:
    """Nobody waits; a failure of the clean-up itself must still be seen."""
    if error is not None:
        log.error("clean-up job failed: %s", error)


def _resolve(future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(value)
