"""The real server in this process, with callers in memory who type or speak to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.test_server import SCRIPTED
from voicebot.config import load_config
from voicebot.ledger.prices import Prices
from voicebot.ledger.reader import Record, reading
from voicebot.service import VoiceServer
from voicebot.transports.base import CallPort
from voicebot.transports.loopback import LoopbackTransport

PATIENCE_S = 30.0


class Caller(LoopbackTransport):
    """One call, from its first event on. What the page would show is in `events`."""

    port: CallPort
    call_id: str

    async def run(self, port: CallPort | None = None) -> None:
        assert port is not None
        self.port = port
        self.attach(port)
        await super().run()

    def shown(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]

    def type(self, text: str) -> None:
        self.port.push_text(text)

    @property
    def state(self) -> str:
        return str(self.shown("state")[-1]["state"]) if self.shown("state") else ""

    @property
    def told(self) -> list[str]:
        """What the bot has said, reply by reply, in the order in which they began."""
        return list({event["reply"]: event["text"] for event in self.shown("reply")}.values())

    @property
    def errands(self) -> list[str]:
        """The states that errands went through."""
        return [event["state"] for event in self.shown("errand")]

    async def until(self, condition: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not condition():  # noqa: ASYNC110 - whatever the condition is about has no event
                    await asyncio.sleep(0.01)
        except TimeoutError:
            heard = [event["text"] for event in self.shown("transcript") if event["final"]]
            account = f"heard {heard}, told {self.told}, errands {self.errands}, now {self.state}"
            raise AssertionError(f"it did not come true within {PATIENCE_S:g} s: {account}") from None

    async def until_told(self, count: int) -> None:
        """Until so many replies have been heard to their end."""
        await self.until(lambda: len(self.told) >= count and self.state == "listening")


@asynccontextmanager
async def loaded(tmp_path: Path, *overrides: str) -> AsyncIterator[VoiceServer]:
    """A server with scripted engines and a ledger of its own, once it is ready or has failed."""
    own = (f"trace.dir={tmp_path / 'traces'}", f"ledger.url=sqlite:///{tmp_path / 'ledger.db'}",
           f"ledger.journal_dir={tmp_path / 'journal'}")  # fmt: skip
    server = VoiceServer(load_config(env={}, overrides=[*SCRIPTED, *own, *overrides]))
    done = asyncio.Event()
    server.on_loaded = done.set
    async with server.running():
        await done.wait()
        yield server


@asynccontextmanager
async def served(tmp_path: Path, *overrides: str) -> AsyncIterator[VoiceServer]:
    """A ready one."""
    async with loaded(tmp_path, *overrides) as server:
        assert server.status == "ready", server.error
        yield server


@asynccontextmanager
async def calling(server: VoiceServer, *numbers: str) -> AsyncIterator[Caller]:
    """One call; hung up, and over, at the end."""
    caller = Caller()
    with server.calls.slot() as slot:
        record = await server.begin(slot, caller, numbers=numbers)
    caller.call_id = record.call_id
    await caller.until(lambda: bool(caller.shown("state")))
    try:
        yield caller
    finally:
        caller.hang_up()
        await record.over.wait()


def ledger_of(tmp_path: Path, call_id: str) -> Record:
    """A call's rows, once its server is gone."""
    with reading(f"sqlite:///{tmp_path / 'ledger.db'}", tmp_path / "journal", Prices()) as ledger:
        return ledger.call(call_id)
