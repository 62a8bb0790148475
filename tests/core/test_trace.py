"""Traces: one line for each event and command, and the replay that finds the first difference."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.core.script import Script
from voicebot.core import events as ev
from voicebot.core.settings import TurnSettings
from voicebot.core.trace import Difference, command_line, end_line, event_line, header_line, replay
from voicebot.errors import ProtocolError


def a_call() -> list[str]:
    talk = Script()
    talk.ask("what time is it")
    talk.feed(ev.ToolFinished(3, "t1", "clock", {"zone": "é"}, {"time": 5}, "Five.", acting=False))
    talk.answer("Five.", 500)
    talk.finish()
    talk.feed(ev.CallEnded("hung up"))
    return [*talk.trace, end_line("hung up", dict(talk.machine.counts))]


def test_lines_are_short_json_objects() -> None:
    assert event_line(ev.WindowHeard(512, 0.5, 7), 1.25) == '{"w":[1.25,512,0.5,7]}'
    assert event_line(ev.TextTyped("é"), 2.0) == '{"now":2.0,"event":"TextTyped","text":"é"}'
    assert command_line(ev.StartPlayout(3)) == '{"command":"StartPlayout","reply":3}'
    assert end_line("hung up", {"drafts": 1}) == '{"end":"hung up","counts":{"drafts":1}}'
    header = json.loads(header_line("c1", "webrtc", TurnSettings(start_ms=64), version="1"))
    assert (header["trace"], header["call_id"], header["version"], header["settings"]["start_ms"]) == (1, "c1", "1", 64)


def test_a_call_replays_identically() -> None:
    assert replay(a_call()) is None
    assert replay(f"{line}\n" for line in a_call()) is None


def test_a_trace_may_end_anywhere_even_in_mid_line() -> None:
    lines = a_call()
    for end in range(1, len(lines)):
        assert replay(lines[:end]) is None
    assert replay([*lines[:-3], lines[-3][:9]]) is None


@pytest.mark.parametrize("change", ["altered", "left out", "added"])
def test_a_tampered_trace_shows_its_first_difference(change: str) -> None:
    lines = a_call()
    at = next(i for i, line in enumerate(lines) if "BeginReply" in line)
    event = max(i for i in range(at) if '"command"' not in lines[i])
    match change:
        case "altered":
            lines[at] = lines[at].replace("time", "clock")
        case "left out":
            del lines[at]
        case _:
            lines.insert(at, lines[at])
    difference = replay(lines)
    assert isinstance(difference, Difference)
    assert (difference.line, difference.event) == (event + 1, "DraftTranscribed")
    assert difference.recorded != difference.replayed
    assert any("BeginReply" in line for line in difference.replayed)


def test_a_wrong_command_in_a_trace_that_was_cut_short_is_a_difference() -> None:
    lines = [*a_call()[:2], command_line(ev.EndCall("x"))]
    difference = replay(lines)
    assert difference is not None and difference.recorded == ['{"command":"EndCall","reason":"x"}']


@pytest.mark.parametrize(
    ("number", "line", "reason"),
    [
        (1, "garbage", "line 1 is not JSON"),
        (1, "[]", "line 1 is not an object"),
        (1, "{}", "schema None is not 1"),
        (1, '{"trace": 2}', "schema 2 is not 1"),
        (1, '{"trace": 1}', "settings do not fit"),
        (1, '{"trace": 1, "settings": []}', "settings do not fit"),
        (1, '{"trace": 1, "settings": {"new_ms": 1}}', "settings do not fit"),
        (1, '{"trace": 1, "settings": {"start_ms": "x"}}', "settings do not fit.*start_ms is 'x', not int"),
        (3, "garbage", "line 3 is not JSON"),
        (3, '"text"', "line 3 is not an object"),
        (2, '{"command": "EndCall", "reason": "x"}', "line 2: a command before any event"),
        (4, '{"now": 1, "event": "Unheard"}', "line 4 is no event"),
        (4, '{"now": 1, "event": "TextTyped"}', "line 4 is no event"),
        (4, '{"now": 1, "event": "TextTyped", "text": 5}', "text is 5, not str"),
        (4, '{"now": "x", "event": "TextTyped", "text": "hi"}', "line 4 is no event"),
        (4, '{"event": "TextTyped", "text": "hi"}', "line 4 is no event"),
        (4, '{"w": [1, 2]}', "line 4 is no event"),
        (4, '{"w": [1, 512, "x", 0]}', "speech_probability is 'x', not float"),
        (4, '{"w": 5}', "line 4 is no event"),
        (4, '{"something": "else"}', "line 4 is no event"),
    ],
)
def test_what_is_no_trace_is_said_with_its_line(number: int, line: str, reason: str) -> None:
    lines = a_call()
    lines[number - 1] = line
    with pytest.raises(ProtocolError, match=reason):
        replay(lines)


def test_an_empty_trace_is_said_to_be_empty() -> None:
    with pytest.raises(ProtocolError, match="the trace is empty"):
        replay([])


def every_event() -> list[Any]:
    return [
        ev.CallStarted(8000),
        ev.WindowHeard(512, 0.25, 3),
        ev.ToolFinished(1, "t", "n", {"a": [1]}, {"b": None}, "s", acting=True),
        ev.ReplyFailed(1, "tts", "r"),
        ev.EndScored(1, 1),
        ev.DeadlinePassed(),
    ]


@pytest.mark.parametrize("event", every_event())
def test_every_kind_of_field_comes_back_from_its_line(event: ev.Event) -> None:
    talk = Script()
    talk.feed(event)
    assert replay(talk.trace) is None
