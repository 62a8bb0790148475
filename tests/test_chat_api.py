"""The chat door with scripted engines, through the official OpenAI SDK where it has a say."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from starlette.testclient import TestClient

from tests.test_server import serving

TALKER = "fleet.talker.general=true"
POET = "fleet.poet.engine=scripted://?reply=Roses+are+red."
LOOK_UP = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}
TOOL_CALL = 'engines.llm=scripted://?reply=It+was+sent.&tool={"name":"look_up","arguments":{"order":7}}'
HELLO = [{"role": "user", "content": "hello"}]
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VOICEBOT_HOME", str(tmp_path_factory.mktemp("home")))
        ledger = f"ledger.url=sqlite:///{tmp_path_factory.mktemp('books')}/ledger.db"
        with serving(tmp_path_factory.mktemp("server"), TALKER, POET, ledger) as client:
            yield client


@pytest.fixture
def openai(client: TestClient) -> OpenAI:
    return OpenAI(base_url="http://localhost/v1", api_key="any", http_client=client, max_retries=0)


def error_of(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error: dict[str, Any] = answer.json()["error"]
    return error


def test_a_question_is_answered_in_one_piece(openai: OpenAI) -> None:
    answer = openai.chat.completions.create(model="voicebot", messages=[{"role": "user", "content": "hello"}])
    assert isinstance(answer, ChatCompletion)
    (choice,) = answer.choices
    assert (choice.message.content, choice.finish_reason) == ("Hello to you.", "stop")
    assert answer.usage is not None and answer.usage.completion_tokens == 3
    assert answer.system_fingerprint == "talker", "who answered"


def test_a_stream_has_a_role_words_a_reason_and_the_counts(openai: OpenAI) -> None:
    messages: Any = HELLO
    stream = openai.chat.completions.create(
        model="voicebot", messages=messages, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert all(isinstance(chunk, ChatCompletionChunk) for chunk in chunks)
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert deltas[0].role == "assistant" and "".join(delta.content or "" for delta in deltas) == "Hello to you."
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens == 3


def test_a_member_can_be_asked_alone_and_the_models_are_listed(openai: OpenAI) -> None:
    messages: Any = HELLO
    assert [model.id for model in openai.models.list()] == ["voicebot", "talker", "poet"]
    assert openai.models.retrieve("poet").owned_by == "voicebot"
    answer = openai.chat.completions.create(model="poet", messages=messages)
    assert answer.choices[0].message.content == "Roses are red."


def test_a_clients_tool_is_called_and_its_result_phrased(tmp_path: Path) -> None:
    with serving(tmp_path, TOOL_CALL) as client:
        openai = OpenAI(base_url="http://localhost/v1", api_key="any", http_client=client, max_retries=0)
        messages: Any = [{"role": "user", "content": "where is my order"}]
        tools: Any = [LOOK_UP]
        first = openai.chat.completions.create(model="voicebot", messages=messages, tools=tools).choices[0]
        assert first.finish_reason == "tool_calls" and first.message.content is None
        (call,) = first.message.tool_calls or []
        assert call.type == "function" and json.loads(call.function.arguments) == {"order": 7}
        messages += [first.message.model_dump(), {"role": "tool", "tool_call_id": call.id, "content": "sent"}]
        second = openai.chat.completions.create(model="voicebot", messages=messages, tools=tools).choices[0]
        assert (second.message.content, second.finish_reason) == ("It was sent.", "stop")
        chunks = openai.chat.completions.create(model="voicebot", messages=messages[:1], tools=tools, stream=True)
        calls = [one for chunk in chunks for one in chunk.choices[0].delta.tool_calls or []]
        assert [(one.index, one.function and one.function.name) for one in calls] == [(0, "look_up")]


def test_a_tool_that_changes_something_for_callers_is_not_run_for_readers(tmp_path: Path) -> None:
    timer = 'engines.llm=scripted://?reply=Done.&tool={"name":"set_timer","arguments":{"duration":"ten minutes"}}'
    with serving(tmp_path, timer) as client:
        answer = client.post(CHAT, json={"messages": HELLO}).json()
        assert "cannot do" in answer["choices"][0]["message"]["content"]


def test_an_engine_that_fails_is_an_error_in_openais_form(tmp_path: Path) -> None:
    with serving(tmp_path, "engines.llm=scripted://?fail=unavailable") as client:
        error = error_of(client.post(CHAT, json={"messages": HELLO}), 503)
        assert error["type"] == "server_error" and error["code"] == "engine_error"
    with serving(
        tmp_path, "engines.llm=scripted://?reply=One+two+three.&fail=unavailable&fail_after_tokens=2"
    ) as client:
        stream = client.post(CHAT, json={"messages": HELLO, "stream": True}).text
        assert '"error"' in stream.splitlines()[-2] and "[DONE]" not in stream


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({}, 400, "messages"),
        ({"messages": []}, 400, "messages"),
        ({"messages": HELLO, "model": "gpt-7"}, 404, "model"),
        ({"messages": HELLO, "nonsense": 1}, 400, "nonsense"),
        ({"messages": HELLO, "n": 2}, 400, "n"),
        ({"messages": HELLO, "tool_choice": "required"}, 400, "tool_choice"),
        ({"messages": HELLO, "tools": [{"type": "function", "function": {"name": "no spaces"}}]}, 400,
         "tools[0].function.name"),
        ({"messages": [{"role": "robot", "content": "x"}]}, 400, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, 400, None),
        ({"messages": [{"role": "tool", "tool_call_id": "x", "content": "y"}]}, 400, "messages[0].tool_call_id"),
        ({"messages": HELLO, "response_format": {"type": "x"}}, 400, "response_format"),
    ],
)  # fmt: skip
def test_a_request_that_cannot_be_done_is_refused_by_name(
    client: TestClient, body: dict[str, Any], status: int, param: str | None
) -> None:
    error = error_of(client.post(CHAT, json=body), status)
    assert param is None or error["param"] == param


def test_no_json_and_too_much_of_it_are_refused(client: TestClient) -> None:
    assert error_of(client.post(CHAT, content="{"), 400)["code"] == "invalid_json"
    assert error_of(client.post(CHAT, content="[" * 5_000 + "]" * 5_000), 400)["code"] == "invalid_json"
    assert error_of(client.post(CHAT, content=b" " * 1_100_000), 413)["code"] == "too_long"


def test_half_a_character_is_no_reason_to_fail(client: TestClient) -> None:
    body = '{"messages": [{"role": "user", "content": "hello \\ud800"}]}'
    assert client.post(CHAT, content=body).json()["choices"][0]["message"]["content"] == "Hello to you."


def test_strangers_need_a_key(tmp_path: Path, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEBOT_API_KEYS", "right")
    assert error_of(client.get("/v1/models"), 401)["code"] == "invalid_api_key"
    assert error_of(client.post(CHAT, json={"messages": HELLO}), 401)["type"] == "authentication_error"
    assert client.get("/v1/models", headers={"authorization": "Bearer right"}).status_code == 200


def test_an_answer_is_in_the_ledger_with_who_why_and_how_much(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.db"
    with serving(tmp_path, f"ledger.url=sqlite:///{ledger}") as client:
        client.post(CHAT, json={"messages": HELLO})
    with sqlite3.connect(ledger) as books:
        (call,) = books.execute("select id, transport, end_reason from calls").fetchall()
        assert call[0].startswith("chat-") and call[1:] == ("chat", "answered")
        assert books.execute("select member, outcome, completion_tokens from attempts").fetchall() == [
            ("talker", "ok", 3)
        ]
    books.close()


@pytest.mark.parametrize(
    ("asked", "chat", "label", "kept"),
    [
        ("hello", "open", "open", ("hello", "Hello to you.")),
        ("keep this private: hello", "open", "local_only", (None, None)),
        ("hello", "redact", "redact", (None, None)),
    ],
)
def test_a_request_is_settled_when_it_is_answered_so_that_its_words_are_kept_where_they_may_be(
    tmp_path: Path, asked: str, chat: str, label: str, kept: tuple[str | None, str | None]
) -> None:
    ledger = tmp_path / "ledger.db"
    keeping = ("ledger.keep_texts=true", "privacy.default=open", f"privacy.transports={{chat = '{chat}'}}")
    with serving(tmp_path, f"ledger.url=sqlite:///{ledger}", f"ledger.journal_dir={tmp_path}", *keeping) as client:
        client.post(CHAT, json={"messages": [{"role": "user", "content": asked}]})
    with sqlite3.connect(ledger) as books:
        (row,) = books.execute("select label, nullif(heard, ''), nullif(said, '') from turns").fetchall()
    books.close()
    assert (row[0], row[1:]) == (label, kept)


@pytest.mark.filterwarnings("ignore:Duplicate Operation ID")
def test_the_schema_of_the_endpoint_is_at_docs(client: TestClient) -> None:
    described = client.get("/openapi.json").json()["paths"][CHAT]["post"]
    fields = described["requestBody"]["content"]["application/json"]["schema"]["properties"]
    assert {"messages", "tools", "response_format"} <= set(fields)
    assert client.get("/docs").status_code == 200
