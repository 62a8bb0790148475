"""The doors of the Realtime protocol with scripted engines: who is let in, what a session is told, how it ends."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from tests.test_server import serving
from voicebot.api_keys import Keys, Unauthorized

PATH = "ws://localhost/v1/realtime?model=voicebot"
MANUAL = {"type": "session.update", "session": {"type": "realtime", "audio": {"input": {"turn_detection": None}}}}
LOUD = base64.b64encode(np.full(24_000, 5_000, np.int16).tobytes()).decode()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VOICEBOT_HOME", str(tmp_path_factory.mktemp("home")))
        with serving(tmp_path_factory.mktemp("server"), "reply.greeting=Welcome.") as client:
            yield client


def until(socket: WebSocketTestSession, kind: str) -> dict[str, Any]:
    """The next event of this type; an error before it is a failure."""
    while (event := json.loads(socket.receive_text()))["type"] != kind:
        assert event["type"] != "error" or kind == "error", event
    return dict(event)


def refused(client: TestClient, headers: dict[str, str]) -> str:
    with pytest.raises(WebSocketDisconnect) as closed, client.websocket_connect(PATH, headers=headers):
        pass
    assert closed.value.code == 1008
    return closed.value.reason


# ---- who is let in


def test_without_keys_only_this_machine_and_our_own_page_are_let_in(tmp_path: Path, client: TestClient) -> None:
    with client.websocket_connect(PATH, headers={"origin": "http://localhost"}) as socket:
        assert until(socket, "session.created")["session"]["model"] == "voicebot"
    assert "own machine" in refused(client, {"origin": "https://elsewhere.example"})
    with serving(tmp_path, host="192.0.2.7") as remote:
        assert "own machine" in refused(remote, {})
        answer = remote.post("/v1/realtime/client_secrets", json={})
        assert answer.status_code == 401 and answer.json()["error"]["type"] == "authentication_error"


def test_with_keys_everybody_needs_one(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEBOT_API_KEYS", "first, second")
    assert "wrong or missing" in refused(client, {})
    assert "wrong or missing" in refused(client, {"authorization": "Bearer third"})
    with client.websocket_connect(PATH, headers={"authorization": "Bearer second"}) as socket:
        until(socket, "session.created")


def test_an_ephemeral_key_opens_a_session_with_the_settings_it_was_made_with(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOICEBOT_API_KEYS", "first")
    body = {"expires_after": {"anchor": "created_at", "seconds": 60}, "session": {"instructions": "Be brief."}}
    made = client.post("/v1/realtime/client_secrets", json=body, headers={"authorization": "Bearer first"}).json()
    assert made["value"].startswith("ek_") and made["session"]["instructions"] == "Be brief."
    protocols = ["realtime", f"openai-insecure-api-key.{made['value']}", "openai-beta.realtime-v1"]
    with client.websocket_connect(PATH, subprotocols=protocols) as socket:
        assert socket.accepted_subprotocol == "realtime"
        assert until(socket, "session.created")["session"]["instructions"] == "Be brief."
    answer = client.post("/v1/realtime/client_secrets", headers={"authorization": f"Bearer {made['value']}"})
    assert answer.status_code == 401, "an ephemeral key makes no others"


def test_an_ephemeral_key_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    from starlette.requests import HTTPConnection

    now = [100.0]
    keys = Keys("NO_KEYS_HERE", lambda: now[0])
    made = keys.make_ephemeral(60, {})
    scope = {"type": "websocket", "headers": [(b"authorization", f"Bearer {made.value}".encode())]}
    assert keys.check_realtime(HTTPConnection(scope)) is made
    now[0] = 160.0
    with pytest.raises(Unauthorized, match="expired"):
        keys.check_realtime(HTTPConnection(scope))


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"session": {"nonsense": 1}}, "session.nonsense"),
        ({"expires_after": {"seconds": 5}}, "expires_after.seconds"),
        ({"extra": 1}, "extra"),
    ],
)
def test_an_ephemeral_key_for_nonsense_is_refused(client: TestClient, body: dict[str, Any], param: str) -> None:
    answer = client.post("/v1/realtime/client_secrets", json=body)
    assert answer.status_code == 400 and answer.json()["error"]["param"] == param
    assert client.post("/v1/realtime/client_secrets", content="{").json()["error"]["code"] == "invalid_json"


# ---- a session


def test_a_manual_turn_is_heard_answered_and_on_record(client: TestClient) -> None:
    with client.websocket_connect(PATH) as socket:
        until(socket, "session.created")
        socket.send_json(MANUAL)
        socket.send_json({"type": "input_audio_buffer.append", "audio": LOUD})
        socket.send_json({"type": "input_audio_buffer.commit"})
        socket.send_json({"type": "response.create"})
        assert until(socket, "conversation.item.input_audio_transcription.completed")["transcript"] == "hello"
        assert len(base64.b64decode(until(socket, "response.output_audio.delta")["delta"])) > 2_000
        done = until(socket, "response.done")["response"]
        assert done["output"][0]["content"][0]["transcript"] == "Hello to you."


def test_a_typed_message_is_answered_in_writing(client: TestClient) -> None:
    with client.websocket_connect(PATH) as socket:
        message = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hello"}]}
        socket.send_json({"type": "conversation.item.create", "item": message})
        socket.send_json({"type": "response.create", "response": {"output_modalities": ["text"]}})
        assert until(socket, "response.output_text.done")["text"] == "Hello to you."
        usage = until(socket, "response.done")["response"]["usage"]
        assert usage["output_tokens"] == 3 and usage["input_tokens"] > 3


def test_a_member_can_be_named_as_the_model(tmp_path: Path) -> None:
    members = ("fleet.talker.general=true", "fleet.poet.engine=scripted://?reply=Roses+are+red.")
    with (
        serving(tmp_path, *members) as client,
        client.websocket_connect("ws://localhost/v1/realtime?model=poet") as socket,
    ):
        assert until(socket, "session.created")["session"]["model"] == "poet"
        socket.send_json({"type": "response.create", "response": {"output_modalities": ["text"]}})
        assert until(socket, "response.output_text.done")["text"] == "Roses are red."


def test_the_instructions_reach_the_model(client: TestClient) -> None:
    def input_tokens(instructions: str) -> int:
        wanted = {"conversation": "none", "output_modalities": ["text"], "input": [], "instructions": instructions}
        socket.send_json({"type": "response.create", "response": wanted})
        count: int = until(socket, "response.done")["response"]["usage"]["input_tokens"]
        return count

    with client.websocket_connect(PATH) as socket:
        assert input_tokens("one two three") == input_tokens("") + 3


def test_a_server_without_a_free_line_says_so(tmp_path: Path) -> None:
    with serving(tmp_path, "server.max_calls=1") as client, client.websocket_connect(PATH) as socket:
        until(socket, "session.created")
        with client.websocket_connect(PATH) as second, pytest.raises(WebSocketDisconnect) as closed:
            second.receive_text()
        assert closed.value.code == 1013


def test_the_greeting_of_telephone_calls_is_not_said_unasked(client: TestClient) -> None:
    with client.websocket_connect(PATH) as socket:
        socket.send_json(MANUAL)
        until(socket, "session.updated")
        socket.send_json({"type": "response.cancel"})
        assert until(socket, "error")["error"]["code"] == "response_cancel_not_active"
