"""What every language model driver must do. llama.cpp runs a tiny GGUF over bytes, whose replies are noise."""

from __future__ import annotations

import json
import math
import threading
from pathlib import Path

import numpy as np
import pytest

from tests.engines import tiny
from tests.engines.chat_server import ChatServer
from tests.engines.conftest import ALREADY, NEVER, TALKER, CancelAfter, Garage, in_another_thread
from voicebot.engines import registry
from voicebot.engines.base import (
    LlmChunk,
    LlmDone,
    LlmEngine,
    LlmRequest,
    Message,
    Sampling,
    ScoringLlm,
    TextDelta,
    ToolCall,
)
from voicebot.engines.remote import Permit, RemoteLlm
from voicebot.errors import (
    EgressDenied,
    EngineBadOutput,
    EngineError,
    EngineOverloaded,
    EngineTimeout,
    EngineUnavailable,
)

LLAMA = "llama://tiny.gguf?ctx=1024&threads=1"
SCRIPTED = "scripted://?reply=It+is+ten+past+four."
TOOLS = [{"type": "function", "function": {"name": "set_timer", "parameters": {"type": "object", "properties": {}}}}]
HELLO = LlmRequest([Message("user", "hello there")], sampling=Sampling(max_tokens=30))


@pytest.fixture(params=[LLAMA, SCRIPTED, "openai"])
def llm(request: pytest.FixtureRequest, garage: Garage, server: ChatServer) -> LlmEngine:
    return garage.loaded("llm", server.url("text") if request.param == "openai" else request.param)


def text_of(chunks: list[LlmChunk]) -> str:
    return "".join(chunk.text for chunk in chunks if isinstance(chunk, TextDelta))


def done_of(chunks: list[LlmChunk]) -> LlmDone:
    assert isinstance(chunks[-1], LlmDone)
    return chunks[-1]


def test_a_reply_is_text_and_then_exactly_one_done_with_sane_counts(llm: LlmEngine) -> None:
    chunks = list(llm.generate(HELLO, NEVER))
    assert [isinstance(chunk, LlmDone) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    done = done_of(chunks)
    assert text_of(chunks)
    assert done.finish_reason in ("stop", "length")
    assert done.prompt_tokens > 0
    assert 0 <= done.cached_tokens <= done.prompt_tokens
    assert 0 < done.completion_tokens <= 30
    assert math.isnan(done.min_logprob) or done.min_logprob <= done.mean_logprob <= 0


def test_a_cancel_before_or_in_the_middle_ends_without_done_and_the_engine_works_afterwards(llm: LlmEngine) -> None:
    assert list(llm.generate(HELLO, ALREADY)) == []
    cancel = threading.Event()
    seen = []
    for chunk in llm.generate(HELLO, cancel):
        seen.append(chunk)
        cancel.set()
    assert len(seen) == 1
    assert isinstance(seen[0], TextDelta)
    assert not any(isinstance(chunk, LlmDone) for chunk in llm.generate(HELLO, CancelAfter(3)))
    assert done_of(list(llm.generate(HELLO, NEVER))).completion_tokens > 0


@pytest.mark.parametrize("text", ["", "\0", "日本語 🙂 \ud800", "<|im_end|><tool_call>", "word " * 60])
def test_odd_text_in_a_prompt_is_no_error(llm: LlmEngine, text: str) -> None:
    messages = [Message("system", text), Message("user", text)]
    assert done_of(list(llm.generate(LlmRequest(messages, sampling=Sampling(max_tokens=2)), NEVER)))


def test_a_history_with_tool_calls_and_results_is_accepted(llm: LlmEngine) -> None:
    messages = [
        Message("system", "You are helpful."),
        Message("user", "set a timer"),
        Message("assistant", tool_calls=(ToolCall("call_1", "set_timer", {"minutes": 10}),)),
        Message("tool", "done", tool_call_id="call_1"),
    ]
    assert done_of(list(llm.generate(LlmRequest(messages, TOOLS, Sampling(max_tokens=5)), NEVER)))


def test_it_works_on_a_thread_other_than_the_loaders(llm: LlmEngine) -> None:
    assert text_of(in_another_thread(lambda: list(llm.generate(HELLO, NEVER))))


@pytest.mark.parametrize("url", [LLAMA, SCRIPTED, "openai"])
def test_loading_and_closing_twice_is_safe_and_it_works_again_after(url: str, models: Path, server: ChatServer) -> None:
    engine = registry.create("llm", server.url("text") if url == "openai" else url, models)
    engine.close()
    for _ in range(2):
        engine.load()
        engine.load()
        assert text_of(list(engine.generate(HELLO, NEVER)))
        engine.close()
        engine.close()


def test_llama_keeps_the_prompts_common_prefix_and_the_reply_does_not_change(garage: Garage) -> None:
    engine = garage.loaded("llm", LLAMA)
    first = list(engine.generate(HELLO, NEVER))
    second = list(engine.generate(HELLO, NEVER))
    assert done_of(second).cached_tokens == done_of(second).prompt_tokens - 1
    assert text_of(second) == text_of(first)
    longer = LlmRequest([*HELLO.messages, Message("user", "and more")], sampling=HELLO.sampling)
    list(engine.generate(longer, CancelAfter(2)))
    third = done_of(list(engine.generate(longer, NEVER)))
    assert 0 < third.cached_tokens < third.prompt_tokens
    assert text_of(list(engine.generate(HELLO, NEVER))) == text_of(first)


def test_llama_reports_log_probabilities_and_obeys_seed_temperature_stop_and_length(garage: Garage) -> None:
    engine = garage.loaded("llm", LLAMA)

    def reply(**sampling: object) -> list[LlmChunk]:
        chosen = Sampling(**{"max_tokens": 12, **sampling})  # type: ignore[arg-type]
        return list(engine.generate(LlmRequest(HELLO.messages, sampling=chosen), NEVER))

    greedy = reply()
    assert done_of(greedy).min_logprob < 0
    assert text_of(reply(temperature=2.0, seed=1)) == text_of(reply(temperature=2.0, seed=1))
    assert text_of(reply(temperature=2.0, seed=1)) != text_of(reply(temperature=2.0, seed=2))
    assert text_of(reply(temperature=2.0, top_p=1e-6)) == text_of(greedy)
    assert done_of(reply(max_tokens=2)).completion_tokens == 2
    assert done_of(reply(max_tokens=2)).finish_reason == "length"
    middle = text_of(greedy)[2]
    stopped = reply(stop=(middle,))
    assert text_of(stopped) == text_of(greedy).partition(middle)[0]
    assert done_of(stopped).finish_reason == "stop"


def test_llama_refuses_a_prompt_longer_than_its_context_and_goes_on(garage: Garage) -> None:
    engine = garage.loaded("llm", LLAMA)
    with pytest.raises(EngineBadOutput, match="ctx=1024"):
        list(engine.generate(LlmRequest([Message("user", "x" * 2000)]), NEVER))
    assert text_of(list(engine.generate(HELLO, NEVER)))


def test_llama_says_what_is_wrong_with_a_file_that_it_cannot_use(models: Path, tmp_path: Path) -> None:
    truncated = tmp_path / "truncated.gguf"
    truncated.write_bytes((models / "tiny.gguf").read_bytes()[:20_000])
    (tmp_path / "text.gguf").write_text("not a model")
    bad_template = tiny.write_gguf(tmp_path / "bad_template.gguf", chat_template="{% if %}")
    cases = {
        tmp_path / "missing.gguf": "no GGUF file",
        truncated: "tensor",
        tmp_path / "text.gguf": "magic",
        models / "no_template.gguf": "no chat template",
        bad_template: "Jinja",
    }
    for path, reason in cases.items():
        engine = registry.create("llm", f"llama://{path}")
        with pytest.raises(EngineUnavailable, match=reason) as raised:
            engine.load()
        assert path.name in str(raised.value)
        engine.close()


def test_llama_reports_a_template_that_rejects_the_prompt(tmp_path: Path) -> None:
    template = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}hello"
    path = tiny.write_gguf(tmp_path / "picky.gguf", chat_template=template)
    engine = registry.create("llm", f"llama://{path}")
    engine.load()
    with pytest.raises(EngineBadOutput, match="no system role"):
        list(engine.generate(LlmRequest([Message("system", "x")]), NEVER))
    engine.close()


SCHEMA = {
    "type": "object",
    "properties": {
        "intent": {"enum": ["timer", "weather"]},
        "minutes": {"type": "integer"},
        "sure": {"type": "boolean"},
    },
    "required": ["intent", "minutes", "sure"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_llama_holds_a_reply_to_its_schema_even_where_the_model_talks_noise(garage: Garage, temperature: float) -> None:
    engine = garage.loaded("llm", LLAMA)
    sampling = Sampling(max_tokens=300, temperature=temperature, seed=4)
    chunks = list(engine.generate(LlmRequest(HELLO.messages, TOOLS, sampling, schema=SCHEMA), NEVER))
    answer = json.loads(text_of(chunks))
    assert done_of(chunks).finish_reason == "stop"
    assert set(answer) == {"intent", "minutes", "sure"}
    assert answer["intent"] in ("timer", "weather")
    assert (type(answer["minutes"]), type(answer["sure"])) == (int, bool)
    assert text_of(list(engine.generate(HELLO, NEVER)))[:1] != "{", "the next reply is free again"


@pytest.mark.parametrize("schema", [{"type": "nonsense"}, {"$ref": "#/nowhere"}])
def test_llama_refuses_a_schema_that_it_cannot_hold_to(garage: Garage, schema: dict[str, str]) -> None:
    engine = garage.loaded("llm", LLAMA)
    with pytest.raises(EngineBadOutput, match="JSON schema.*no"):
        list(engine.generate(LlmRequest(HELLO.messages, schema=schema), NEVER))
    assert text_of(list(engine.generate(HELLO, NEVER)))


def test_llama_scores_choices_as_it_would_have_said_them(garage: Garage) -> None:
    engine = garage.loaded("llm", LLAMA)
    assert isinstance(engine, ScoringLlm)
    said = []
    for word in ("timer", "weather"):  # the schema leaves one answer, whose log-probabilities are the model's own
        limit = Sampling(max_tokens=len(word) + 2)
        chunks = list(engine.generate(LlmRequest(HELLO.messages, sampling=limit, schema={"const": word}), NEVER))
        assert text_of(chunks) == f'"{word}"'
        said.append(done_of(chunks))
    timer, weather, start = engine.score(HELLO, ['"timer"', '"weather"', '"ti'], NEVER)
    assert [len(timer.tokens), len(weather.tokens)] == [done.completion_tokens for done in said]
    assert [timer.mean, weather.mean] == pytest.approx([done.mean_logprob for done in said], abs=1e-3)
    assert [min(timer.tokens), min(weather.tokens)] == pytest.approx([done.min_logprob for done in said], abs=1e-3)
    assert start.tokens == pytest.approx(timer.tokens[:3], abs=1e-3)
    assert timer.total == pytest.approx(7 * timer.mean)


def test_llama_scoring_can_be_cancelled_and_refuses_what_has_no_tokens(garage: Garage) -> None:
    engine = garage.loaded("llm", LLAMA)
    assert isinstance(engine, ScoringLlm)
    assert list(engine.score(HELLO, ["yes", "no"], ALREADY)) == []
    with pytest.raises(EngineBadOutput, match="has no tokens"):
        list(engine.score(HELLO, ["yes", ""], NEVER))
    assert len(list(engine.score(HELLO, ["yes", "no"], NEVER))) == 2


@pytest.mark.parametrize("url", [SCRIPTED, "openai"])
def test_drivers_that_cannot_score_do_not_claim_to(url: str, garage: Garage, server: ChatServer) -> None:
    engine = garage.loaded("llm", server.url("text") if url == "openai" else url)
    assert not isinstance(engine, ScoringLlm)


def test_openai_asks_for_the_schema_and_a_scripted_reply_must_at_least_be_json(
    garage: Garage, server: ChatServer
) -> None:
    request = LlmRequest(HELLO.messages, schema=SCHEMA)
    list(garage.loaded("llm", server.url("text")).generate(request, NEVER))
    form = {"name": "answer", "schema": SCHEMA, "strict": True}
    assert server.requests[-1]["response_format"] == {"type": "json_schema", "json_schema": form}
    with pytest.raises(EngineBadOutput, match="declare a reply that fits"):
        list(garage.loaded("llm", SCRIPTED).generate(request, NEVER))
    fitting = garage.loaded("llm", 'scripted://?reply={"intent":"timer","minutes":3,"sure":true}')
    assert json.loads(text_of(list(fitting.generate(request, NEVER))))["minutes"] == 3


@pytest.mark.skipif(not TALKER.is_file(), reason="models/talker/talker.gguf has not been trained yet")
def test_the_talker_shipped_in_the_repository_answers(garage: Garage) -> None:
    engine = garage.loaded("llm", f"llama://{TALKER}?ctx=1024")
    chunks = list(engine.generate(LlmRequest([Message("user", "hello")], TOOLS), NEVER))
    assert done_of(chunks).finish_reason == "stop"
    assert text_of(chunks).isprintable()


def test_openai_sends_the_request_in_its_form_and_reads_usage(garage: Garage, server: ChatServer) -> None:
    engine = garage.loaded("llm", server.url("text", logprobs="true"))
    call = ToolCall("call_1", "set_timer", {"minutes": 10})
    messages = [Message("assistant", tool_calls=(call,)), Message("tool", "ok", tool_call_id="call_1")]
    request = LlmRequest(messages, TOOLS, Sampling(temperature=0.5, max_tokens=7, seed=3, stop=("x",)))
    done = done_of(list(engine.generate(request, NEVER)))
    assert done == LlmDone("stop", 12, 8, 3, -1.0, -1.5)
    sent = server.requests[-1]
    assert sent["tools"] == TOOLS
    assert sent["messages"][0]["tool_calls"][0]["function"] == {"name": "set_timer", "arguments": '{"minutes": 10}'}
    assert sent["messages"][1]["tool_call_id"] == "call_1"
    wanted = {"temperature": 0.5, "max_tokens": 7, "seed": 3, "stop": ["x"], "stream": True, "logprobs": True}
    assert {name: sent[name] for name in wanted} == wanted


def test_openai_joins_the_pieces_of_a_tool_call(garage: Garage, server: ChatServer) -> None:
    chunks = list(garage.loaded("llm", server.url("tool")).generate(HELLO, NEVER))
    assert chunks[0] == ToolCall("call_9", "set_timer", {"minutes": 10})
    assert done_of(chunks).finish_reason == "tool_calls"
    assert len(chunks) == 2


def test_openai_reports_a_reply_cut_by_its_length(garage: Garage, server: ChatServer) -> None:
    assert done_of(list(garage.loaded("llm", server.url("long")).generate(HELLO, NEVER))).finish_reason == "length"


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
def test_openai_translates_what_a_server_does_wrong(
    model: str, error: type[EngineError], garage: Garage, server: ChatServer
) -> None:
    engine = garage.loaded("llm", server.url(model))
    with pytest.raises(error, match=f"{model}|tool") as raised:
        list(engine.generate(HELLO, NEVER))
    assert type(raised.value) is (EngineOverloaded if model == "status-429" else error)


@pytest.mark.realtime
@pytest.mark.parametrize("model", ["stall-first", "stall-later"])
def test_openai_lets_go_of_a_stalled_server_at_once_when_cancelled(
    model: str, garage: Garage, server: ChatServer
) -> None:
    engine = garage.loaded("llm", server.url(model))
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
    assert text_of(list(garage.loaded("llm", server.url("text")).generate(HELLO, NEVER))) == "It is ten"


@pytest.mark.realtime
@pytest.mark.parametrize(("model", "limit"), [("stall-first", "first_token_s"), ("stall-later", "total_s")])
def test_openai_gives_up_on_a_stalled_server_in_its_time(
    model: str, limit: str, garage: Garage, server: ChatServer
) -> None:
    engine = garage.loaded("llm", server.url(model, **{limit: 0.2}))
    with pytest.raises(EngineTimeout, match=limit):
        list(engine.generate(HELLO, NEVER))


def test_openai_is_unavailable_where_nobody_listens_or_a_remote_has_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = registry.create("llm", "openai://127.0.0.1:1/v1?model=x")
    nobody.load()
    with pytest.raises(EngineUnavailable, match="check the URL"):
        list(nobody.generate(HELLO, NEVER))
    nobody.close()
    monkeypatch.delenv("SOME_KEY", raising=False)
    with pytest.raises(EngineUnavailable, match="SOME_KEY"):
        registry.create("llm", "openai://api.example.com/v1?model=x&key_env=SOME_KEY").load()


def test_openai_sends_the_very_bytes_that_were_permitted_and_only_with_a_permit(
    monkeypatch: pytest.MonkeyPatch, server: ChatServer
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sesame")
    engine = registry.create("llm", server.url("text", locality="remote"))
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


def test_openai_names_its_destination_with_the_port() -> None:
    for target, destination in {
        "api.example.com": "api.example.com:443",
        "api.example.com:8443": "api.example.com:8443",
        "api.example.com/v1?tls=false": "api.example.com:80",
        "[2001:db8::1]:9/v1": "[2001:db8::1]:9",
    }.items():
        engine = registry.create("llm", f"openai://{target}{'&' if '?' in target else '?'}model=x")
        assert isinstance(engine, RemoteLlm) and engine.destination == destination


@pytest.mark.parametrize("model", ["redirect", "status-400"])
def test_openai_follows_no_redirect_and_repeats_nothing_that_a_server_says(
    model: str, garage: Garage, server: ChatServer
) -> None:
    asked = len(server.bodies)
    with pytest.raises(EngineError) as raised:
        list(garage.loaded("llm", server.url(model)).generate(HELLO, NEVER))
    assert len(server.bodies) == asked + 1
    assert "hello there" not in str(raised.value)


def test_openai_takes_its_key_from_the_environment(monkeypatch: pytest.MonkeyPatch, server: ChatServer) -> None:
    monkeypatch.setenv("SOME_KEY", "sesame")
    engine = registry.create("llm", server.url("text", key_env="SOME_KEY"))
    engine.load()
    list(engine.generate(HELLO, NEVER))
    engine.close()
    assert server.authorizations[-1] == "Bearer sesame"


def test_a_scripted_model_calls_its_tool_and_speaks_after_the_result(garage: Garage) -> None:
    engine = garage.loaded("llm", 'scripted://?tool={"name":"clock","arguments":{"zone":"utc"}}&reply=It+is+ten.')
    asked = list(engine.generate(HELLO, NEVER))
    assert asked[0] == ToolCall("call_1", "clock", {"zone": "utc"})
    assert done_of(asked).finish_reason == "tool_calls"
    answered = list(engine.generate(LlmRequest([Message("tool", "10:00", tool_call_id="call_1")]), NEVER))
    assert text_of(answered) == "It is ten."


def test_a_scripted_model_fails_and_reports_confidence_as_declared(garage: Garage) -> None:
    engine = garage.loaded(
        "llm", "scripted://?reply=one+two&fail=unavailable&fail_nth=2&fail_after_tokens=1&logprob=-2"
    )
    assert done_of(list(engine.generate(HELLO, NEVER))).min_logprob == -2
    reply = engine.generate(HELLO, NEVER)
    assert next(iter(reply)) == TextDelta("one")
    with pytest.raises(EngineUnavailable, match="request 2"):
        next(iter(reply))


@pytest.mark.realtime
def test_a_scripted_delay_ends_at_once_when_cancelled() -> None:
    llm = registry.create("llm", "scripted://?first_token_ms=60000")
    stt = registry.create("stt", "scripted://?delay_ms=60000")
    cancel = threading.Event()
    timer = threading.Timer(0.1, cancel.set)
    timer.start()
    assert in_another_thread(lambda: list(llm.generate(HELLO, cancel))) == []
    assert in_another_thread(lambda: stt.transcribe(np.zeros(100, dtype=np.int16), cancel)).text == ""
    timer.join()
