"""A Realtime session over a WebSocket: the shell of `protocol.py`.

    reader   message -> protocol.receive -> acts -> the call
    player   every 20 ms port.pull_audio -> 100 ms packets -> protocol.played, LEAD_S ahead of the client's playback
    writer   server events -> socket

What the client has, it plays, unless it is told by `speech_started` that its caller interrupts. So nothing that was
sent is called back: what was heard is what the clock says, until the client says otherwise by a truncation.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import MutableMapping
from typing import Any, Protocol

import numpy as np
from starlette.websockets import WebSocketDisconnect

from voicebot.core import events as ev
from voicebot.core.audio import SPEECH_RATE_HZ, Pcm
from voicebot.core.composed import Piece
from voicebot.core.history import Line
from voicebot.core.wishes import Wishes
from voicebot.transports.alarm import Alarm
from voicebot.transports.base import CallPort
from voicebot.transports.heard import HeardAccount
from voicebot.transports.pacer import FRAME_S, IDLE_LOOK_S
from voicebot.transports.realtime.acts import Compose, Hear, StopComposing, Tell, Wish
from voicebot.transports.realtime.protocol import RealtimeProtocol
from voicebot.transports.realtime.settings import RATE_HZ

LEAD_S = 0.5
"""Sound that a client is given ahead: a network's hiccup is not heard, and a pause for a cough is."""
PACKET_S = 0.1
SLICE_SAMPLES = SPEECH_RATE_HZ // 10
"""Speech handed to the call in one step of the loop; a client may send 16 s at once."""
OUTBOX_BYTES = 4 * 1024 * 1024
"""Events that may wait for a slow reader (about a minute of sound); beyond, the session is closed."""
CLOSE_TIMEOUT_S = 2.0
POLICY_VIOLATION = 1008


class Socket(Protocol):
    """The part of Starlette's WebSocket that is used, after it was accepted."""

    async def receive(self) -> MutableMapping[str, Any]: ...

    async def send_text(self, data: str) -> None: ...

    async def close(self, code: int = 1000, reason: str | None = None) -> None: ...


class ClientPort(CallPort, Protocol):
    """A call whose client has a say in it."""

    def tell(self, event: ev.Event) -> None: ...

    def wish(self, wishes: Wishes, once: bool) -> None: ...

    def compose(self, ref: str, lines: tuple[Line, ...] | None, wishes: Wishes) -> None: ...

    def stop_composing(self, ref: str) -> None: ...


def carry_out(protocol: RealtimeProtocol, port: ClientPort) -> list[Pcm]:
    """Have the call do what the client's events ask for; speech comes back, to be handed over in slices."""
    heard = []
    while protocol.acts:
        match protocol.acts.pop(0):
            case Hear(pcm):
                heard.append(pcm)
            case Tell(event):
                port.tell(event)
            case Wish(wishes, once):
                port.wish(wishes, once)
            case Compose(ref, lines, wishes):
                port.compose(ref, lines, wishes)
            case StopComposing(ref):
                port.stop_composing(ref)
    return heard


class RealtimeTransport:
    """One client's session: `run()` carries it to its end."""

    kind = "realtime"
    playout_rate_hz = RATE_HZ

    def __init__(self, socket: Socket, protocol: RealtimeProtocol, session: dict[str, Any] | None = None) -> None:
        """`session`: settings that were given before, with an ephemeral key."""
        self._socket = socket
        self._protocol = protocol
        self._given = session
        self._port: ClientPort | None = None
        self._account = HeardAccount(RATE_HZ, LEAD_S)
        self._packet: list[Pcm] = []
        self._outbox: deque[str] = deque()
        self._outbox_bytes = 0
        self._filled = asyncio.Event()
        self._begun = asyncio.Event()
        self._alarm = Alarm()
        self._over = asyncio.Event()
        self._closing = (1000, "")
        self._socket_closed = False

    @property
    def narrowband(self) -> bool:
        return self._protocol.settings.audio.input.format.rate_hz < SPEECH_RATE_HZ

    async def run(self, port: Any) -> None:
        """Carry the session until either side ends it; the socket is closed when this returns.

        `port`: a `ClientPort`. Cancellation: the socket is still closed, within 2 s.
        """
        self._port = port
        self._settle()
        loops = {"read": self._read(port), "play": self._play(port), "write": self._write()}
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
                await self._socket.close(*self._closing)
        except (TimeoutError, WebSocketDisconnect):
            pass  # It will not take our goodbye; the server drops the connection.

    # ---- the call's side

    def happened(self, command: ev.Command) -> None:
        """Told of every command; the first says that the call has begun."""
        if isinstance(command, ev.ClearPlayout):
            self._account.clear(_now())
        if not self._begun.is_set():
            self._begun.set()
            self._protocol.begin(self._given)
        self._protocol.happened(command)
        self._settle()

    def composed(self, ref: str, piece: Piece) -> None:
        self._protocol.composed(ref, piece)
        self._settle()

    def unplayed_samples(self) -> int:
        return self._account.unplayed(_now()) + sum(map(len, self._packet))

    def sound_ready(self) -> None:
        self._account.pacer.wanted()
        self._alarm.ring()

    def clear(self) -> int:
        """Nothing: what the client has, it plays or drops by itself."""
        self._flush_packet()
        return 0

    def send_event(self, event: dict[str, Any]) -> None:
        """What the page is told; this protocol has events of its own."""

    def close(self, reason: str) -> None:
        self._end(1000, reason)

    def _end(self, code: int, reason: str) -> None:
        if not self._over.is_set():
            self._closing = (code, reason[:100])
            self._over.set()

    def _settle(self) -> None:
        """Carry out and send what the protocol has come to."""
        if self._port is not None:
            carry_out(self._protocol, self._port)
        for event in self._protocol.outgoing:
            text = json.dumps(event, separators=(",", ":"))
            self._outbox.append(text)
            self._outbox_bytes += len(text)
        self._protocol.outgoing.clear()
        self._filled.set()
        if self._outbox_bytes > OUTBOX_BYTES:
            self._outbox.clear()
            self._outbox_bytes = 0
            if self._port is not None:
                self._port.hang_up("the client reads too slowly")
            self._end(POLICY_VIOLATION, "reads too slowly")

    # ---- the loops

    async def _read(self, port: ClientPort) -> None:
        await self._begun.wait()
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                break
            text = message.get("text")
            self._protocol.receive(message["bytes"] if text is None else text)
            for pcm in carry_out(self._protocol, port):
                await self._hear(port, pcm)
            self._settle()
        self._socket_closed = True
        port.hang_up("the client has left")
        self._end(1000, "")

    async def _hear(self, port: ClientPort, pcm: Pcm) -> None:
        for start in range(0, len(pcm), SLICE_SAMPLES):
            port.push_audio(pcm[start : start + SLICE_SAMPLES])
            await asyncio.sleep(0)  # Let others have the loop.

    async def _play(self, port: ClientPort) -> None:
        pacer = self._account.pacer
        while not self._over.is_set():
            while pacer.due(now := _now()):
                self._send_frame(port, now)
            await self._alarm.sleep_until(pacer.next_at)

    def _send_frame(self, port: ClientPort, now: float) -> None:
        pcm = port.pull_audio(round(RATE_HZ * FRAME_S))
        if pcm is None:
            self._account.pacer.idle(now, IDLE_LOOK_S)
            self._flush_packet()
            return
        self._account.sent(pcm, now)
        self._packet.append(pcm)
        if sum(map(len, self._packet)) >= PACKET_S * RATE_HZ:
            self._flush_packet()

    def _flush_packet(self) -> None:
        if self._packet:
            pcm = np.concatenate(self._packet)
            self._packet.clear()
            self._protocol.played(pcm)
            self._settle()

    async def _write(self) -> None:
        try:
            while True:
                await self._filled.wait()
                await self._drain()
        except WebSocketDisconnect:
            self._socket_closed = True
            self._end(1000, "")

    async def _drain(self) -> None:
        self._filled.clear()
        while self._outbox:
            text = self._outbox.popleft()
            self._outbox_bytes -= len(text)
            await self._socket.send_text(text)


def _now() -> float:
    return asyncio.get_running_loop().time()
