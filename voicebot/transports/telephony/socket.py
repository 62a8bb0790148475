"""A call over a vendor's WebSocket: the one shell that all telephony wires share.

    reader   message -> wire.parse -> ordered, gaps filled -> 16 kHz -> port.push_audio
    player   every 20 ms port.pull_audio -> wire.media -> outbox, about 100 ms ahead of the far end's playback
    writer   outbox -> socket

What was heard comes from the clock (sent, less the time since) and from marks, which can only shorten it: liveness
never depends on an echo. A mark's name is `<epoch>:<n>`; each clear begins a new epoch, because a clear gives marks
back unplayed, so one of an older epoch proves nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import MutableMapping
from typing import Any, Protocol

from starlette.websockets import WebSocketDisconnect

from voicebot.core.audio import SPEECH_RATE_HZ, resampler
from voicebot.errors import ProtocolError
from voicebot.transports.base import CallPort
from voicebot.transports.jitter import ChunkOrder
from voicebot.transports.pacer import FRAME_S, Pacer
from voicebot.transports.telephony.wire import (
    Connected,
    Digit,
    Ignored,
    Marked,
    Media,
    Started,
    Stopped,
    Wire,
    WireEvent,
)

START_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0
OUTBOX_LIMIT = 64
"""Messages that may wait for the socket (over a second of audio); beyond, the far end reads too slowly: hang up."""
MARK_LIMIT = 32
"""Marks awaited at most; the oldest beyond are forgotten."""
TELEPHONE_RATE_HZ = 8_000
POLICY_VIOLATION = 1008
REASON_BYTES = 123
"""Source: RFC 6455 section 5.5: a control frame holds 125 bytes, two of them the code."""


class Socket(Protocol):
    """The part of Starlette's WebSocket that is used, after it was accepted."""

    async def receive(self) -> MutableMapping[str, Any]: ...

    async def send_text(self, data: str) -> None: ...

    async def close(self, code: int = 1000, reason: str | None = None) -> None: ...


class SocketTransport:
    """One telephone call. `open()` until it starts, then `run()` until it is over."""

    def __init__(self, socket: Socket, wire: Wire) -> None:
        self.kind = wire.kind
        self.playout_rate_hz = wire.rate_hz
        self.narrowband = wire.rate_hz <= TELEPHONE_RATE_HZ
        self.ignored_messages = 0
        """Messages of unknown type, for the metrics."""
        self._socket = socket
        self._wire = wire
        self._port: CallPort | None = None
        self._order = ChunkOrder(wire.rate_hz)
        self._to_speech = resampler(wire.rate_hz, SPEECH_RATE_HZ)
        self._pacer = Pacer()
        self._outbox: deque[tuple[str, int]] = deque()
        self._outbox_filled = asyncio.Event()
        self._over = asyncio.Event()
        self._close_code, self._close_reason = 1000, ""
        self.ended_by_us = False
        """Whether the call was over before the far side left."""
        self._socket_closed = False
        self._epoch = 0
        self._sent_samples = 0
        self._marks: dict[str, int] = {}
        self._marks_made = 0
        self._segment_open = False

    async def open(self) -> Started:
        """Read until the stream starts, at most 10 s.

        Raises: ProtocolError when something else comes, nothing comes, or the far side leaves.
        """
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while True:
                    event = await self._receive()
                    if isinstance(event, Started):
                        return event
                    if not isinstance(event, Connected | Ignored):
                        raise ProtocolError(f"{type(event).__name__} came before the start message")
        except TimeoutError:
            raise ProtocolError(f"no start message within {START_TIMEOUT_S:g} s", POLICY_VIOLATION) from None

    async def run(self, port: CallPort) -> None:
        """Carry the call until either side ends it; the socket is closed when this returns.

        Cancellation: the socket is still closed, within 2 s.
        """
        self._port = port
        loops = {
            "read": self._read(port),
            "play": self._play(port),
            "write": self._write(),
        }
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(loop, name=f"{name} {port.call_id}") for name, loop in loops.items()]
                await self._over.wait()
                for task in tasks:
                    task.cancel()
        finally:
            port.hang_up("the socket has closed")
            await self.shut()

    async def shut(self) -> None:
        """Send what is queued and close the socket, together within 2 s. Idempotent."""
        if self._socket_closed:
            return
        self._socket_closed = True
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._drain()
                await self._socket.close(self._close_code, _fit(self._close_reason))
        except (TimeoutError, WebSocketDisconnect):
            pass  # It will not take our goodbye; the server drops the connection.

    def unplayed_samples(self) -> int:
        by_clock = round(self._pacer.unplayed_s(_now()) * self.playout_rate_hz)
        return max(by_clock, sum(samples for _, samples in self._outbox))

    def clear(self) -> int:
        """Drop the far end's audio. The message is queued before this returns, ahead of any later audio."""
        dropped = self.unplayed_samples()
        if self._sent_samples:
            self._outbox.clear()
            self._enqueue(self._wire.clear())
        self._epoch += 1
        self._sent_samples = 0
        self._marks.clear()
        self._segment_open = False
        self._pacer.cleared(_now())
        return dropped

    def send_event(self, event: dict[str, Any]) -> None:
        """A telephone has no screen."""

    def close(self, reason: str) -> None:
        self.refuse(reason, 1000)

    def refuse(self, reason: str, code: int) -> None:
        """End the call with a WebSocket close code that says why."""
        self.ended_by_us |= not self._over.is_set()
        self._end(reason, code)

    def _end(self, reason: str, code: int) -> None:
        if not self._over.is_set():
            self._close_code, self._close_reason = code, reason
            self._over.set()

    async def _receive(self) -> WireEvent:
        """The next event. Raises: ProtocolError, also when the far side has left."""
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            self._socket_closed = True
            raise ProtocolError("the far side closed the socket", 1000)
        text = message.get("text")
        if text is None:
            raise ProtocolError("a binary message; this protocol is JSON text", 1003)
        return self._wire.parse(text)

    async def _read(self, port: CallPort) -> None:
        try:
            while not isinstance(event := await self._receive(), Stopped):
                self._take(event, port)
            reason, code = "the caller hung up", 1000
        except ProtocolError as error:
            reason, code = str(error), error.close_code
        port.hang_up(reason)
        self._end(reason, code)

    def _take(self, event: WireEvent, port: CallPort) -> None:
        if isinstance(event, Media):
            for pcm in self._order.push(event.chunk, event.timestamp_ms, event.pcm):
                port.push_audio(self._to_speech.push(pcm))
        elif isinstance(event, Marked):
            self._confirm(event.name)
        elif isinstance(event, Digit):
            port.push_digit(event.digit)
        elif isinstance(event, Started):
            raise ProtocolError("a second start message on one socket")
        else:
            self.ignored_messages += 1

    def _confirm(self, name: str) -> None:
        position = self._marks.pop(name, None)
        if position is not None:
            self._pacer.confirm(_now(), (self._sent_samples - position) / self.playout_rate_hz)

    async def _play(self, port: CallPort) -> None:
        while not self._over.is_set():
            while self._pacer.due(now := _now()):
                self._send_frame(port, now)
            await asyncio.sleep(max(0.0, self._pacer.next_at - _now()))

    def _send_frame(self, port: CallPort, now: float) -> None:
        pcm = port.pull_audio(round(self.playout_rate_hz * FRAME_S))
        if pcm is None:
            self._pacer.idle(now)
            self._end_segment()
            return
        self._segment_open = True
        self._sent_samples += len(pcm)
        self._enqueue(self._wire.media(pcm), len(pcm))
        self._pacer.sent(now)

    def _end_segment(self) -> None:
        """Ask to be told when all sent so far has been played."""
        if not self._segment_open:
            return
        self._segment_open = False
        self._marks_made += 1
        name = f"{self._epoch}:{self._marks_made}"
        self._marks[name] = self._sent_samples
        if len(self._marks) > MARK_LIMIT:
            del self._marks[next(iter(self._marks))]
        self._enqueue(self._wire.mark(name))

    def _enqueue(self, text: str, samples: int = 0) -> None:
        if len(self._outbox) >= OUTBOX_LIMIT:
            assert self._port is not None
            self._outbox.clear()
            self._port.hang_up("the far end reads too slowly")
            self._end("reads too slowly", POLICY_VIOLATION)
            return
        self._outbox.append((text, samples))
        self._outbox_filled.set()

    async def _write(self) -> None:
        try:
            while True:
                await self._outbox_filled.wait()
                await self._drain()
        except WebSocketDisconnect:
            self._socket_closed = True
            self._end("the far side closed the socket", 1000)

    async def _drain(self) -> None:
        self._outbox_filled.clear()
        while self._outbox:
            text, _ = self._outbox.popleft()
            await self._socket.send_text(text)


def _fit(reason: str) -> str:
    return reason.encode()[:REASON_BYTES].decode(errors="ignore")


def _now() -> float:
    return asyncio.get_running_loop().time()
