"""The Wyoming library's own client against our service: recognised, spoken and answered, and garbage survived."""

from __future__ import annotations

import asyncio
import json
import socket
import sqlite3
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.event import Event
from wyoming.handle import Handled
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong
from wyoming.tts import Synthesize, SynthesizeChunk, SynthesizeStart, SynthesizeStop

from tests.test_server import serving
from voicebot.cli.wav import read_speech
from voicebot.config import load_config
from voicebot.core.audio import resampler
from voicebot.errors import ConfigError
from voicebot.server import create_app

pytestmark = pytest.mark.realtime
STREAMING = "engines.stt=scripted://?text=turn+on+the+light&stream=true"
HOST = "127.0.0.1"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    port = free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VOICEBOT_HOME", str(tmp_path_factory.mktemp("home")))
        settings = (f"wyoming.port={port}", "wyoming.max_connections=3", STREAMING)
        with serving(tmp_path_factory.mktemp("server"), *settings):
            yield port


class Client:
    """The library's, with waits that end."""

    def __init__(self, client: AsyncTcpClient) -> None:
        self.client = client

    async def send(self, *events: Any) -> None:
        for event in events:
            await self.client.write_event(event.event())

    async def until(self, kind: str) -> list[Event]:
        """Everything up to the first event of this type, which is the last."""
        events: list[Event] = []
        async with asyncio.timeout(10):
            while not events or events[-1].type != kind:
                event = await self.client.read_event()
                assert event is not None, f"the connection ended before {kind}: {[one.type for one in events]}"
                events.append(event)
        return events


@asynccontextmanager
async def dial(port: int) -> AsyncIterator[Client]:
    async with AsyncTcpClient(HOST, port) as client:
        yield Client(client)


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def answers(port: int) -> bool:
    """Whether the service describes itself."""
    async with dial(port) as client:
        await client.send(Describe())
        event = await client.client.read_event()
    return event is not None and event.type == "info"


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def test_the_service_says_what_it_offers_and_is_alive(port: int) -> None:
    async def main() -> None:
        async with dial(port) as client:
            await client.send(Describe(), Ping(text="still there"))
            (told,) = await client.until("info")
            info = Info.from_event(told)
            assert info.asr[0].models[0].name == "scripted" and info.asr[0].supports_transcript_streaming
            assert info.tts[0].supports_synthesize_streaming and info.handle[0].supports_handled_streaming
            (pong,) = await client.until("pong")
            assert Pong.from_event(pong).text == "still there"

    run(main())


def test_speech_of_any_rate_becomes_words(port: int, speech: Path) -> None:
    async def main() -> None:
        pcm = resampler(16_000, 48_000).push(read_speech(speech / "what_time_is_it.wav").pcm)
        async with dial(port) as client:
            await client.send(Transcribe(language="en"), AudioStart(48_000, 2, 1))
            for start in range(0, len(pcm), 4_800):
                await client.send(AudioChunk(48_000, 2, 1, pcm[start : start + 4_800].tobytes()))
            await client.send(AudioStop())
            events = await client.until("transcript")
            assert [event.type for event in events] == [
                "transcript-start",
                "transcript-chunk",
                "transcript-stop",
                "transcript",
            ]
            assert Transcript.from_event(events[-1]).text == "turn on the light"

    run(main())


def test_text_becomes_sound_whole_or_clause_by_clause(port: int) -> None:
    async def main() -> None:
        async with dial(port) as client:
            await client.send(Synthesize("Hello to you."))
            events = await client.until("audio-stop")
            assert events[0].type == "audio-start"
            rate = AudioStart.from_event(events[0]).rate
            whole_s = sum(len(event.payload or b"") for event in events) / 2 / rate
            assert 0.2 < whole_s < 0.4, "20 ms a character"
            await client.send(SynthesizeStart(), SynthesizeChunk("The light is on now. And "))
            await client.until("audio-chunk")
            await client.send(SynthesizeChunk("so is the fan."), Synthesize("The light is on now."), SynthesizeStop())
            events = await client.until("synthesize-stopped")
            kinds = [event.type for event in events]
            assert kinds.count("audio-stop") == 1 and kinds[-2:] == ["audio-stop", "synthesize-stopped"]
            streamed_s = sum(len(event.payload or b"") for event in events) / 2 / rate
            assert streamed_s < 0.9, "the whole text, sent for older servers, is not spoken a second time"

    run(main())


def test_a_question_is_answered_in_pieces_and_whole_and_the_talk_is_remembered(port: int) -> None:
    async def main() -> None:
        async with dial(port) as client:
            await client.send(Transcript("hello there"))
            events = await client.until("handled")
            assert events[0].type == "handled-start"
            handled = Handled.from_event(events[-1])
            assert handled.text == "Hello to you." and handled.context is not None
            await client.send(Transcript("and again", context=handled.context))
            again = Handled.from_event((await client.until("handled"))[-1])
            assert again.context == handled.context

    run(main())


def test_the_words_of_a_talk_are_kept_where_they_may_be_and_never_the_private_ones(tmp_path: Path) -> None:
    port, ledger = free_port(), tmp_path / "ledger.db"
    books = (f"ledger.url=sqlite:///{ledger}", f"ledger.journal_dir={tmp_path}", "ledger.keep_texts=true")

    async def main() -> None:
        async with dial(port) as client:
            for text in ("good morning", "what is nine", "keep that private"):
                await client.send(Transcript(text, context={"conversation_id": "kitchen"}))
                await client.until("handled")

    with serving(tmp_path, f"wyoming.port={port}", "privacy.default=open", *books):
        run(main())
    with sqlite3.connect(ledger) as opened:
        rows = opened.execute("select nullif(heard, ''), nullif(said, ''), label from turns order by turn").fetchall()
    opened.close()
    assert rows == [("good morning", "Hello to you.", "open"), (None, None, "local_only"), (None, None, "local_only")]


def test_garbage_is_an_error_and_the_next_request_works(port: int) -> None:
    async def main() -> None:
        async with dial(port) as client:
            await client.send(AudioChunk(16_000, 2, 1, b"\0\0"))
            assert "before audio-start" in Error.from_event((await client.until("error"))[-1]).text
            await client.send(AudioStart(16_000, 4, 9))
            assert "16 bit" in Error.from_event((await client.until("error"))[-1]).text
            for data in ({}, {"text": 7}, {"text": "x", "context": []}):
                await client.client.write_event(Event("transcript", data))
                await client.until("error")
            await client.client.write_event(Event("nonsense", {"a": 1}))
            await client.send(Describe())
            assert (await client.until("info"))[0].type == "info"

    run(main())


@pytest.mark.parametrize(
    "line",
    [
        b"no json\n",
        b"[]\n",
        b'{"type": 7}\n',
        b'{"type": "audio-chunk", "payload_length": 999999999999}\n',
        b'{"type": "audio-chunk", "payload_length": -1}\n',
        b'{"type": "describe", "data_length": 4}\nnull',
        b"x" * 100_000 + b"\n",
    ],
)
def test_what_is_no_message_ends_the_connection_with_an_error(port: int, line: bytes) -> None:
    async def main() -> None:
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(line)
        async with asyncio.timeout(5):
            told = json.loads(await reader.readline())
            await reader.read()
        assert told["type"] == "error"
        await hang_up(writer)

    run(main())


def test_mutated_messages_never_stop_the_service(port: int) -> None:
    valid = [
        {"type": "describe"},
        {"type": "transcript", "data": {"text": "hello", "context": {"conversation_id": "c"}}},
        {"type": "audio-start", "data": {"rate": 16000, "width": 2, "channels": 1}},
        {"type": "audio-chunk", "data": {"rate": 16000, "width": 2, "channels": 1}, "payload_length": 4},
        {"type": "audio-stop"},
        {"type": "synthesize", "data": {"text": "hi", "voice": {"name": "x"}}},
        {"type": "synthesize-start", "data": {}},
        {"type": "synthesize-chunk", "data": {"text": "hi"}},
        {"type": "synthesize-stop"},
    ]

    async def main() -> None:
        rng = Random(1)
        for _ in range(60):
            reader, writer = await asyncio.open_connection(HOST, port)
            for _ in range(rng.randint(1, 6)):
                message = bytearray(json.dumps(rng.choice(valid)).encode())
                for _ in range(rng.choice([0, 1, 2])):
                    message[rng.randrange(len(message))] = rng.choice(b'{}[]",:01ax ')
                writer.write(bytes(message) + b"\n" + rng.choice([b"", b"\0\0\0\0"]))
            with suppress(OSError):  # It may have hung up on the garbage already.
                writer.write_eof()
                async with asyncio.timeout(10):
                    await reader.read()
            await hang_up(writer)
        async with asyncio.timeout(10):
            while not await answers(port):  # It may be full of what was hung up on while it was at work.
                await asyncio.sleep(0.05)

    run(main())


def test_too_many_connections_are_told_so(port: int) -> None:
    async def main() -> None:
        open_ones = [await asyncio.open_connection(HOST, port) for _ in range(3)]
        async with dial(port) as client:
            assert "too many" in Error.from_event((await client.until("error"))[-1]).text
        for _, writer in open_ones:
            await hang_up(writer)

    run(main())


def test_a_port_that_is_taken_is_a_config_error(tmp_path: Path, port: int) -> None:
    config = load_config(env={}, overrides=[f"trace.dir={tmp_path}", f"wyoming.port={port}", "engines.llm=scripted://"])

    async def main() -> None:
        app = create_app(config)
        with pytest.raises(ExceptionGroup):
            async with app.router.lifespan_context(app):
                pass
        assert isinstance(app.state.server.fault, ConfigError) and "wyoming.port" in str(app.state.server.fault)

    run(main())
