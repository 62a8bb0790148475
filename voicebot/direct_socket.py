"""uvicorn's WebSocket with a short way for calls: what the far side says is handled as it is read, and what we say is
written as it is made.

Over ASGI each message takes a queue, wakes two tasks and, as the queue is kept at one message, stops and resumes the
reading of the socket; a call's own work on 20 ms of audio is less than that. Connecting, closing, keepalive and
everything but calls go uvicorn's way.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any

from starlette.websockets import WebSocket
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState

from voicebot.transports.telephony.wire import Message

EXTENSION = "voicebot.direct"
"""Where an application finds the protocol: in the scope's extensions, as the ASGI specification has it."""


class DirectProtocol(WebSocketsSansIOProtocol):
    """One connection. Thread: the loop."""

    _take: Callable[[Message], None] | None = None

    async def run_asgi(self) -> None:
        self.scope["extensions"][EXTENSION] = {"protocol": self}
        await super().run_asgi()

    def hand_over(self, take: Callable[[Message], None] | None) -> None:
        """`take` is given every message from now on, those that wait first; it never raises. None: as ASGI has it."""
        self._take = take
        while take is not None and not self.queue.empty():
            message = self.queue.get_nowait()
            if message["type"] != "websocket.receive":
                self.queue.put_nowait(message)  # It is the last: a connection ends once.
                break
            take(message.get("text") or message.get("bytes") or b"")
        if self.read_paused and self.queue.empty():
            self.read_paused = False
            self.transport.resume_reading()

    def send_now(self, message: Message) -> bool:
        """False when it has to wait, or the connection is closing: then it goes ASGI's way, which waits or tells."""
        if not self.writable.is_set() or self.close_sent or self.disconnected:
            return False
        try:
            if isinstance(message, str):
                self.conn.send_text(message.encode())
            else:
                self.conn.send_binary(message)
        except InvalidState:
            return False
        self.transport.write(b"".join(self.conn.data_to_send()))
        return True

    def send_receive_event_to_app(self) -> None:
        """A whole message has come."""
        if self._take is None or self.close_sent:
            super().send_receive_event_to_app()
            return
        whole = b"".join(self.frames)
        try:
            message = whole.decode() if self.curr_msg_data_type == "text" else whole
        except UnicodeDecodeError:
            super().send_receive_event_to_app()
            return
        self.frames = []
        self._take(message)


class DirectSocket:
    """Starlette's WebSocket, in the form that the telephony shell takes, with the short way."""

    def __init__(self, socket: WebSocket, protocol: DirectProtocol) -> None:
        self.hand_over = protocol.hand_over
        self.send_now = protocol.send_now
        self.send_text = socket.send_text
        self.send_bytes = socket.send_bytes
        self.close = socket.close
        self._socket = socket

    async def receive(self) -> MutableMapping[str, Any]:
        return await self._socket.receive()


def direct(socket: WebSocket) -> DirectSocket | WebSocket:
    """The same socket with the short way, where the server has it."""
    offered = (socket.scope.get("extensions") or {}).get(EXTENSION)
    return DirectSocket(socket, offered["protocol"]) if offered else socket
