"""Arguments in the caller's spelling, and what is put in the place of one that makes no sense."""

from __future__ import annotations

from typing import Any

import pytest

from voicebot.brain.spans import as_said
from voicebot.engines.base import ToolCall


def said(tool: str, *turns: str, **arguments: Any) -> dict[str, Any]:
    given = {key.rstrip("_"): value for key, value in arguments.items()}
    return as_said(ToolCall("1", tool, given), turns).arguments


def test_an_argument_is_spelled_as_the_caller_did() -> None:
    assert said("set_reminder", "Remind me to call Irene.", text=" call irene") == {"text": "call Irene"}
    assert said("set_reminder", "don\u2019t forget Bob\u2019s cake", text="bob's cake") == {"text": "Bob\u2019s cake"}
    assert said("set_timer", "Call it Tea", "ten minutes", duration="ten minutes", name="tea") == {
        "duration": "ten minutes",
        "name": "Tea",
    }


@pytest.mark.parametrize(
    ("tool", "turn", "wrong", "right"),
    [
        ("get_time", "what are the time zones of Russia", {"place": "zones"}, {"place": "Russia"}),
        ("get_time", "british columbia is in what timezone", {"place": "in"}, {"place": "british columbia"}),
        ("set_alarm", "wake me at twenty to seven pm", {"when": "wake"}, {"when": "me at twenty to seven pm"}),
        ("calculate", "let's figure out 57x56", {"expression": "need a"}, {"expression": "57x56"}),
        ("set_timer", "a timer for um two hours", {"duration": "a timer"}, {"duration": "two hours"}),
        ("set_volume", "volume to thirty percent please", {"level": "volume"}, {"level": "to thirty percent"}),
    ],
)
def test_what_a_tool_cannot_use_gives_way_to_the_words_that_it_can(
    tool: str, turn: str, wrong: dict[str, str], right: dict[str, str]
) -> None:
    assert said(tool, turn, **wrong) == right


def test_words_of_another_argument_are_not_taken_twice() -> None:
    found = said("convert_units", "give me celsius to fahrenheit", from_="me", to="fahrenheit")
    assert found == {"from": "celsius", "to": "fahrenheit"}


@pytest.mark.parametrize(
    ("tool", "turn", "arguments"),
    [
        ("set_timer", "a timer for ten minutes", {"duration": "10 minutes"}),
        ("get_time", "what time is it in pariss", {"place": "pariss"}),
        ("get_time", "what time is it over there", {"place": "over there"}),
        ("set_timer", "ten minutes or twenty seconds a timer", {"duration": "a timer"}),
        ("calculate", "nothing in it", {"expression": "about"}),
        ("order_pizza", "one pizza margherita", {"size": 3, "extras": ["olives"], "name": ""}),
    ],
)
def test_what_is_understood_or_in_doubt_or_no_text_stays_as_it_is(
    tool: str, turn: str, arguments: dict[str, Any]
) -> None:
    assert said(tool, turn, **arguments) == arguments


def test_a_number_that_nobody_said_is_never_put_in() -> None:
    assert said("set_timer", "set a timer for a while", duration="a while") == {"duration": "a while"}
    assert said("calculate", "twelve over sixty six", expression="3/66") == {"expression": "3/66"}


def test_a_long_story_is_left_alone() -> None:
    story = "well " * 30 + "in russia"
    assert said("get_time", story, place="zones") == {"place": "zones"}


def test_without_a_word_of_the_caller_nothing_changes() -> None:
    assert said("get_time", place="zones") == {"place": "zones"}
