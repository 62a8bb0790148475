"""The Wyoming service: a TCP port at which Home Assistant finds our ears, our voice and our brain. See docs/wyoming.md.

The library gives the words of the protocol; messages are read here, because nothing in the library bounds them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

from voicebot.errors import ConfigError, EngineError, ProtocolError
from voicebot.faults import outline
from voicebot.frontier import call_label
from voicebot.service import VoiceServer, product_version

if TYPE_CHECKING:
    from wyoming.event import Event, Eventable
    from wyoming.info import Info

    from voicebot.wyoming_services import Talks

log = logging.getLogger(__name__)
LINE_LIMIT = 64 * 1024
"""Bytes of a message's first line; a longer one ends the connection."""
PART_LIMIT = 1024 * 1024
"""Bytes of a message's data or sound."""
WRITE_TIMEOUT_S = 10.0
"""How long a client may take to read before it is let go."""


@contextlib.asynccontextmanager
async def wyoming_service(server: VoiceServer) -> AsyncIterator[None]:
    """Serve as long as the context lasts, if the settings say so. Raises: ConfigError."""
    config = server.config.wyoming
    if not config.port:
        yield
        return
    doors = _Doors(server)
    try:
        listener = await asyncio.start_server(doors.serve, config.host, config.port, limit=LINE_LIMIT)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {config.host} port {config.port} for Wyoming: {error.strerror or error}; "
            "choose another wyoming.port, or 0 for none"
        ) from None
    try:
        yield
    finally:
        listener.close()
        await doors.aclose()


class _Doors:
    """The connections. Each is a task of its own, begun by asyncio's server."""

    def __init__(self, server: VoiceServer) -> None:
        """Raises: ConfigError without the library."""
        try:
            import wyoming  # noqa: F401
        except ImportError:
            raise ConfigError(
                'wyoming.port is set, but the package "wyoming" is not installed: voicebot[wyoming]'
            ) from None
        self._server = server
        self._tasks: set[asyncio.Task[Any]] = set()
        self._talks: Talks | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, to its end."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, TimeoutError):
            pass  # The client is gone, or reads too slowly.
        except Exception as error:  # noqa: BLE001 - a fault of ours ends this connection and no other
            log.error("wyoming: a connection has been ended by an error of ours: %s", outline(error))
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(1):
                    await writer.wait_closed()

    async def aclose(self) -> None:
        """End every connection."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=WRITE_TIMEOUT_S)
        if self._talks is not None:
            self._talks.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from wyoming.error import Error
        from wyoming.event import async_write_event

        async def send(event: Eventable) -> None:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                await async_write_event(event.event(), writer)

        if len(self._tasks) > self._server.config.wyoming.max_connections:
            await send(Error("too many connections; try again in a moment", "full"))
            return
        if self._server.status != "ready":
            await send(Error(self._server.calls.closed_because or "not ready", "unavailable"))
            return
        client = _Client(self._server, self._shared_talks(), send)
        try:
            while (event := await read_event(reader)) is not None:
                try:
                    await client.take(event)
                except (EngineError, ProtocolError) as error:
                    await send(Error(str(error), type(error).__name__))
        except ProtocolError as error:
            await send(Error(str(error), "ProtocolError"))
        finally:
            await client.aclose()

    def _shared_talks(self) -> Talks:
        from voicebot.wyoming_services import KIND, Talks

        if self._talks is None:
            self._talks = Talks(self._server.deps, call_label(self._server.config.privacy, KIND, ()))
        return self._talks


class _Client:
    """One connection's requests, by their type."""

    def __init__(self, server: VoiceServer, talks: Talks, send: Callable[[Eventable], Awaitable[None]]) -> None:
        from wyoming import asr, audio, info, ping, tts

        from voicebot.wyoming_services import Handling, Listening, Speaking

        self._listening = Listening(server.deps, send)
        self._speaking = Speaking(server.deps, send)
        handling = Handling(server.deps, talks, send)
        self._steps: list[tuple[Any, Callable[[Any], Awaitable[None]]]] = [
            (info.Describe, lambda _event: send(described(server))),
            (ping.Ping, lambda event: send(ping.Pong(text=event.text))),
            (audio.AudioStart, self._listening.start),
            (audio.AudioChunk, self._listening.hear),
            (audio.AudioStop, lambda _event: self._listening.stop()),
            (tts.Synthesize, self._speaking.whole),
            (tts.SynthesizeStart, lambda _event: self._speaking.start()),
            (tts.SynthesizeChunk, self._speaking.more),
            (tts.SynthesizeStop, lambda _event: self._speaking.stop()),
            (asr.Transcript, handling.answer),
        ]

    async def take(self, event: Event) -> None:
        """One message; types of other services are let pass. Raises: ProtocolError, EngineError."""
        for kind, step in self._steps:
            if kind.is_type(event.type):
                try:
                    read = kind.from_event(event)
                except (KeyError, TypeError, ValueError, AttributeError, AssertionError) as error:
                    raise ProtocolError(f"a malformed {event.type!r} message: {error!r}") from None
                _check_texts(event.type, read)
                await step(read)
                return

    async def aclose(self) -> None:
        """Give back what is in use."""
        await self._listening.drop()


def _check_texts(kind: str, read: Any) -> None:
    """The library takes any value for a text. Raises: ProtocolError."""
    for name in ("text", "context"):
        value, wanted = getattr(read, name, None), str if name == "text" else dict
        if value is not None and not isinstance(value, wanted):
            raise ProtocolError(f"{name!r} of a {kind!r} message is {type(value).__name__}, not {wanted.__name__}")
    for name in ("rate", "width", "channels"):
        if hasattr(read, name) and (type(getattr(read, name)) is not int or getattr(read, name) < 1):
            raise ProtocolError(f"{name!r} of a {kind!r} message is {getattr(read, name)!r}, no number above 0")


async def read_event(reader: asyncio.StreamReader) -> Event | None:
    """The next message; None at the end. Raises: ProtocolError for what is none, or too long to be one."""
    from wyoming.event import Event

    try:
        line = await reader.readline()
        if not line:
            return None
        head = json.loads(line)
        data, lengths = (
            dict(head.get("data") or {}),
            [head.get(name) or 0 for name in ("data_length", "payload_length")],
        )
        if not isinstance(head["type"], str) or any(type(one) is not int or one < 0 for one in lengths):
            raise ProtocolError("a message's type is no text, or a length no number")
        if max(lengths) > PART_LIMIT:
            raise ProtocolError(f"a message of {max(lengths)} bytes; the limit is {PART_LIMIT}")
        if lengths[0]:
            data |= json.loads(await reader.readexactly(lengths[0]))
        payload = await reader.readexactly(lengths[1]) if lengths[1] else None
        return Event(head["type"], data, payload)
    except asyncio.IncompleteReadError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ProtocolError(f"no message of the Wyoming protocol: {error!r}"[:200]) from None


def described(server: VoiceServer) -> Info:
    """What we offer."""
    from wyoming.info import AsrModel, AsrProgram, Attribution, HandleModel, HandleProgram, Info, TtsProgram, TtsVoice

    by = Attribution("voicebot", "")
    names, version = server.models, product_version()

    def about(name: str) -> dict[str, Any]:
        common = {"attribution": by, "installed": True, "version": version}
        return {"name": name, "description": f"voicebot: {name}", **common}

    asr = AsrModel(**about(names["stt"]), languages=["en"])
    voice = TtsVoice(**about(names["tts"]), languages=["en"])
    brain = HandleModel(**about("voicebot"), languages=["en"])
    return Info(
        asr=[AsrProgram(**about("voicebot"), models=[asr], supports_transcript_streaming=True)],
        tts=[TtsProgram(**about("voicebot"), voices=[voice], supports_synthesize_streaming=True)],
        handle=[HandleProgram(**about("voicebot"), models=[brain], supports_handled_streaming=True)],
    )
