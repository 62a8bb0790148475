"""The server's routes with scripted engines, through the ASGI interface."""

from __future__ import annotations

import base64
import gc
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from tests.transports.telephony.test_twilio import CONNECTED, MEDIA, START, STOP, changed
from voicebot.config import load_config
from voicebot.core.audio import mulaw_decode, mulaw_encode
from voicebot.errors import ConfigError
from voicebot.server import bind, create_app
from voicebot.session import Session

SCRIPTED = (
    "engines.vad=scripted://",
    "engines.stt=scripted://?text=hello",
    "engines.llm=scripted://?reply=Hello+to+you.",
    "engines.tts=scripted://?ms_per_char=20",
)
STREAM = "ws://localhost/telephony/twilio"


def until(condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.005)


@contextmanager
def serving(tmp_path: Path, *overrides: str, host: str = "127.0.0.1", ready: bool = True) -> Iterator[TestClient]:
    config = load_config(env={}, overrides=[*SCRIPTED, f"trace.dir={tmp_path / 'traces'}", *overrides])
    with TestClient(create_app(config), "http://localhost", client=(host, 50_000)) as client:
        if ready:
            until(lambda: client.get("/healthz").status_code == 200)
        yield client


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with serving(tmp_path) as client:
        yield client


def start_of(call_sid: str) -> dict[str, Any]:
    return changed(START, "start.callSid", call_sid)


def media(chunk: int, value: int) -> dict[str, Any]:
    payload = base64.b64encode(mulaw_encode(np.full(160, value, np.int16) * (-1) ** np.arange(160, dtype=np.int16)))
    message = changed(MEDIA, "media.payload", payload.decode())
    message["media"] |= {"chunk": str(chunk), "timestamp": str(20 * (chunk - 1))}
    return message


def account(client: TestClient, call: str) -> dict[str, Any]:
    result: dict[str, Any] = client.get(f"/api/calls/{call}").json()
    return result


# ---- what the server says of itself


def test_it_is_ready_once_the_engines_are_loaded_and_tells_what_runs(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ready"}
    info = client.get("/api/info").json()
    assert info["models"] == {"vad": "scripted", "stt": "scripted", "llm": "scripted", "tts": "scripted"}
    assert info["profile"] == "embedded"
    assert info["ice_servers"] == []


def test_an_engine_that_does_not_load_is_told_and_no_call_is_taken(tmp_path: Path) -> None:
    with serving(tmp_path, "engines.llm=llama:///no/such/model.gguf", ready=False) as client:
        until(lambda: client.get("/healthz").json()["status"] == "failed")
        health = client.get("/healthz")
        assert health.status_code == 503
        assert "/no/such/model.gguf" in health.json()["error"]
        assert client.post("/api/offer", json={"type": "offer", "sdp": "v=0"}).status_code == 503


def test_an_engine_url_with_an_unknown_option_is_a_config_error(tmp_path: Path) -> None:
    config = load_config(env={}, overrides=[*SCRIPTED, "engines.stt=scripted://?speed=9", f"trace.dir={tmp_path}"])
    with pytest.raises(ConfigError, match="speed"):
        create_app(config)


def test_the_page_comes_with_a_content_security_policy_and_is_not_cached(client: TestClient) -> None:
    answer = client.get("/")
    assert answer.status_code == 200
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-cache"
    assert "content-security-policy" not in client.get("/docs").headers


def test_ice_servers_of_the_settings_are_told_to_the_page(tmp_path: Path) -> None:
    with serving(tmp_path, 'webrtc.ice_servers=[{urls=["stun:127.0.0.1:3478"]}]') as client:
        assert client.get("/api/info").json()["ice_servers"] == [{"urls": ["stun:127.0.0.1:3478"]}]


# ---- bad requests


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "not JSON"),
        (b"[]", 400, "the offer must be"),
        (b'{"type": "offer"}', 400, "the offer must be"),
        (b'{"type": "answer", "sdp": "v=0"}', 400, "the offer must be"),
        (b'{"type": "offer", "sdp": "garbage"}', 400, "0 audio sections"),
        (b'{"type": "offer", "sdp": "v=0\\r\\nm=audio x"}', 400, "malformed"),
        (b'{"type": "offer", "sdp": "' + b"a" * 70_000 + b'"}', 413, "longer than 65536"),
        (b"\xff\xfe", 400, "not JSON"),
    ],
)
def test_a_bad_offer_is_refused_in_words(client: TestClient, body: bytes, status: int, words: str) -> None:
    answer = client.post("/api/offer", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert words in answer.json()["error"]


def test_an_offer_that_is_not_declared_as_json_is_refused(client: TestClient) -> None:
    assert client.post("/api/offer", content=b"{}", headers={"content-type": "text/plain"}).status_code == 415


def test_unknown_paths_and_calls_are_answered_in_words(client: TestClient) -> None:
    assert client.get("/api/calls/nope").json() == {"error": "no call 'nope' among the last ones"}
    assert client.get("/nowhere").status_code == 404
    assert "error" in client.get("/nowhere").json()


# ---- calls


@pytest.mark.realtime
def test_a_call_over_twilio_is_answered_and_accounted_for(client: TestClient) -> None:
    with client.websocket_connect(STREAM) as far:
        far.send_json(CONNECTED)
        far.send_json(start_of("CA7"))
        for chunk in range(1, 31):
            far.send_json(media(chunk, 6000))
        for chunk in range(31, 151):
            far.send_json(media(chunk, 0))
        events: list[dict[str, Any]] = []
        while not events or events[-1]["event"] != "mark":
            events.append(far.receive_json())
        far.send_json({"event": "mark", "streamSid": "MZ1", "mark": events[-1]["mark"]})
        until(lambda: bool(account(client, "CA7")["turns"]) and account(client, "CA7")["turns"][0]["ended"])
        assert account(client, "CA7")["ended"] is False
        far.send_json(STOP)
        with pytest.raises(WebSocketDisconnect):
            while True:  # On a busy machine the voice may run dry between two pieces, which is a mark too.
                events.append(far.receive_json())
    assert events[-1]["event"] == "mark"
    sound = [mulaw_decode(base64.b64decode(each["media"]["payload"])) for each in events if each["event"] == "media"]
    assert sum(map(len, sound)) == len("Hello to you.") * 20 * 8
    assert np.abs(np.concatenate(sound)).max() > 1000
    until(lambda: account(client, "CA7")["ended"])
    told = account(client, "CA7")
    (turn,) = told["turns"]
    assert (turn["heard"], turn["reply"], told["transport"]) == ("hello", "Hello to you.", "twilio")
    trace = client.get(f"/api/calls/{told['call_id']}/trace").text.splitlines()
    assert "the caller hung up" in json.loads(trace[-1])["end"]
    assert Path(told["trace"]).read_text().splitlines() == trace
    metrics = client.get("/metrics").text
    assert 'voicebot_calls_total{reason="ended",transport="twilio"} 1.0' in metrics
    assert 'voicebot_v2v_seconds_count{transport="twilio"} 1.0' in metrics
    (looks,) = (line for line in metrics.splitlines() if line.startswith("voicebot_loop_lag_seconds_count"))
    assert float(looks.split()[1]) > 0


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{", 1007),
        (json.dumps(changed(MEDIA, "media.payload", "%%%")), 1007),
        (json.dumps(changed(MEDIA, "media.payload", base64.b64encode(b"a" * 161).decode())), 1007),
        (json.dumps({"event": 5}), 1002),
        ("x" * 70_000, 1009),
    ],
)
def test_bad_messages_end_their_own_call_only(client: TestClient, message: str, code: int) -> None:
    with client.websocket_connect(STREAM) as good:
        good.send_json(start_of("CA-good"))
        with client.websocket_connect(STREAM) as bad:
            bad.send_json(start_of("CA-bad"))
            bad.send_text(message)
            with pytest.raises(WebSocketDisconnect) as caught:
                bad.receive_json()
        assert caught.value.code == code
        assert caught.value.reason
        until(lambda: account(client, "CA-bad")["ended"])
        assert account(client, "CA-good")["ended"] is False
        trace = client.get("/api/calls/CA-bad/trace").text.splitlines()
        assert json.loads(trace[-1])["end"].startswith(caught.value.reason[:40])


def test_a_stream_of_an_unsupported_format_is_closed_in_words(client: TestClient) -> None:
    with client.websocket_connect(STREAM) as far:
        far.send_json(changed(START, "start.mediaFormat.encoding", "audio/opus"))
        with pytest.raises(WebSocketDisconnect) as caught:
            far.receive_json()
    assert caught.value.code == 1003
    assert "audio/opus" in caught.value.reason


def test_when_every_line_is_busy_callers_are_told_to_come_back(tmp_path: Path) -> None:
    with serving(tmp_path, "server.max_calls=1") as client:
        with client.websocket_connect(STREAM) as far:
            far.send_json(start_of("CA1"))
            until(lambda: client.get("/api/calls/CA1").status_code == 200)
            answer = client.post("/api/offer", json={"type": "offer", "sdp": "v=0"})
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "10"
            assert "all 1 lines are busy" in answer.json()["error"]
            with client.websocket_connect(STREAM) as second, pytest.raises(WebSocketDisconnect) as caught:
                second.receive_json()
            assert caught.value.code == 1013
        until(lambda: account(client, "CA1")["ended"])
        assert client.post("/api/offer", json={"type": "offer", "sdp": "v=0"}).status_code == 400


def test_nothing_keeps_a_call_that_has_ended(client: TestClient) -> None:
    with client.websocket_connect(STREAM) as far:
        far.send_json(start_of("CA1"))
        until(lambda: client.get("/api/calls/CA1").status_code == 200)
        assert sessions() == 1
        far.send_json(STOP)
    until(lambda: account(client, "CA1")["ended"] and not sessions())
    assert account(client, "CA1")["call_id"]


def sessions() -> int:
    """Calls that are still in memory."""
    gc.collect()
    return sum(isinstance(each, Session) for each in gc.get_objects())


def test_ten_killed_calls_leave_no_line_busy(tmp_path: Path) -> None:
    with serving(tmp_path, "server.max_calls=1") as client:
        for n in range(10):
            with client.websocket_connect(STREAM) as far:
                far.send_json(start_of(f"CA{n}"))
                far.send_json(media(1, 6000))
                until(lambda n=n: client.get(f"/api/calls/CA{n}").status_code == 200)  # type: ignore[misc]
            until(lambda n=n: account(client, f"CA{n}")["ended"])  # type: ignore[misc]
        assert 'voicebot_calls_active{transport="twilio"} 0.0' in client.get("/metrics").text


def test_transcripts_are_for_this_machine_unless_the_settings_say_otherwise(tmp_path: Path) -> None:
    with serving(tmp_path, host="192.0.2.7") as client:
        assert client.get("/api/calls/x").status_code == 403
        assert client.get("/api/calls/x/trace").status_code == 403
    with serving(tmp_path, "server.api_remote=true", host="192.0.2.7") as client:
        assert client.get("/api/calls/x").status_code == 404


# ---- the port


def test_a_busy_port_is_a_config_error_that_says_what_to_do() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        config = load_config(env={}, overrides=[f"server.port={port}"]).server
        with pytest.raises(ConfigError, match=rf"port {port}: .*; stop what uses it or choose another"):
            bind(config)


def test_an_address_that_is_not_ours_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1"):
        bind(load_config(env={}, overrides=["server.host=192.0.2.1", "server.port=0"]).server)
