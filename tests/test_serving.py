"""The whole server as a process of its own: real sockets, real time, signals."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets
from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription

from tests.test_server import SCRIPTED, start_of
from tests.transports.test_webrtc import Microphone
from voicebot.ledger.reader import reading

pytestmark = pytest.mark.realtime

MAIN = """
import dataclasses, json, sys
from voicebot.config import load_config
from voicebot.errors import VoicebotError
from voicebot.server import run_server
try:
    config = load_config(env={}, overrides=sys.argv[1:])
    run_server(config, lambda banner: print(json.dumps(dataclasses.asdict(banner)), flush=True))
except VoicebotError as error:
    sys.exit(str(error))
"""


class Server:
    """A running server process."""

    def __init__(self, process: asyncio.subprocess.Process, banner: dict[str, Any]) -> None:
        self.process = process
        self.banner = banner
        self.client = httpx.AsyncClient(base_url=banner["url"], timeout=5)

    @property
    def stream_url(self) -> str:
        return self.banner["url"].replace("http", "ws") + "/telephony/twilio"

    async def account(self, call: str) -> dict[str, Any]:
        answer: dict[str, Any] = (await self.client.get(f"/api/calls/{call}")).json()
        return answer

    async def until_ended(self, call: str) -> None:
        async with asyncio.timeout(5):
            while not (await self.account(call)).get("ended"):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.02)

    def held(self) -> tuple[int, int]:
        """Threads and open files of the process."""
        proc = Path(f"/proc/{self.process.pid}")
        return len(list((proc / "task").iterdir())), len(list((proc / "fd").iterdir()))


@asynccontextmanager
async def server(tmp_path: Path, *overrides: str) -> AsyncIterator[Server]:
    arguments = [*SCRIPTED, f"trace.dir={tmp_path}", "server.port=0", *overrides]
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", MAIN, *arguments, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            running = Server(process, json.loads(await process.stdout.readline()))
        async with running.client:
            yield running
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def browser(running: Server) -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    """A WebRTC call that plays a tone; yields its id and the events as they come."""
    async with page(running) as (call, events, _):
        yield call, events


@asynccontextmanager
async def page(running: Server) -> AsyncIterator[tuple[str, list[dict[str, Any]], RTCDataChannel]]:
    """The same, with the channel that turns are typed into."""
    connection, events = RTCPeerConnection(RTCConfiguration(iceServers=[])), []
    connection.addTrack(Microphone())
    channel = connection.createDataChannel("events")
    channel.on("message", lambda text: events.append(json.loads(text)))
    await connection.setLocalDescription(await connection.createOffer())
    offer = {"type": "offer", "sdp": connection.localDescription.sdp}
    answer = (await running.client.post("/api/offer", json=offer)).json()
    await connection.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))
    try:
        async with asyncio.timeout(5):
            while len(events) < 2:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.01)
        yield answer["call_id"], events, channel
    finally:
        await connection.close()


def test_a_webrtc_call_gets_its_events_and_an_account(tmp_path: Path) -> None:
    async def main() -> None:
        async with server(tmp_path) as running:
            async with browser(running) as (call, events):
                assert events[0]["type"] == "call"
                assert events[0]["call_id"] == call
                assert events[1]["type"] == "state"
                assert (await running.account(call))["transport"] == "webrtc"
            await running.until_ended(call)

    asyncio.run(main())


def test_killing_the_client_ten_times_leaves_no_thread_or_file(tmp_path: Path) -> None:
    async def one(running: Server, n: int) -> None:
        async with browser(running) as (call, _):
            pass
        await running.until_ended(call)
        async with websockets.connect(running.stream_url) as far:
            await far.send(json.dumps(start_of(f"CA{n}")))
            async with asyncio.timeout(5):
                while (await running.client.get(f"/api/calls/CA{n}")).status_code != 200:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            far.transport.abort()
        await running.until_ended(f"CA{n}")

    async def main() -> None:
        async with server(tmp_path) as running:
            await one(running, 0)
            before = running.held()
            for n in range(1, 10):
                await one(running, n)
            async with asyncio.timeout(5):
                while running.held() > before:  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.05)

    asyncio.run(main())


def test_on_sigterm_calls_talk_on_new_ones_are_refused_and_the_process_ends_well(tmp_path: Path) -> None:
    async def main() -> None:
        async with server(tmp_path, "server.drain_s=1") as running:
            async with websockets.connect(running.stream_url) as far:
                await far.send(json.dumps(start_of("CA1")))
                await asyncio.sleep(0.1)
                running.process.send_signal(signal.SIGTERM)
                await asyncio.sleep(0.3)
                assert (await running.client.get("/healthz")).json() == {"status": "draining"}
                refused = await running.client.post("/api/offer", json={"type": "offer", "sdp": "v=0"})
                assert refused.status_code == 503
                with pytest.raises(websockets.ConnectionClosed):
                    async with asyncio.timeout(5):
                        await far.recv()
            async with asyncio.timeout(10):
                assert await running.process.wait() == 0

    asyncio.run(main())


def test_sigint_without_calls_ends_the_process_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with server(tmp_path) as running:
            running.process.send_signal(signal.SIGINT)
            async with asyncio.timeout(5):
                assert await running.process.wait() == 0

    asyncio.run(main())


def failure(*overrides: str) -> str:
    """What a server that cannot start says; its exit status is not 0."""
    command = [sys.executable, "-c", MAIN, *SCRIPTED, *overrides]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    return done.stderr


def test_a_missing_model_ends_the_process_with_words(tmp_path: Path) -> None:
    said = failure(f"trace.dir={tmp_path}", "server.port=0", "engines.llm=llama:///no/such/model.gguf")
    assert "/no/such/model.gguf" in said
    assert "Traceback" not in said


def test_a_busy_port_ends_the_process_with_words(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        said = failure(f"trace.dir={tmp_path}", f"server.port={other.getsockname()[1]}")
    assert "stop what uses it" in said
    assert "Traceback" not in said


def test_a_trace_folder_that_cannot_be_made_ends_the_process_with_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = failure(f"trace.dir={tmp_path / 'file' / 'traces'}", "server.port=0")
    assert "set trace.dir" in said
    assert "Traceback" not in said


def test_on_a_hangup_signal_the_server_takes_the_fleet_of_the_changed_settings(tmp_path: Path) -> None:
    file = tmp_path / "voicebot.toml"

    def write(model: str) -> None:
        engines = {kind: f"scripted://{kind}" for kind in ("vad", "stt", "tts")}
        lines = [f'{kind} = "{url}"' for kind, url in (engines | {"llm": "scripted://main"}).items()]
        file.write_text("\n".join(["[engines]", *lines, "[fleet.talker]", "general = true", f'engine = "{model}"']))

    async def main() -> None:
        write("scripted://one")
        options = ["serve", "--config", str(file), "--port", "0", "--set", f"trace.dir={tmp_path / 'traces'}"]
        program = [sys.executable, "-c", "from voicebot.cli.main import run; run()", *options]
        process = await asyncio.create_subprocess_exec(*program, stderr=subprocess.PIPE)
        assert process.stderr is not None

        async def told(words: str) -> None:
            async with asyncio.timeout(60):
                while words not in (await process.stderr.readline()).decode():  # type: ignore[union-attr]
                    assert process.returncode is None

        try:
            await told("privacy")
            write("scripted://two")
            process.send_signal(signal.SIGHUP)
            await told("the fleet is now: talker (scripted two)")
            file.write_text("[fleet")
            process.send_signal(signal.SIGHUP)
            await told("the fleet stays as it is")
            process.terminate()
            async with asyncio.timeout(20):
                assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    asyncio.run(main())


@pytest.mark.parametrize("kept", [1, 4])
def test_killed_in_mid_call_it_has_lost_no_committed_turn_and_the_ledger_opens_clean(tmp_path: Path, kept: int) -> None:
    ledger = f"sqlite:///{tmp_path / 'ledger.db'}"
    books = (f"ledger.url={ledger}", f"ledger.journal_dir={tmp_path / 'journal'}")

    def committed(events: list[dict[str, Any]]) -> dict[int, str]:
        return {one["turn"]: one["text"] for one in events if one["type"] == "transcript" and one["final"]}

    async def main() -> tuple[str, dict[int, str]]:
        async with server(tmp_path, *books) as running, page(running) as (call, events, channel):
            async with asyncio.timeout(20):
                for turn in range(1, kept + 1):
                    channel.send(json.dumps({"type": "text", "text": f"hello number {turn}"}))
                    while len(committed(events)) < turn:  # noqa: ASYNC110 - another process
                        await asyncio.sleep(0.002)
            running.process.kill()  # While it makes or speaks the last reply.
            await running.process.wait()
            return call, committed(events)

    async def again() -> None:
        async with server(tmp_path, *books) as running:
            assert (await running.client.get("/healthz")).json() == {"status": "ready"}

    call, told = asyncio.run(main())
    with reading(ledger, tmp_path / "journal") as books_of_it:
        found = books_of_it.call(call)
    assert {row["turn"] for row in found["turns"]} == set(told)
    assert found["ended_s"] is None and found["transport"] == "webrtc"
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as database:
        assert database.execute("pragma integrity_check").fetchone() == ("ok",)
    asyncio.run(again())
