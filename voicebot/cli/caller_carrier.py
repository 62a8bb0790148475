"""A caller over a telephony vendor's protocol: this side is the carrier, a socket around a pure `carriers.Carrier`.

    twilio+ws://HOST:PORT[/PATH]     and telnyx+, plivo+, vonage+, exotel+, jambonz+, audiohook+, asterisk+,
    freeswitch+ or audio-stream+ (mod_audio_stream), audio-fork+ (mod_audio_fork), each with ws or wss
    audiosocket://HOST:PORT[/UUID]   TCP; `?api=http://HOST:PORT` tells where the server's API is (default: port 8080)

Without a path it is the vendor's door for callers on the server's own machine. What `heard` times include: everything
up to the moment when the carrier would play the sample. The telephone network beyond the carrier is not there.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Protocol
from urllib.parse import parse_qs, urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.typing import Subprotocol

from voicebot.cli.caller import Caller, CallFailed, Mouth, background, pace
from voicebot.cli.carriers.base import Carrier
from voicebot.cli.carriers.events import ExotelCarrier, PlivoCarrier, TelnyxCarrier, TwilioCarrier
from voicebot.cli.carriers.exchange import AsteriskCarrier, AudioHookCarrier, AudioSocketCarrier
from voicebot.cli.carriers.streams import AudioForkCarrier, AudioStreamCarrier, JambonzCarrier, VonageCarrier
from voicebot.errors import ConfigError, ProtocolError
from voicebot.transports.telephony.audiosocket import HEADER_BYTES, payload_length
from voicebot.transports.telephony.wire import Message

CARRIERS: dict[str, type[Carrier]] = {
    "twilio": TwilioCarrier,
    "telnyx": TelnyxCarrier,
    "plivo": PlivoCarrier,
    "vonage": VonageCarrier,
    "exotel": ExotelCarrier,
    "jambonz": JambonzCarrier,
    "audiohook": AudioHookCarrier,
    "asterisk": AsteriskCarrier,
    "freeswitch": AudioStreamCarrier,
    "audio-stream": AudioStreamCarrier,
    "audio-fork": AudioForkCarrier,
    "audiosocket": AudioSocketCarrier,
}
"""By what goes before "+ws" in a URL."""
_CLOSE_S = 2.0


class Gone(Exception):
    """The server has closed the connection, in words."""


class Link(Protocol):
    """A connection to the server."""

    async def send(self, message: Message) -> None:
        """Raises: Gone."""
        ...

    async def receive(self) -> Message:
        """Raises: Gone."""
        ...

    async def close(self, code: int = 1000) -> None: ...

    def abort(self) -> None:
        """Vanish without a word."""
        ...


class WebSocketLink:
    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def send(self, message: Message) -> None:
        try:
            await self._socket.send(message)
        except ConnectionClosed as closed:
            raise Gone(f"the server closed the socket ({closed})") from None

    async def receive(self) -> Message:
        try:
            return await self._socket.recv()
        except ConnectionClosed as closed:
            raise Gone(f"the server closed the socket ({closed})") from None

    async def close(self, code: int = 1000) -> None:
        await self._socket.close(code)

    def abort(self) -> None:
        self._socket.transport.abort()


class TcpLink:
    """AudioSocket's messages."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, message: Message) -> None:
        assert isinstance(message, bytes)
        try:
            self._writer.write(message)
            await self._writer.drain()
        except OSError as error:
            raise Gone(f"the server closed the connection ({error})") from None

    async def receive(self) -> Message:
        try:
            header = await self._reader.readexactly(HEADER_BYTES)
            return header + await self._reader.readexactly(payload_length(header))
        except (OSError, asyncio.IncompleteReadError) as error:
            raise Gone(f"the server closed the connection ({type(error).__name__})") from None

    async def close(self, code: int = 1000) -> None:
        self._writer.close()

    def abort(self) -> None:
        self._writer.transport.abort()


class CarrierCaller(Caller):
    """Sends 20 ms every 20 ms, silence between utterances, as a carrier does."""

    def __init__(self, carrier: Carrier, link: Link) -> None:
        super().__init__()
        self.carrier = carrier
        self.transport = carrier.kind
        self.call_id = carrier.call_id
        self.mouth = Mouth(carrier.rate_hz)
        self.heard = carrier.heard
        self.link = link

    async def open(self) -> None:
        for message in self.carrier.opening():
            await self.send(message)

    async def press(self, digit: str) -> None:
        """A DTMF key."""
        await self.send(self.carrier.digit(digit))

    async def hang_up(self) -> None:
        if not self.gone:
            for message in self.carrier.stop():
                await self.send(message)
            self.gone = self.gone or "we hung up"
        await self.link.close()

    async def drop(self) -> None:
        self.gone = self.gone or "we dropped it"
        self.link.abort()

    async def listen(self) -> None:
        """Take in what the server sends until the connection closes. A broken message ends the call."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                for answer in self.carrier.receive(await self.link.receive(), loop.time()):
                    await self.send(answer)
        except Gone as gone:
            self.gone = self.gone or str(gone)
        except ProtocolError as error:
            self.gone = self.gone or str(error)
            await self.link.close(error.close_code)

    async def speak(self, now: float) -> None:
        """One tick: what is due, and the next frame."""
        if self.gone:
            return
        for message in self.carrier.due(now):
            await self.send(message)
        await self.send(self.carrier.media(self.mouth.pull(now)))

    async def send(self, message: Message) -> None:
        try:
            await self.link.send(message)
        except Gone as gone:
            self.gone = self.gone or str(gone)


def carrier_named(url: str) -> tuple[Carrier, str]:
    """The carrier that a call URL asks for, and the address to connect to. Raises: ConfigError."""
    parts = urlsplit(url)
    name, _, scheme = parts.scheme.partition("+")
    if name == "ws" or name == "wss":  # The old way: Twilio is meant.
        name, scheme = "twilio", name
    if name not in CARRIERS or scheme not in (("",) if name == "audiosocket" else ("ws", "wss")) or not parts.hostname:
        raise ConfigError(f"{url!r} is no call URL; write http://HOST:PORT or e.g. twilio+ws://HOST:PORT")
    if name == "audiosocket":
        if not parts.port:
            raise ConfigError(f"{url!r} has no port; write audiosocket://HOST:PORT")
        return AudioSocketCarrier(name=parts.path.strip("/")), url
    carrier = CARRIERS[name]()
    path = parts.path if parts.path.strip("/") else f"/telephony/{carrier.kind}"
    return carrier, urlunsplit((scheme, parts.netloc, path, parts.query, ""))


def api_root(url: str) -> str:
    """The HTTP address of the server that a carrier's URL calls."""
    parts = urlsplit(url)
    given = parse_qs(parts.query).get("api", [])
    if parts.scheme == "audiosocket":
        return given[0] if given else f"http://{parts.hostname}:8080"
    return f"{'https' if parts.scheme.endswith('wss') else 'http'}://{parts.netloc}"


@asynccontextmanager
async def carrier_call(
    url: str, timeout_s: float = 10.0, make: Callable[[], Carrier] | None = None, env: Mapping[str, str] = os.environ
) -> AsyncIterator[CarrierCaller]:
    """`make`: another carrier than the URL's own; `env`: where the vendor's secrets are, to sign with.

    Raises: ConfigError; CallFailed when the server cannot be reached or refuses.
    """
    carrier, address = carrier_named(url)
    if make is not None:
        carrier = make()
    link = await _connect(carrier, address, timeout_s, env)
    caller = CarrierCaller(carrier, link)
    try:
        await caller.open()
        async with background(caller.listen(), pace(caller.speak)):
            try:
                yield caller
            finally:
                await caller.hang_up()
    finally:
        link.abort()


async def _connect(carrier: Carrier, address: str, timeout_s: float, env: Mapping[str, str]) -> Link:
    parts = urlsplit(address)
    try:
        if parts.scheme == "audiosocket":
            async with asyncio.timeout(timeout_s):
                return TcpLink(*await asyncio.open_connection(parts.hostname, parts.port))
        socket = await connect(
            address,
            subprotocols=[Subprotocol(name) for name in carrier.subprotocols] or None,
            additional_headers=carrier.headers(address, env),
            open_timeout=timeout_s,
            close_timeout=_CLOSE_S,
            compression=None,
            proxy=None,
        )
    except InvalidStatus as error:
        told = (error.response.body or b"").decode(errors="replace")
        raise CallFailed(f"cannot connect to {address}: HTTP {error.response.status_code} {told[:300]}") from None
    except (OSError, TimeoutError, InvalidHandshake, InvalidURI) as error:
        raise CallFailed(f"cannot connect to {address}: {error or type(error).__name__}") from None
    return WebSocketLink(socket)
