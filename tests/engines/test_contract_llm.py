"""What every language model driver must do. llama.cpp runs a tiny GGUF over bytes, whose replies are noise."""

from __future__ import annotations

import json
import math
import threading
from dataclasses import replace
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
from voicebot.errors import (
    EngineBadOutput,
    EngineUnavailable,
)

LLAMA = "llama://tiny.gguf?ctx=1024&threads=1"
SCRIPTED = "scripted://?reply=It+is+ten+past+four."
TOOLS = [{"type": "function", "function": {"name": "set_timer", "parameters": {"type": "object", "properties": {}}}}]
HELLO = LlmRequest([Message("user", "hello there")], sampling=Sampling(max_tokens=30))


HTTP = ("openai", "anthropic")


@pytest.fixture(params=[LLAMA, SCRIPTED, *HTTP])
def llm(request: pytest.FixtureRequest, garage: Garage, server: ChatServer) -> LlmEngine:
    return garage.loaded("llm", server.url("text", request.param) if request.param in HTTP else request.param)


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


@pytest.mark.parametrize("url", [LLAMA, SCRIPTED, *HTTP])
def test_loading_and_closing_twice_is_safe_and_it_works_again_after(url: str, models: Path, server: ChatServer) -> None:
    engine = registry.create("llm", server.url("text", url) if url in HTTP else url, models)
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


def test_llama_reads_a_prompt_ahead_when_no_token_is_asked_for(garage: Garage) -> None:
    """The words so far of a caller who is still speaking: the whole sentence then starts from them."""
    engine = garage.loaded("llm", LLAMA)
    so_far, whole = "when do you open on", "when do you open on sundays and on holidays"
    ahead = LlmRequest([Message("user", so_far)], sampling=Sampling(max_tokens=0), session="ahead")
    assert [done.completion_tokens for done in engine.generate(ahead, NEVER) if isinstance(done, LlmDone)] == [0]
    request = LlmRequest([Message("user", whole)], sampling=Sampling(max_tokens=5), session="ahead")
    fresh = list(engine.generate(replace(request, session="other"), NEVER))
    asked = list(engine.generate(request, NEVER))
    assert done_of(fresh).cached_tokens >= len(so_far)
    assert text_of(asked) == text_of(fresh)


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
