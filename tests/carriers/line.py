"""A call on virtual time: our socket shell at one end, a vendor's carrier at the other, and a network between.

What the caller really heard is the carrier's recording; what we believe is `Speaker.heard_samples` and the words that
`ReplyPlayout` makes of it. Both are turned into words in the same way, so that the difference is the transport's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

import numpy as np
from starlette.websockets import WebSocketDisconnect

from tests.carriers.vendors import Vendor
from voicebot.cli.carriers.base import Carrier
from voicebot.core.audio import Pcm, silence
from voicebot.core.playout import ReplyPlayout
from voicebot.speaker import Speaker
from voicebot.transports.telephony.socket import SocketTransport
from voicebot.transports.telephony.wire import Message

REPLY = 1
MS_PER_CHAR = 60
"""How fast the simulated voice speaks: about 12 letters a word and 170 words a minute."""


@dataclass
class Network:
    """One-way delay each way, and how far it wanders; order is kept, as TCP does."""

    delay_s: float = 0.0
    jitter_s: float = 0.0
    buffering_s: float = 0.0
    """How long the far end collects sound before it plays a stretch."""
    seed: int = 1


class Wired:
    """The socket between them; `telephony.socket.Socket` for our end."""

    def __init__(self, carrier: Carrier, network: Network) -> None:
        self.carrier = carrier
        self.closed: tuple[int, str | None] | None = None
        self.faults: list[str] = []
        """What the carrier would have refused."""
        self.muted = False
        """Whether the carrier's own ticking is held back: the test sends all that is sent."""
        self.readable = asyncio.Event()
        """Cleared: the far side does not read, and sending waits."""
        self.readable.set()
        self._loop = asyncio.get_running_loop()
        self._network = network
        self._random = Random(network.seed)
        self._inbox: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        self._arrivals = {"in": 0.0, "out": 0.0}
        self._flights: dict[str, deque[Callable[[], None]]] = {"in": deque(), "out": deque()}

    def tell(self, *messages: Message) -> None:
        """The carrier sends something."""
        for message in messages:
            kind = "text" if isinstance(message, str) else "bytes"
            self._later("in", partial(self._inbox.put_nowait, {"type": "websocket.receive", kind: message}))

    def stall(self, seconds: float) -> None:
        """What we send arrives so much later for once, and then all at once."""
        self._arrivals["out"] = self._loop.time() + seconds

    async def receive(self) -> MutableMapping[str, Any]:
        return await self._inbox.get()

    async def send_text(self, data: str) -> None:
        await self.readable.wait()
        self._send(data)

    async def send_bytes(self, data: bytes) -> None:
        await self.readable.wait()
        self._send(data)

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        self.closed = (code, reason)

    def _send(self, message: Message) -> None:
        if self.closed is not None:
            raise WebSocketDisconnect(1006)
        self._later("out", lambda: self._arrived(message))

    def _arrived(self, message: Message) -> None:
        try:
            self.tell(*self.carrier.receive(message, self._loop.time()))
        except Exception as error:  # noqa: BLE001 - shown by the test that fails for it
            self.faults.append(str(error))

    def _later(self, way: str, act: Callable[[], None]) -> None:
        """Each arrival takes the first that is on its way: timers of one moment ring in any order."""
        delay = self._network.delay_s + self._random.random() * self._network.jitter_s
        at = self._arrivals[way] = max(self._arrivals[way], self._loop.time() + delay)
        flight = self._flights[way]
        flight.append(act)
        self._loop.call_at(at, self._land, flight)

    def _land(self, flight: deque[Callable[[], None]]) -> None:
        flight.popleft()()


@dataclass
class Talk:
    """One call with one reply of ours; `transports.base.CallPort` for the shell."""

    vendor: Vendor
    carrier: Carrier
    wired: Wired
    transport: SocketTransport
    speaker: Speaker
    playout: ReplyPlayout
    call_id: str = "call-1"
    speech: list[Pcm] = field(default_factory=list)
    digits: list[str] = field(default_factory=list)
    hang_ups: list[str] = field(default_factory=list)
    given: int = 0

    # ---- CallPort

    def push_audio(self, pcm: Pcm, then: Callable[[], None] | None = None) -> None:
        self.speech.append(pcm)

    def pull_audio(self, samples: int) -> Pcm | None:
        self.playout.hear(self.speaker.heard_samples())
        return self.speaker.pull(samples)

    @property
    def audio_to_come(self) -> bool:
        return self.speaker.unfinished

    def push_text(self, text: str) -> None:
        raise AssertionError("a telephone has no keyboard")

    def push_digit(self, digit: str) -> None:
        self.digits.append(digit)

    def cancel_errand(self, errand: int) -> None:
        raise AssertionError("a telephone has no screen")

    def hang_up(self, reason: str) -> None:
        self.hang_ups.append(reason)

    # ---- the test's part

    def say(self, *clauses: str) -> None:
        """Begin a reply: every letter lasts 60 ms."""
        for number, text in enumerate(clauses):
            samples = round(len(text) * MS_PER_CHAR * self.transport.playout_rate_hz / 1000)
            self.playout.write(number, text)
            self.playout.queue(number, samples, done=True)
            tone = 6000 * np.sin(np.arange(samples) * 2 * np.pi * 440 / self.transport.playout_rate_hz + 0.3)
            self.speaker.queue(REPLY, tone.astype(np.int16))
        self.speaker.complete(REPLY)
        self.speaker.start(REPLY)

    def give(self, voice: Pcm, seconds: float) -> None:
        """The next piece of a reply's sound; `given` counts what has been given of it."""
        piece = voice[self.given : self.given + round(seconds * self.transport.playout_rate_hz)]
        self.speaker.queue(REPLY, piece)
        self.given += len(piece)

    def pause(self) -> None:
        self.speaker.pause(REPLY)
        self.playout.hear(self.speaker.heard_samples())

    def resume(self) -> None:
        self.speaker.resume(REPLY)

    def cut(self) -> None:
        self.speaker.clear(REPLY)

    def believed_words(self) -> int:
        return len(self.playout.heard_text().split())

    def heard_words(self) -> int:
        """By the carrier's recording, as of now."""
        true = ReplyPlayout(self.playout.rate_hz)
        for number, clause in enumerate(self.playout._clauses):
            true.write(number, clause.text)
            true.queue(number, clause.samples, done=True)
        true.hear(self.carrier.heard.played(asyncio.get_running_loop().time()))
        return len(true.heard_text().split())


@asynccontextmanager
async def talk(vendor: Vendor, network: Network | None = None) -> AsyncIterator[Talk]:
    """An open call whose carrier sends its silence and its echoes every 20 ms."""
    network = network or Network()
    carrier = vendor.carrier(buffering_s=network.buffering_s)
    wired = Wired(carrier, network)
    transport = SocketTransport(wired, vendor.wire())
    wired.tell(*carrier.opening())
    started = await transport.open()
    assert started is not None
    made = Talk(vendor, carrier, wired, transport, Speaker(transport), ReplyPlayout(transport.playout_rate_hz))
    async with asyncio.TaskGroup() as group:
        group.create_task(transport.run(made))
        ticking = group.create_task(_tick(carrier, wired))
        yield made
        transport.close("test over")
        await asyncio.sleep(0.5)
        wired.tell(*carrier.stop())
        ticking.cancel()
        await asyncio.sleep(0.5)


async def _tick(carrier: Carrier, wired: Wired) -> None:
    loop = asyncio.get_running_loop()
    while True:
        if not wired.muted:
            wired.tell(*carrier.due(loop.time()))
            wired.tell(carrier.media(silence(carrier.rate_hz // 50)))
        await asyncio.sleep(0.02)
