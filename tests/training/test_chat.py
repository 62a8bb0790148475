"""The chat form: the Jinja template in the GGUF writes exactly what training read."""

from __future__ import annotations

from random import Random
from typing import Any

import jinja2

from voicebot.engines.base import Message
from voicebot.engines.tool_calls import parse_call
from voicebot.evals.talker import messages_of
from voicebot.training.chat import FIXED_TOKENS, TEMPLATE, Turn, call_text, pieces
from voicebot.training.generate import Generator

CHAT = jinja2.Environment().from_string(TEMPLATE)


def rendered(messages: list[dict[str, Any]]) -> str:
    return CHAT.render(messages=messages, add_generation_prompt=True, tools=None)


def as_openai(message: Message) -> dict[str, Any]:
    calls = [{"function": {"name": call.name, "arguments": call.arguments}} for call in message.tool_calls]
    return {"role": message.role, "content": message.text, "tool_calls": calls}


def test_the_template_writes_what_training_read() -> None:
    generator = Generator(Random(1))
    for _ in range(200):
        turns = generator.dialogue()[-4:]
        trained = "".join(text for text, _ in pieces(turns))
        prompt = rendered([as_openai(message) for message in messages_of(turns)])
        assert trained.startswith(prompt)
        assert prompt.endswith("<|end|><|assistant|>")


def test_only_the_last_four_exchanges_are_kept() -> None:
    messages = [{"role": "system", "content": "Be brief."}]
    for number in range(6):
        messages += [{"role": "user", "content": f"u{number}"}, {"role": "assistant", "content": f"a{number}"}]
    text = rendered([*messages, {"role": "user", "content": "last"}])
    assert "u2" not in text
    assert text.startswith("<|user|> u3<|end|><|assistant|>a3<|end|>")


def test_any_openai_message_list_renders() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "get_time", "arguments": {"place": "luke's <rome>"}}}
    text = rendered(
        [
            {"role": "user", "content": [{"type": "text", "text": "what time"}, {"type": "text", "text": "is it"}]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "content": "{}", "tool_call_id": "1"},
        ]
    )
    assert text == (
        "<|user|> what time is it<|end|><|assistant|>"
        + call_text("get_time", (("place", "luke's <rome>"),))
        + "<|end|><|assistant|>"
    )


def test_a_call_is_json_in_its_tags_and_is_read_back() -> None:
    text = call_text("convert_units", (("value", 'a "big"'), ("from", "mile"), ("to", "feet")))
    call = parse_call(text.split("<tool_call>")[1].split("</tool_call>")[0], "1")
    assert call.name == "convert_units"
    assert {key: value.strip() for key, value in call.arguments.items()} == {
        "value": 'a "big"',
        "from": "mile",
        "to": "feet",
    }


def test_what_the_caller_typed_is_read_as_a_recogniser_writes_it() -> None:
    typed = [{"role": "user", "content": "What\u2019s 2.5 miles in KM?!"}]
    assert rendered(typed) == "<|user|> what's 2.5 miles in km<|end|><|assistant|>"


def test_learned_pieces_are_only_what_the_model_writes() -> None:
    turns = [Turn("hello", "Hello!"), Turn("what time is it", "It is noon.", "get_time")]
    learned = [text for text, learn in pieces(turns) if learn]
    assert learned == ["Hello!<|end|>", call_text("get_time", ()) + "<|end|>"]


def test_no_fixed_token_is_longer_than_llama_cpp_python_can_print() -> None:
    assert max(len(text.encode()) for text in FIXED_TOKENS) <= 32
