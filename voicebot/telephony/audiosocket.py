"""The TCP door of Asterisk's AudioSocket. Off unless a port is set; the UUID that a call brings is its token.

A connection has 5 s to say its UUID, and at most PENDING_LIMIT of them may be that far; only then does a call take a
line of the server's. The protocol has no encryption, so listening beyond this machine is for private networks.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import uuid
from collections.abc import AsyncIterator

from voicebot.config_telephony import AudioSocketConfig
from voicebot.errors import ConfigError
from voicebot.service import VoiceServer
from voicebot.telephony.access import Access, Grant
from voicebot.telephony.calls import carry
from voicebot.telephony.vendor import Vendor
from voicebot.transports.sockets import FrameSocket
from voicebot.transports.telephony.audiosocket import IDENTITY, AudioSocketWire

log = logging.getLogger(__name__)
PENDING_LIMIT = 64
IDENTITY_S = 5.0


class AudioSocket(Vendor):
    """No HTTP interface: the dialplan goes on when the connection ends."""

    name = "audiosocket"


class AudioSocketDoor:
    """One server's. `port`: the one that it listens on, None while it does not."""

    def __init__(self, server: VoiceServer, access: Access) -> None:
        self.port: int | None = None
        self._server = server
        self._access = access
        self._config: AudioSocketConfig = server.config.telephony.audiosocket
        self._vendor = AudioSocket(server.config.telephony, {})
        self._pending = 0

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Listen while the server runs. Raises: ConfigError, when the address is not to be had."""
        if self._config.port is None:
            yield
            return
        host, port = self._config.host, self._config.port
        try:
            listener = await asyncio.start_server(self._connected, host, port)
        except OSError as error:
            raise ConfigError(
                f"cannot listen for AudioSocket on {host} port {port}: {error.strerror or error}; "
                "set telephony.audiosocket.port to another"
            ) from None
        self.port = listener.sockets[0].getsockname()[1]
        log.info("AudioSocket calls are taken on %s port %d", host, self.port)
        try:
            yield
        finally:
            self.port = None
            listener.close()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._pending >= PENDING_LIMIT or self._server.status != "ready":
            log.warning("an AudioSocket connection was refused: %d have not said who they are", self._pending)
            writer.close()
            return
        self._server.spawn(self._take(reader, writer), "audiosocket")

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername") or ("",)
        socket = FrameSocket(reader, writer)
        self._pending += 1
        try:
            async with asyncio.timeout(IDENTITY_S):
                first = await socket.peek()
        except TimeoutError:
            first = b""
        finally:
            self._pending -= 1
        if first[:1] != bytes((IDENTITY,)):
            log.warning("an AudioSocket connection from %s did not say who it is", peer[0])
            await socket.close()
            return
        wire = AudioSocketWire(self._config.rate_hz, lambda name: self._admits(name, str(peer[0])))
        await carry(self._server, self._access, self._vendor, socket, wire, Grant(), lambda _target: "")

    def _admits(self, name: uuid.UUID, peer: str) -> bool:
        if self._access.redeem_uuid(name):
            return True
        here = not self._server.config.telephony.public_url and ipaddress.ip_address(peer).is_loopback
        if not here:
            log.warning(
                "an AudioSocket call from %s was refused: its UUID is not one of ours, or used, or too old", peer
            )
        return here
