"""Chat requests read: talks, wishes, and mutated requests of which none may do more than be refused."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from tests.transports.realtime.test_fuzz import mutated
from voicebot.api_errors import ApiError
from voicebot.chat_messages import read_request, read_talk, read_wishes
from voicebot.core.history import Line, ToolUse

CALL = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"order": 7}'}}
WHOLE: dict[str, Any] = {
    "model": "voicebot",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "where is"}, {"type": "text", "text": "my order"}]},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "sent"},
        {"role": "assistant", "content": "It was sent."},
        {"role": "user", "content": "thanks"},
    ],
    "temperature": 0.5,
    "max_tokens": 10,
    "stop": "x",
    "tools": [{"type": "function", "function": {"name": "look_up"}}],
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
    "user": "u",
}


def test_messages_become_the_lines_of_a_talk_by_turns() -> None:
    lines, instructions = read_talk(read_request(WHOLE))
    use = ToolUse("c1", "look_up", {"order": 7}, {"output": "sent"})
    assert lines == [
        Line("user", "where is my order", turn=1),
        Line("assistant", tool=use, turn=1),
        Line("tool", tool=use, turn=1),
        Line("assistant", "It was sent.", turn=1),
        Line("user", "thanks", turn=2),
    ]
    assert instructions == ["Be brief."]


def test_the_fields_become_wishes() -> None:
    wishes = read_wishes(read_request(WHOLE), ["Be brief.", "", "In rhyme."])
    assert wishes.instructions == "Be brief.\n\nIn rhyme." and wishes.stop == ("x",) and wishes.member == ""
    assert (wishes.temperature, wishes.max_tokens, wishes.schema) == (0.5, 10, {"type": "object"})
    assert wishes.tool_names == {"look_up"} and wishes.looks_only
    assert read_wishes(read_request(WHOLE | {"model": "poet", "tool_choice": "none"}), []).tools == ()


@pytest.mark.parametrize("seed", range(4))
def test_a_mutated_request_is_read_or_refused(seed: int) -> None:
    rng = Random(seed)
    read = 0
    for _ in range(500):
        request = json.loads(json.dumps(mutated(WHOLE, rng)))
        try:
            asked = read_request(request)
            _, instructions = read_talk(asked)
            read_wishes(asked, instructions)
            read += 1
        except ApiError as error:
            assert error.status == 400 and str(error)
    assert read > 3, "some are still whole"
