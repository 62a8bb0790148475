"""Sockets that are no WebSocket of our server, in the form that the telephony shell takes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import MutableMapping
from typing import Any

from starlette.websockets import WebSocketDisconnect
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from voicebot.transports.telephony.audiosocket import HEADER_BYTES, payload_length

SILENT_S = 60.0
"""A TCP peer that says nothing for so long is gone: Asterisk sends a frame every 20 ms."""
GONE: dict[str, Any] = {"type": "websocket.disconnect", "code": 1006}


class FrameSocket:
    """A TCP connection that carries AudioSocket messages, one `receive` each."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._peeked: MutableMapping[str, Any] | None = None

    async def peek(self) -> bytes:
        """Wait for the first message and leave it to be received; b"" when the peer leaves instead."""
        self._peeked = await self.receive()
        return bytes(self._peeked.get("bytes", b""))

    async def receive(self) -> MutableMapping[str, Any]:
        if self._peeked is not None:
            peeked, self._peeked = self._peeked, None
            return peeked
        try:
            async with asyncio.timeout(SILENT_S):
                header = await self._reader.readexactly(HEADER_BYTES)
                payload = await self._reader.readexactly(payload_length(header))
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            return dict(GONE)
        return {"type": "websocket.receive", "bytes": header + payload}

    async def send_text(self, data: str) -> None:
        raise AssertionError("AudioSocket has no text messages")

    async def send_bytes(self, data: bytes) -> None:
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError:
            raise WebSocketDisconnect(1006) from None

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


class DialledSocket:
    """A WebSocket that we have opened ourselves."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def receive(self) -> MutableMapping[str, Any]:
        try:
            message = await self._connection.recv()
        except ConnectionClosed:
            return dict(GONE)
        return {"type": "websocket.receive", "text" if isinstance(message, str) else "bytes": message}

    async def send_text(self, data: str) -> None:
        await self._send(data)

    async def send_bytes(self, data: bytes) -> None:
        await self._send(data)

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        await self._connection.close(code, reason or "")

    async def _send(self, data: str | bytes) -> None:
        try:
            await self._connection.send(data)
        except ConnectionClosed:
            raise WebSocketDisconnect(1006) from None
