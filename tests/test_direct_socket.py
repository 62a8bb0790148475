"""The short way through uvicorn's WebSocket, with the far side's bytes made in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from starlette.websockets import WebSocket
from uvicorn.server import ServerState
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from tests.virtual_time import run
from voicebot.direct_socket import DirectProtocol, DirectSocket, direct


class Wire(asyncio.Transport):
    """What lies between both ends."""

    def __init__(self, far: ClientProtocol) -> None:
        super().__init__({"peername": ("192.0.2.1", 5000), "sockname": ("192.0.2.2", 80)})
        self.reading = True
        self.closed = False
        self._far = far

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._far.receive_data(bytes(data))

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


class Connection:
    """An accepted connection, and its far side."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self.far = ClientProtocol(parse_uri("ws://bot.example.com/"))
        self.wire = Wire(self.far)
        self.socket: DirectSocket | WebSocket | None = None

        async def app(scope: Any, receive: Any, send: Any) -> None:
            socket = WebSocket(scope, receive, send)
            await socket.accept()
            self.socket = direct(socket)
            await self.over.wait()

        config = uvicorn.Config(app, ws=DirectProtocol, log_config=None, ws_ping_interval=None)
        config.load()
        self.near = DirectProtocol(config, ServerState(), {})
        self.near.connection_made(self.wire)
        self.far.send_request(self.far.connect())
        self.carry()

    def carry(self) -> None:
        for data in self.far.data_to_send():
            self.near.data_received(data)

    def say(self, text: str) -> None:
        self.far.send_text(text.encode())
        self.carry()

    def seen(self) -> list[str]:
        frames = [event for event in self.far.events_received() if not isinstance(event, Response)]
        return [
            bytes(frame.data).decode() for frame in frames if isinstance(frame, Frame) and frame.opcode is Opcode.TEXT
        ]


@asynccontextmanager
async def opened() -> AsyncIterator[tuple[Connection, DirectSocket]]:
    connection = Connection()
    while connection.socket is None:  # noqa: ASYNC110 - the application's task
        await asyncio.sleep(0)
    assert isinstance(connection.socket, DirectSocket)
    yield connection, connection.socket
    connection.over.set()
    await asyncio.sleep(0)


def test_messages_are_taken_as_they_are_read_and_those_that_wait_first() -> None:
    async def main() -> None:
        async with opened() as (connection, socket):
            taken: list[str | bytes] = []
            connection.say("early")
            assert not connection.wire.reading
            socket.hand_over(taken.append)
            assert connection.wire.reading
            connection.say("now")
            connection.far.send_binary(b"\x01")
            connection.carry()
            assert taken == ["early", "now", b"\x01"]
            socket.hand_over(None)
            connection.say("later")
            assert (await socket.receive())["text"] == "later"

    run(main())


def test_a_message_is_written_at_once_unless_it_has_to_wait() -> None:
    async def main() -> None:
        async with opened() as (connection, socket):
            assert socket.send_now("one")
            connection.near.pause_writing()
            assert not socket.send_now("two")
            connection.near.resume_writing()
            assert socket.send_now("three")
            assert connection.seen() == ["one", "three"]

    run(main())


def test_the_end_of_a_connection_is_received_and_nothing_is_written_after_it() -> None:
    async def main() -> None:
        async with opened() as (connection, socket):
            taken: list[str | bytes] = []
            socket.hand_over(taken.append)
            connection.far.send_close(1000)
            connection.carry()
            assert (await socket.receive())["type"] == "websocket.disconnect"
            assert not socket.send_now("late")
            assert taken == []

    run(main())


def test_text_that_is_no_utf8_closes_the_connection() -> None:
    async def main() -> None:
        async with opened() as (connection, socket):
            taken: list[str | bytes] = []
            socket.hand_over(taken.append)
            connection.far.send_text(b"\xff")
            connection.carry()
            assert (await socket.receive())["code"] == 1007
            assert taken == []

    run(main())
