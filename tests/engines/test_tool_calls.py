"""The reply parser: what is spoken, what is a tool call, and what is dropped, however the text is cut into pieces."""

from __future__ import annotations

import pytest

from voicebot.engines.base import TextDelta, ToolCall
from voicebot.engines.tool_calls import ReplyParser, held_back
from voicebot.errors import EngineBadOutput

TIMER = '{"name": "set_timer", "arguments": {"minutes": 10}}'
LLAMA3 = '{"name": "set_timer", "parameters": {"minutes": 10}}'
CALL = ToolCall("call_1", "set_timer", {"minutes": 10})


def parse(reply: str, size: int = 1, **options: object) -> tuple[str, list[ToolCall]]:
    """The speech and the calls of a reply that comes in pieces of `size` characters."""
    parser = ReplyParser(**{"tools": True, **options})  # type: ignore[arg-type]
    chunks: list[TextDelta | ToolCall] = []
    for start in range(0, len(reply), size):
        chunks += parser.feed(reply[start : start + size])
    chunks += parser.finish()
    calls = [chunk for chunk in chunks if isinstance(chunk, ToolCall)]
    assert parser.calls == len(calls)
    return "".join(chunk.text for chunk in chunks if isinstance(chunk, TextDelta)), calls


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    ("reply", "speech", "calls"),
    [
        ("It is ten.", "It is ten.", []),
        ("a < b <tool> <thinking", "a < b <tool> <thinking", []),
        ("{curly} talk", "{curly} talk", []),
        ('{"named": 1}', '{"named": 1}', []),
        ("", "", []),
        ("  \n", "", []),
        (f"<tool_call>\n{TIMER}\n</tool_call>", "", [CALL]),
        (f"One moment.\n<tool_call>{TIMER}</tool_call>", "One moment.", [CALL]),
        (f"<tool_call>{TIMER}", "", [CALL]),
        (
            f"<tool_call>{TIMER}</tool_call>\n<tool_call>{TIMER}</tool_call>",
            "",
            [CALL, ToolCall("call_2", "set_timer", {"minutes": 10})],
        ),
        ('<tool_call>{"name": "clock"}</tool_call>', "", [ToolCall("call_1", "clock", {})]),
        ('<tool_call>{"name": "t", "arguments": "{\\"a\\": 1}"}</tool_call>', "", [ToolCall("call_1", "t", {"a": 1})]),
        (LLAMA3, "", [CALL]),
        (f"<|python_tag|>{LLAMA3}", "", [CALL]),
        (f"{LLAMA3}; {LLAMA3}", "", [CALL, ToolCall("call_2", "set_timer", {"minutes": 10})]),
        ("<think>\nwell\n</think>\n\nIt is ten.", "It is ten.", []),
        (f"<think>use a tool</think><tool_call>{TIMER}</tool_call>", "", [CALL]),
        ("<think>never closed", "", []),
    ],
)
def test_a_reply_is_parsed_alike_however_it_is_cut(reply: str, speech: str, calls: list[ToolCall], size: int) -> None:
    assert parse(reply, size) == (speech, calls)


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize(
    "reply",
    [
        "<tool_call>{broken</tool_call>",
        '<tool_call>{"name": "set_timer", "arguments": {"min',
        '<tool_call>{"arguments": {}}</tool_call>',
        '<tool_call>{"name": "t", "arguments": 3}</tool_call>',
        '<tool_call>{"name": "t", "arguments": "{nonsense"}</tool_call>',
        "<tool_call>[]</tool_call>",
        '{"name": "set_timer", "parameters": {',
        "<|python_tag|>print(1)",
    ],
)
def test_a_broken_tool_call_is_bad_output_and_never_spoken(reply: str, size: int) -> None:
    with pytest.raises(EngineBadOutput, match="tool"):
        parse(reply, size)


def test_ordinary_text_waits_only_while_it_may_begin_a_marker() -> None:
    parser = ReplyParser(tools=True)
    assert list(parser.feed("Hello <to")) == [TextDelta("Hello")]
    assert list(parser.feed("es")) == [TextDelta(" <toes")]
    assert list(parser.finish()) == []


def test_without_tools_a_json_object_is_speech() -> None:
    assert parse(LLAMA3, tools=False) == (LLAMA3, [])


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_stop_string_ends_the_reply_and_is_not_spoken(size: int) -> None:
    assert parse("It is ten.\nUser: hi", size, stop=("\nUser:", "")) == ("It is ten.", [])


def test_a_span_of_thought_that_the_prompt_opened_is_dropped() -> None:
    assert parse("so...</think>It is ten.", thinking=True) == ("It is ten.", [])


def test_held_back_is_the_longest_beginning_of_a_marker_at_the_end() -> None:
    assert held_back("abc<th", ["<think>", "<tool_call>"]) == 3
    assert held_back("abc<think>", ["<think>"]) == 0
    assert held_back("abc", []) == 0
