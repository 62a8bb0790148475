"""What every driver of models behind HTTP must do, on a stand-in for each provider; and the form of each one's body."""

from __future__ import annotations

import json
import math
import threading

import pytest

from tests.engines.chat_server import ChatServer
from tests.engines.conftest import NEVER, Garage
from tests.engines.test_contract_llm import HELLO, HTTP, TOOLS, done_of, text_of
from voicebot.engines import registry
from voicebot.engines.base import LlmChunk, LlmDone, LlmRequest, Message, Sampling, ToolCall
from voicebot.engines.remote import Permit, RemoteLlm
from voicebot.errors import (
    ConfigError,
    EgressDenied,
    EngineBadOutput,
    EngineError,
    EngineOverloaded,
    EngineTimeout,
    EngineUnavailable,
)

CALL = ToolCall("call_1", "set_timer", {"minutes": 10})
KEYS = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}


@pytest.fixture(params=HTTP)
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_openai_sends_the_request_in_its_form_and_reads_usage(garage: Garage, server: ChatServer) -> None:
    engine = garage.loaded("llm", server.url("text", logprobs="true"))
    messages = [Message("assistant", tool_calls=(CALL,)), Message("tool", "ok", tool_call_id="call_1")]
    request = LlmRequest(messages, TOOLS, Sampling(temperature=0.5, max_tokens=7, seed=3, stop=("x",)))
    done = done_of(list(engine.generate(request, NEVER)))
    assert done == LlmDone("stop", 12, 8, 3, -1.0, -1.5)
    sent = server.requests[-1]
    assert sent["tools"] == TOOLS
    assert sent["messages"][0]["tool_calls"][0]["function"] == {"name": "set_timer", "arguments": '{"minutes": 10}'}
    assert sent["messages"][1]["tool_call_id"] == "call_1"
    wanted = {"temperature": 0.5, "max_tokens": 7, "seed": 3, "stop": ["x"], "stream": True, "logprobs": True}
    assert {name: sent[name] for name in wanted} == wanted


def test_it_joins_the_pieces_of_a_tool_call(scheme: str, garage: Garage, server: ChatServer) -> None:
    chunks = list(garage.loaded("llm", server.url("tool", scheme)).generate(HELLO, NEVER))
    assert chunks[0] == ToolCall("call_9", "set_timer", {"minutes": 10})
    assert done_of(chunks).finish_reason == "tool_calls"
    assert len(chunks) == 2


def test_it_reports_a_reply_cut_by_its_length(scheme: str, garage: Garage, server: ChatServer) -> None:
    assert (
        done_of(list(garage.loaded("llm", server.url("long", scheme)).generate(HELLO, NEVER))).finish_reason == "length"
    )


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("broken-tool", EngineBadOutput),
        ("cut", EngineBadOutput),
        ("garbage", EngineBadOutput),
        ("status-400", EngineBadOutput),
        ("status-401", EngineUnavailable),
        ("status-404", EngineUnavailable),
        ("status-429", EngineError),
        ("status-500", EngineUnavailable),
    ],
)
def test_it_translates_what_a_server_does_wrong(
    model: str, error: type[EngineError], scheme: str, garage: Garage, server: ChatServer
) -> None:
    engine = garage.loaded("llm", server.url(model, scheme))
    with pytest.raises(error, match=f"{model}|tool") as raised:
        list(engine.generate(HELLO, NEVER))
    assert type(raised.value) is (EngineOverloaded if model == "status-429" else error)


@pytest.mark.realtime
@pytest.mark.parametrize("model", ["stall-first", "stall-later"])
def test_it_lets_go_of_a_stalled_server_at_once_when_cancelled(
    model: str, scheme: str, garage: Garage, server: ChatServer
) -> None:
    engine = garage.loaded("llm", server.url(model, scheme))
    server.stalled.clear()
    server.disconnected.clear()
    cancel, heard = threading.Event(), threading.Event()

    def cancel_when_nothing_comes() -> None:
        assert server.stalled.wait(30)
        assert model == "stall-first" or heard.wait(30)
        cancel.set()

    canceller = threading.Thread(target=cancel_when_nothing_comes)
    canceller.start()
    chunks: list[LlmChunk] = []
    for chunk in engine.generate(HELLO, cancel):
        chunks.append(chunk)
        heard.set()
    canceller.join()
    assert text_of(chunks) == ("It" if model == "stall-later" else "")
    assert not any(isinstance(chunk, LlmDone) for chunk in chunks)
    assert server.disconnected.wait(10)
    assert text_of(list(garage.loaded("llm", server.url("text", scheme)).generate(HELLO, NEVER))) == "It is ten"


@pytest.mark.realtime
@pytest.mark.parametrize(("model", "limit"), [("stall-first", "first_token_s"), ("stall-later", "total_s")])
def test_it_gives_up_on_a_stalled_server_in_its_time(
    model: str, limit: str, scheme: str, garage: Garage, server: ChatServer
) -> None:
    engine = garage.loaded("llm", server.url(model, scheme, **{limit: 0.2}))
    with pytest.raises(EngineTimeout, match=limit):
        list(engine.generate(HELLO, NEVER))


def test_it_is_unavailable_where_nobody_listens_or_a_remote_has_no_key(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = registry.create("llm", f"{scheme}://127.0.0.1:1?model=x")
    nobody.load()
    with pytest.raises(EngineUnavailable, match="check the URL"):
        list(nobody.generate(HELLO, NEVER))
    nobody.close()
    monkeypatch.delenv("SOME_KEY", raising=False)
    with pytest.raises(EngineUnavailable, match="SOME_KEY"):
        registry.create("llm", f"{scheme}://api.example.com/v1?model=x&key_env=SOME_KEY").load()


def test_it_sends_the_very_bytes_that_were_permitted_and_only_with_a_permit(
    scheme: str, monkeypatch: pytest.MonkeyPatch, server: ChatServer
) -> None:
    monkeypatch.setenv(KEYS[scheme], "sesame")
    engine = registry.create("llm", server.url("text", scheme, locality="remote"))
    assert isinstance(engine, RemoteLlm)
    assert (engine.locality, engine.destination) == ("remote", f"127.0.0.1:{server.port}")
    engine.load()
    asked = len(server.bodies)
    with pytest.raises(EgressDenied):
        next(engine.generate(HELLO, NEVER))
    permit = Permit(engine.body(LlmRequest([Message("user", "caf\u00e9 \ud800")], TOOLS)))
    assert text_of(list(engine.send(permit, NEVER))) == "It is ten"
    assert server.bodies[asked:] == [permit.body]
    with pytest.raises(EgressDenied):
        next(engine.send(permit, NEVER))
    engine.close()


def test_it_names_its_destination_with_the_port(scheme: str) -> None:
    for target, destination in {
        "api.example.com": "api.example.com:443",
        "api.example.com:8443": "api.example.com:8443",
        "api.example.com/v1?tls=false": "api.example.com:80",
        "[2001:db8::1]:9/v1": "[2001:db8::1]:9",
    }.items():
        engine = registry.create("llm", f"{scheme}://{target}{'&' if '?' in target else '?'}model=x")
        assert isinstance(engine, RemoteLlm) and engine.destination == destination


@pytest.mark.parametrize("model", ["redirect", "status-400"])
def test_it_follows_no_redirect_and_repeats_nothing_that_a_server_says(
    model: str, scheme: str, garage: Garage, server: ChatServer
) -> None:
    asked = len(server.bodies)
    with pytest.raises(EngineError) as raised:
        list(garage.loaded("llm", server.url(model, scheme)).generate(HELLO, NEVER))
    assert len(server.bodies) == asked + 1
    assert "hello there" not in str(raised.value)


def test_it_takes_its_key_from_the_environment(
    scheme: str, monkeypatch: pytest.MonkeyPatch, server: ChatServer
) -> None:
    monkeypatch.setenv("SOME_KEY", "sesame")
    engine = registry.create("llm", server.url("text", scheme, key_env="SOME_KEY"))
    engine.load()
    list(engine.generate(HELLO, NEVER))
    engine.close()
    assert server.authorizations[-1] == "Bearer sesame"


def test_openai_sends_no_temperature_to_the_models_that_refuse_one() -> None:
    def body(url: str) -> dict[str, object]:
        engine = registry.create("llm", f"openai://{url}")
        assert isinstance(engine, RemoteLlm)
        sent: dict[str, object] = json.loads(engine.body(HELLO))
        return sent

    thinking = body("api.openai.com/v1?model=gpt-5-mini&effort=low")
    assert "temperature" not in thinking and "top_p" not in thinking
    assert (thinking["max_completion_tokens"], thinking["reasoning_effort"]) == (30, "low")
    assert body("api.openai.com/v1?model=gpt-4.1")["temperature"] == 0.0
    assert body("llm.example.com/v1?model=gpt-5-mini")["temperature"] == 0.0
    assert "temperature" not in body("llm.example.com/v1?model=x&sampling=false")


def test_anthropic_sends_the_request_in_its_form_and_reads_usage(garage: Garage, server: ChatServer) -> None:
    engine = garage.loaded("llm", server.url("text", "anthropic", effort="low"))
    messages = [
        Message("system", "Be brief."),
        Message("assistant", "Good morning."),
        Message("user", ""),
        Message("user", "set a timer"),
        Message("assistant", "Yes.", tool_calls=(CALL,)),
        Message("tool", "ok", tool_call_id="call_1"),
        Message("user", "and now"),
    ]
    request = LlmRequest(messages, TOOLS, Sampling(max_tokens=7, stop=("x",)), schema={"type": "object"})
    assert done_of(list(engine.generate(request, NEVER))) == LlmDone("stop", 12, 6, 3, math.nan, math.nan)
    sent = server.requests[-1]
    wanted = {"system": "Be brief.", "max_tokens": 7, "stop_sequences": ["x"], "stream": True}
    assert {name: sent[name] for name in wanted} == wanted
    assert sent["output_config"] == {"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}}
    assert sent["tools"][0]["input_schema"] == {"type": "object", "properties": {}}
    told = [(one["role"], [block.get("text", block["type"]) for block in one["content"]]) for one in sent["messages"]]
    assert told == [
        ("user", ["(nothing was said)"]),
        ("assistant", ["Good morning."]),
        ("user", ["set a timer"]),
        ("assistant", ["Yes.", "tool_use"]),
        ("user", ["tool_result", "and now"]),
    ]
    assert "temperature" not in sent


def test_anthropic_that_is_overloaded_in_the_middle_may_be_asked_again(garage: Garage, server: ChatServer) -> None:
    with pytest.raises(EngineOverloaded) as raised:
        list(garage.loaded("llm", server.url("overloaded", "anthropic")).generate(HELLO, NEVER))
    assert raised.value.retryable and "hello there" not in str(raised.value)


def test_anthropic_without_a_host_is_anthropics_own() -> None:
    engine = registry.create("llm", "anthropic://?model=x")
    assert isinstance(engine, RemoteLlm) and engine.destination == "api.anthropic.com:443"
    with pytest.raises(ConfigError, match="Port"):
        registry.create("llm", "anthropic://host:nine?model=x")
