"""All calls of a server: who may come in, their tasks, and an account of the last ones.

A call's slot is taken before its wire is negotiated and given back when all of it has ended, so `limit` bounds
connections and not only talks. One call's failure ends that call only.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from voicebot.errors import VoicebotError
from voicebot.faults import outline
from voicebot.metrics import Metrics
from voicebot.transports.base import CallPort, Transport

log = logging.getLogger(__name__)
KEPT = 200
"""Calls that can still be asked about; the oldest ended ones beyond are forgotten."""
END_TIMEOUT_S = 3.0


class Unavailable(VoicebotError):
    """No call can be taken now. `retry_s`: when to try again."""

    def __init__(self, message: str, reason: str, retry_s: int) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_s = retry_s


class CallTransport(Transport, Protocol):
    """A transport with its own life: the wire's loops."""

    async def run(self, port: CallPort) -> None:
        """Carry the call until the wire is closed."""
        ...


class CallSession(CallPort, Protocol):
    """A session as this file needs it."""

    turns: dict[int, dict[str, Any]]

    def allow_drafts(self, allowed: bool) -> None:
        """Whether there is computing to spare for them."""
        ...

    @property
    def trace_path(self) -> str: ...

    def private(self, turn: int) -> bool:
        """Whether the words of a turn are to be shown to nobody but the caller."""
        ...

    async def run(self) -> None:
        """The whole call; ends when it is over."""
        ...


@dataclass(slots=True)
class CallRecord:
    """What is known of a call during it and for a while after."""

    call_id: str
    transport: str
    trace: str
    turns: dict[int, dict[str, Any]]
    private: Callable[[int], bool] = lambda _turn: False
    ended: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def account(self) -> dict[str, Any]:
        """As `GET /api/calls/{id}` shows it: without the words of private turns."""
        no_words = {"heard": "", "reply": "", "private": True}
        return {
            "call_id": self.call_id,
            "transport": self.transport,
            "ended": self.ended,
            "turns": [self.turns[turn] | (no_words if self.private(turn) else {}) for turn in sorted(self.turns)],
            "trace": self.trace,
        }


class Calls:
    """Admission and registry. Thread: the loop."""

    def __init__(self, limit: int, metrics: Metrics) -> None:
        """`limit`: calls at once."""
        self.closed_because = ""
        """Set: no more calls are admitted, and this is why, in words."""
        self._limit = limit
        self._metrics = metrics
        self._slots = 0
        self._live: dict[str, tuple[CallSession, asyncio.Task[None]]] = {}
        self._records: OrderedDict[str, CallRecord] = OrderedDict()
        self._aliases: dict[str, str] = {}

    def __len__(self) -> int:
        """Calls and negotiations now."""
        return self._slots

    @contextmanager
    def slot(self) -> Iterator[Slot]:
        """A place for a call, given back at the end of the block unless the call was started in it.

        Raises: Unavailable, when full or closed.
        """
        if self.closed_because:
            self._metrics.refused.labels("closed").inc()
            raise Unavailable(self.closed_because, "closed", retry_s=5)
        if self._slots >= self._limit:
            self._metrics.refused.labels("full").inc()
            raise Unavailable(f"all {self._limit} lines are busy; try again in a moment", "full", retry_s=10)
        self._slots += 1
        slot = Slot(self)
        try:
            yield slot
        finally:
            if not slot.used:
                self._slots -= 1

    def find(self, name: str) -> CallRecord | None:
        """The call of this id or vendor's call SID."""
        return self._records.get(self._aliases.get(name, name))

    def hang_up(self, call_id: str, reason: str) -> bool:
        """End a call; False if none of this id is going on."""
        if call_id not in self._live:
            return False
        self._live[call_id][0].hang_up(reason)
        return True

    def allow_drafts(self, allowed: bool) -> None:
        """Tell every call."""
        for session, _ in list(self._live.values()):
            session.allow_drafts(allowed)

    def end_all(self, reason: str) -> None:
        """Hang up every call; `wait_empty` tells when they are gone."""
        for session, _ in list(self._live.values()):
            session.hang_up(reason)

    async def wait_empty(self, timeout_s: float) -> bool:
        """Wait until no call is left; False when some still are after `timeout_s`."""
        tasks = [task for _, task in self._live.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=timeout_s)
        return not self._live

    async def aclose(self) -> None:
        """End every call, by cancellation those that do not end by themselves in 3 s. Idempotent."""
        self.end_all("the server has stopped")
        if not await self.wait_empty(END_TIMEOUT_S):
            for _, task in self._live.values():
                task.cancel()

    def begin(self, group: asyncio.TaskGroup, transport: CallTransport, session: CallSession, alias: str) -> CallRecord:
        """Use `Slot.start`."""
        record = CallRecord(session.call_id, transport.kind, session.trace_path, session.turns, session.private)
        self._records[record.call_id] = record
        if alias:
            self._aliases[alias] = record.call_id
        self._forget_old()
        work = self._carry(record, transport, session)
        task = group.create_task(work, name=f"call {record.call_id}")
        self._live[record.call_id] = (session, task)
        return record

    async def _carry(self, record: CallRecord, transport: CallTransport, session: CallSession) -> None:
        """One call's outermost frame."""
        self._metrics.active_calls.labels(transport.kind).inc()
        outcome = "failed"
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(session.run(), name=f"session {record.call_id}")
                group.create_task(transport.run(session), name=f"transport {record.call_id}")
            outcome = "ended"
        except* Exception as errors:  # noqa: BLE001 - a fault of ours ends this call and no other
            log.error("call %s: the call has been ended by an error of ours: %s", record.call_id, outline(errors))
        finally:
            self._metrics.active_calls.labels(transport.kind).dec()
            self._metrics.calls.labels(transport.kind, outcome).inc()
            del self._live[record.call_id]
            self._slots -= 1
            record.ended = True
            # What is shown of it from now on must not keep the call itself.
            record.private = frozenset(filter(session.private, record.turns)).__contains__
            record.over.set()

    def _forget_old(self) -> None:
        while len(self._records) > KEPT + len(self._live):
            oldest, _ = self._records.popitem(last=False)
            self._aliases = {alias: call for alias, call in self._aliases.items() if call != oldest}


@dataclass(slots=True)
class Slot:
    """A place that has been promised to a call."""

    calls: Calls
    used: bool = False

    def start(
        self, group: asyncio.TaskGroup, transport: CallTransport, session: CallSession, alias: str = ""
    ) -> CallRecord:
        """Begin the call in `group`. `alias`: the vendor's name of it."""
        self.used = True
        return self.calls.begin(group, transport, session, alias)


def new_call_id(now: Callable[[], float] = time.time) -> str:
    """Sortable by time, not to be guessed, fit for a file name."""
    return time.strftime("%Y%m%d-%H%M%S", time.gmtime(now())) + "-" + secrets.token_hex(4)
