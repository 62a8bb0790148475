"""Exchanges on real sockets: a call fetched from Asterisk, AudioSocket's port, and transfers that tools ask for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import pytest
from websockets.asyncio.server import ServerConnection, serve

from tests.carriers.trials import VendorApi, loud
from tests.cli.server import running_server
from voicebot.cli.caller import background, pace
from voicebot.cli.caller_carrier import CARRIERS, CarrierCaller, WebSocketLink, carrier_call
from voicebot.cli.carriers.exchange import AsteriskCarrier
from voicebot.telephony.audiosocket import PENDING_LIMIT
from voicebot.transports.telephony import audiosocket

pytestmark = pytest.mark.realtime
HEARING = (
    "engines.vad=scripted://",
    "engines.stt=scripted://?text=put+me+through",
    "engines.tts=scripted://?ms_per_char=20",
)
DESK = "+15550123"


class Asterisk:
    """Its HTTP server, where one call waits."""

    def __init__(self) -> None:
        self.path = ""
        self.subprotocol: str | None = ""
        self.caller: CarrierCaller | None = None
        self.answered_s = 0.0

    async def media(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.path, self.subprotocol = connection.request.path, connection.subprotocol
        caller = self.caller = CarrierCaller(AsteriskCarrier(), WebSocketLink(connection))  # type: ignore[arg-type]
        await caller.open()
        async with background(caller.listen(), pace(caller.speak)):
            said = await caller.say(loud(0.6))
            self.answered_s = await caller.wait_reply(said.stop_s, 20.0)


def test_a_call_that_waits_in_asterisk_is_fetched_and_answered(tmp_path: Path) -> None:
    async def main() -> None:
        asterisk = Asterisk()
        async with serve(asterisk.media, "127.0.0.1", 0, subprotocols=["media"]) as listening:  # type: ignore[list-item]
            port = next(iter(listening.sockets)).getsockname()[1]
            url = f"telephony.asterisk.url=ws://127.0.0.1:{port}"
            with running_server(tmp_path, *HEARING, "engines.llm=scripted://?reply=Hello.", url) as root:
                async with httpx.AsyncClient(base_url=root) as client:
                    connect = "/telephony/asterisk/connect"
                    wrong = await client.post(connect, params={"connection_id": "../../ari"})
                    assert wrong.status_code == 400
                    taken = await client.post(connect, params={"connection_id": "abc-1", "caller": "+15550100"})
                    assert taken.status_code == 202
                    async with asyncio.timeout(20):
                        while not asterisk.answered_s:
                            await asyncio.sleep(0.05)
        assert (asterisk.path, asterisk.subprotocol) == ("/media/abc-1", "media")

    asyncio.run(main())


def test_without_an_asterisk_to_fetch_from_the_request_says_what_to_set(tmp_path: Path) -> None:
    with running_server(tmp_path, *HEARING, "engines.llm=scripted://") as root:
        answer = httpx.post(f"{root}/telephony/asterisk/connect", params={"connection_id": "abc"})
        assert (answer.status_code, "telephony.asterisk.url" in answer.json()["error"]) == (409, True)


# ---- AudioSocket


@pytest.fixture(scope="module")
def audiosocket_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    from tests.carriers.table import _free_ports

    (port,) = _free_ports(1)
    setting = f"telephony.audiosocket.port={port}"
    with running_server(tmp_path_factory.mktemp("server"), *HEARING, "engines.llm=scripted://", setting):
        yield port


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def closed(reader: asyncio.StreamReader) -> bool:
    """Whether the server closes within 3 s; closed with bytes unread, a connection is reset."""
    async with asyncio.timeout(3.0):
        try:
            while await reader.read(4096):
                pass
        except ConnectionResetError:
            return True
    return True


@pytest.mark.parametrize(
    "first",
    [
        audiosocket.frame(audiosocket.DTMF, b"5"),
        audiosocket.frame(audiosocket.IDENTITY, b"short"),
        b"GET / HTTP/1.1\r\n" * 3000,
    ],
    ids=["a key", "a short UUID", "HTTP"],
)
def test_a_connection_that_does_not_begin_with_a_uuid_is_closed(audiosocket_port: int, first: bytes) -> None:
    async def main() -> None:
        async with connected(audiosocket_port) as (reader, writer):
            writer.write(first)
            assert await closed(reader)

    asyncio.run(main())


def test_connections_that_say_nothing_take_no_line_and_are_bounded(audiosocket_port: int) -> None:
    async def main() -> None:
        silent = [await asyncio.open_connection("127.0.0.1", audiosocket_port) for _ in range(PENDING_LIMIT)]
        await asyncio.sleep(0.3)
        async with connected(audiosocket_port) as (reader, _):
            assert await closed(reader)
        for _, writer in silent:
            writer.close()
        await asyncio.sleep(0.3)
        async with carrier_call(f"audiosocket://127.0.0.1:{audiosocket_port}") as caller:
            said = await caller.say(loud(0.6))
            await caller.wait_reply(said.stop_s, 20.0)

    asyncio.run(main())


# ---- what tools ask of the line


def scripted_tool(name: str, **arguments: str) -> str:
    call = quote(json.dumps({"name": name, "arguments": arguments}))
    return f"engines.llm=scripted://?tool={call}&reply=One+moment."


def test_a_transfer_that_a_tool_asks_for_reaches_the_vendor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TWILIO_AUTH_TOKEN": "t", "TELNYX_API_KEY": "k", "PLIVO_AUTH_TOKEN": "p"}.items():
        monkeypatch.setenv(name, value)
    api = VendorApi()

    async def call(name: str, root: str) -> None:
        async with carrier_call(f"{name}+ws://{urlsplit(root).netloc}") as caller:
            await caller.say(loud(0.6))
            await caller.until(
                lambda: any(caller.call_id in line for line in api.asked) or bool(caller.carrier.transferred),
                20,
                "no transfer",
            )
            if name in ("audiohook", "audio-fork"):
                assert DESK in caller.carrier.transferred

    async def main() -> None:
        async with api.running():
            apis = [f"telephony.{name}.api_url={api.url}" for name in ("twilio", "telnyx", "plivo")]
            tool = (scripted_tool("transfer_call", to="desk"), f'tools.transfer={{desk="{DESK}"}}')
            with running_server(tmp_path, *HEARING, *tool, *apis) as root:
                names = ("twilio", "telnyx", "plivo", "audiohook", "audio-fork")
                await asyncio.gather(*(call(name, root) for name in names))
                document = next(body["aleg_url"] for body in api.bodies if "aleg_url" in body)
                async with httpx.AsyncClient() as client:
                    assert f"<Dial><Number>{DESK}</Number></Dial>" in (await client.post(document)).text
                    assert (await client.post(document)).status_code == 403
                    other = document.replace("0123", "0124")
                    assert (await client.post(other)).status_code == 403

    asyncio.run(main())
    assert any(line.startswith("POST /v2/calls/") and "/actions/transfer" in line for line in api.asked)


def test_every_carrier_has_a_name_that_a_url_can_have() -> None:
    assert all(urlsplit(f"{name}+ws://h").scheme == f"{name}+ws" for name in CARRIERS)
