"""Nothing may be left running: checks for threads and tasks that outlive what started them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

GRACE_S = 2.0
"""How long a thread that was told to end may take."""


@contextmanager
def no_leaked_threads() -> Iterator[None]:
    """Fail if a thread that was started in the body is alive after it."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + GRACE_S
    for thread in set(threading.enumerate()) - before:
        thread.join(max(0.0, deadline - time.monotonic()))
    left = [thread.name for thread in set(threading.enumerate()) - before]
    assert not left, f"threads left running: {left}"


@asynccontextmanager
async def no_leaked_tasks() -> AsyncIterator[None]:
    """Fail if a task that was started in the body is not done after it."""
    before = asyncio.all_tasks()
    yield
    left = [repr(task) for task in asyncio.all_tasks() - before if not task.done()]
    assert not left, f"tasks left running: {left}"
