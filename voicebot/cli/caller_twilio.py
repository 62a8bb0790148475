"""A caller over Twilio Media Streams: this side is the carrier, with a WebSocket around `carrier.Carrier`.

What `heard` times include: everything up to the moment when the carrier would play the sample (arrival, or the end of
what is buffered before it). The telephone network beyond the carrier is not there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from voicebot.cli.caller import Caller, CallFailed, Mouth, background, pace
from voicebot.cli.carrier import RATE_HZ, Carrier
from voicebot.errors import ProtocolError

_CLOSE_S = 2.0


class TwilioCaller(Caller):
    """Sends 20 ms of mu-law every 20 ms, silence between utterances, as a carrier does."""

    transport = "twilio"

    def __init__(self, socket: ClientConnection) -> None:
        super().__init__()
        self.carrier = Carrier()
        self.call_id = self.carrier.call_sid
        self.mouth = Mouth(RATE_HZ)
        self.heard = self.carrier.heard
        self._socket = socket

    async def open(self) -> None:
        for message in self.carrier.opening():
            await self._send(message)

    async def press(self, digit: str) -> None:
        """A DTMF key."""
        await self._send(self.carrier.digit(digit))

    async def hang_up(self) -> None:
        if not self.gone:
            await self._send(self.carrier.stop())
            self.gone = self.gone or "we hung up"
        await self._socket.close()

    async def drop(self) -> None:
        self.gone = self.gone or "we dropped it"
        self._socket.transport.abort()

    async def listen(self) -> None:
        """Take in what the server sends until the socket closes. A broken message ends the call."""
        loop = asyncio.get_running_loop()
        try:
            async for message in self._socket:
                for answer in self.carrier.receive(message, loop.time()):
                    await self._send(answer)
        except ConnectionClosed as closed:
            self.gone = self.gone or f"the server closed the socket ({closed})"
        except ProtocolError as error:
            self.gone = self.gone or str(error)
            await self._socket.close(error.close_code, "protocol error")
        self.gone = self.gone or f"the server closed the socket ({self._socket.close_code})"

    async def speak(self, now: float) -> None:
        """One tick: the marks that are due, and the next frame."""
        if self.gone:
            return
        for mark in self.carrier.due(now):
            await self._send(mark)
        await self._send(self.carrier.media(self.mouth.pull(now)))

    async def _send(self, message: str) -> None:
        try:
            await self._socket.send(message)
        except ConnectionClosed as closed:
            self.gone = self.gone or f"the server closed the socket ({closed})"


@asynccontextmanager
async def twilio_call(url: str, timeout_s: float = 10.0) -> AsyncIterator[TwilioCaller]:
    """Raises: CallFailed when the server cannot be reached or refuses."""
    try:
        socket = await connect(url, open_timeout=timeout_s, close_timeout=_CLOSE_S, compression=None, proxy=None)
    except (OSError, TimeoutError, InvalidHandshake, InvalidURI) as error:
        raise CallFailed(f"cannot connect to {url}: {error or type(error).__name__}") from None
    caller = TwilioCaller(socket)
    try:
        await caller.open()
        async with background(caller.listen(), pace(caller.speak)):
            try:
                yield caller
            finally:
                await caller.hang_up()
    finally:
        socket.transport.abort()
