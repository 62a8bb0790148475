"""The lane: the threads that own one engine, and the only place where threads are crossed.

    event loop                       lane thread(s)
    ----------                       --------------
    run(fn, ...)    --- job --->     fn(..., cancel)
                    <-- result --
    stream(fn, ...) --- job --->     for chunk in fn(..., cancel)
                    <-- chunks -     (at most STREAM_CHUNKS ahead of the reader)

A lane has as many threads as its engine allows (`max_concurrency`), so a library with one owner thread has one. An
engine that works on several requests in that one thread (`BatchedEngine`) is stepped while any is under way: streams
join between steps, as many as it takes, and no reader waits for another's.
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

from voicebot.engines.base import BatchChunks, BatchedEngine, Cancel, Engine
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
    emit: Callable[[Any], None] | None = None
    """Where chunks go; None for a job that has one result."""
    cancel: threading.Event = field(default_factory=threading.Event)
    room: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(STREAM_CHUNKS))


@dataclass(slots=True, eq=False)
class _Stream:
    """A request under way on a batched engine."""

    job: _Job
    chunks: BatchChunks[Any]
    permitted: bool = False

    @property
    def deliverable(self) -> bool:
        """Something is ready and the reader has room for it, or is gone."""
        if self.job.cancel.is_set():
            return True
        if self.chunks.ready and not self.permitted:
            self.permitted = self.job.room.acquire(blocking=False)
        return self.chunks.ready and self.permitted


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
        self._ending = threading.Lock()
        self._ended = 0
        self._wake = threading.Event()
        """A batched engine's thread has something to look at: a job, room for chunks, a cancel."""

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
        for _ in self._threads:
            self._jobs.put(None)
        self._wake.set()
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

        def deliver(_value: Any, error: BaseException | None) -> None:
            self._post(chunks.put_nowait, error if error is not None else _END)

        job = self._submit(work, deliver, lambda chunk: self._post(chunks.put_nowait, chunk))
        try:
            while (chunk := await chunks.get()) is not _END:
                if isinstance(chunk, BaseException):
                    raise chunk
                job.room.release()
                self._wake.set()
                yield chunk
        finally:
            job.cancel.set()
            job.room.release()
            self._wake.set()

    def soon(self, work: Callable[[Cancel], None]) -> None:
        """Give something back to the engine after the jobs before it; nobody waits for it, and it is never refused."""
        if not self._closed:
            self._jobs.put(_Job(work, _drop_result))
            self._wake.set()

    def _submit(
        self,
        work: Callable[[Cancel], Any],
        deliver: Callable[[Any, BaseException | None], None],
        emit: Callable[[Any], None] | None = None,
    ) -> _Job:
        if self._closed:
            raise EngineUnavailable(f"{self.engine.name} is closed")
        if self._jobs.qsize() >= self._queue_limit:
            raise EngineOverloaded(
                f"{self.engine.name} has {self._jobs.qsize()} jobs waiting, its limit; lower server.max_calls"
            )
        job = _Job(work, deliver, emit)
        self._jobs.put(job)
        self._wake.set()
        return job

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._work, name=f"lane {self.engine.name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        """Thread: the lane's. The last of them to end closes the engine."""
        if isinstance(self.engine, BatchedEngine):
            self._work_in_batches(self.engine)
        else:
            while (job := self._jobs.get()) is not None:
                self._do(job)
        with self._ending:
            self._ended += 1
            last = self._ended == len(self._threads)
        if last:
            _drop_result(*self._outcome(self.engine.close))

    def _do(self, job: _Job) -> None:
        """The whole of a job."""
        if not job.cancel.is_set():
            job.deliver(*self._outcome(lambda: _whole(job)))

    def _work_in_batches(self, engine: BatchedEngine) -> None:
        running: list[_Stream] = []
        closing = False
        while not (closing and not running):
            self._wake.clear()  # Before looking: what comes after this wakes the wait below.
            running = [stream for stream in running if not self._hand_over(stream)]
            closing = self._take_jobs(running, engine.batch_size) or closing
            moves = self._step(engine, running) or any(stream.deliverable for stream in running)
            if not moves and not (closing and not running):
                self._wake.wait()

    def _take_jobs(self, running: list[_Stream], limit: int) -> bool:
        """Begin what has come, `limit` at once; True when the lane closes."""
        while len(running) < limit:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return False
            if job is None:
                return True
            if job.emit is None:
                self._do(job)
            elif not job.cancel.is_set():
                self._begin(job, running)
        return False

    def _begin(self, job: _Job, running: list[_Stream]) -> None:
        chunks, error = self._outcome(lambda: job.work(job.cancel))
        if error is not None:
            job.deliver(None, error)
        elif isinstance(chunks, BatchChunks):
            running.append(_Stream(job, chunks))
        else:
            job.deliver(*self._outcome(lambda: _produce(job, chunks)))

    def _hand_over(self, stream: _Stream) -> bool:
        """Give the reader what is ready and fits; True once the job has ended."""
        job = stream.job
        while stream.deliverable and not job.cancel.is_set():
            chunk, error = self._outcome(lambda: next(stream.chunks, _END))
            if chunk is _END or error is not None:
                job.deliver(None, error)
                return True
            assert job.emit is not None, "a stream has a reader"
            job.emit(chunk)
            stream.permitted = False
        return job.cancel.is_set()

    def _step(self, engine: BatchedEngine, running: list[_Stream]) -> bool:
        """Whether there was work. A driver's bug fails what is under way, never the lane."""
        if not running:
            return False
        worked, error = self._outcome(engine.step)
        if error is None:
            return bool(worked)
        for stream in running:
            stream.job.deliver(None, error)
        running.clear()
        return True

    def _outcome(self, work: Callable[[], Any]) -> tuple[Any, EngineError | None]:
        """A result or an error. An unknown exception of a driver is a failure of one job, never the lane's end."""
        try:
            return work(), None
        except EngineError as known:
            return None, known
        except Exception as foreign:  # noqa: BLE001 - a driver's bug is one job's failure
            error = EngineError(f"{self.engine.name} failed: {outline(foreign)}")
            error.__cause__ = foreign
            return None, error

    def _post(self, callback: Callable[..., Any], *args: Any) -> None:
        """Hand over to the loop; a loop that has closed wants nothing any more."""
        with contextlib.suppress(RuntimeError):  # What call_soon_threadsafe raises on a closed loop, and only there.
            self._loop.call_soon_threadsafe(callback, *args)


def _whole(job: _Job) -> Any:
    result = job.work(job.cancel)
    return result if job.emit is None else _produce(job, result)


def _produce(job: _Job, chunks: Iterator[Any]) -> None:
    """Every chunk of a stream, as fast as its reader has room."""
    assert job.emit is not None, "a stream has a reader"
    for chunk in chunks:
        job.room.acquire()
        if job.cancel.is_set():
            return
        job.emit(chunk)


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
