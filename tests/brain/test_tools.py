"""The tools as a session meets them: what is done, what is said, and that no model output can break them."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.brain.fake_context import NOW, FakeContext
from voicebot.brain.tools import TOOLS, openai_schema, run_tool

WORDS = """
    seven 8 times plus minus half of a the square root quarter past to at tomorrow monday noon am pm in an hour minutes
    and point percent divided by zero twenty hundred million 3/4 x * ( ) ^ ! third friday night
""".split()  # noqa: SIM905 - a list of words reads better so
ACTING = {"set_timer", "cancel_timer", "set_alarm", "set_reminder", "set_volume"}


def speech(tool: str, **arguments: str) -> str:
    return run_tool(FakeContext(), tool, {key.rstrip("_"): value for key, value in arguments.items()}).speech


def test_exactly_the_tools_that_change_something_are_acting() -> None:
    assert {tool.name for tool in TOOLS.values() if tool.acting} == ACTING


def test_the_openai_schema_is_json_and_names_every_tool() -> None:
    schema = json.loads(json.dumps(openai_schema(TOOLS.values())))
    assert [item["function"]["name"] for item in schema] == list(TOOLS)
    assert schema[3]["function"]["parameters"]["required"] == ["from", "to"]


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("get_time", {}, "It is three twenty in the afternoon."),
        ("get_time", {"place": "right here"}, "It is three twenty in the afternoon."),
        ("get_time", {"place": " London"}, "In London it is eight twenty in the evening, Greenwich Mean Time."),
        ("get_time", {"place": "houston, tx"}, "In Houston it is two twenty in the afternoon, Central Time."),
        ("get_time", {"place": "the pacific timezone"}, "In Pacific Time it is twelve twenty in the afternoon."),
        ("get_date", {}, "Today is Wednesday, March fourth."),
        ("get_date", {"day": "tomorrow"}, "Tomorrow is Thursday, March fifth."),
        ("get_date", {"day": "in six days"}, "That is Tuesday, March tenth."),
        ("get_date", {"day": "the day after tomorrow"}, "That is Friday, March sixth."),
        ("calculate", {"expression": "seven times eight"}, "That is fifty six."),
        ("calculate", {"expression": "7*8"}, "That is fifty six."),
        ("calculate", {"expression": "the square root of two"}, "That is about one point four one."),
        (
            "convert_units",
            {"value": "ten", "from": "miles", "to": "km"},
            "Ten miles are about sixteen point zero nine kilometers.",
        ),
        (
            "convert_units",
            {"value": "a", "from": "mile", "to": "feet"},
            "One mile is five thousand two hundred and eighty feet.",
        ),
        (
            "convert_units",
            {"from": "celcius", "to": "fahrenheit"},
            "One degree Celsius is thirty three point eight degrees Fahrenheit.",
        ),
        ("convert_units", {"value": "8", "from": "ounces", "to": "cups"}, "Eight fluid ounces are one cup."),
        ("set_timer", {"duration": "10 min"}, "Timer set for ten minutes."),
        ("set_timer", {"duration": "ten minute", "name": "the pasta"}, "Pasta timer set for ten minutes."),
        ("set_timer", {"duration": "one hour", "name": "a new tea timer"}, "Tea timer set for one hour."),
        ("check_timer", {}, "There is no timer running."),
        ("set_alarm", {"when": "half past six tomorrow"}, "Alarm set for tomorrow at six thirty in the morning."),
        (
            "set_alarm",
            {"when": "friday at seven"},
            "Alarm set for Friday, March sixth at seven o'clock in the morning.",
        ),
        ("get_time", {"place": "manila"}, "In Manila it is four twenty in the morning."),
        ("get_time", {"place": "los angeles"}, "In Los Angeles it is twelve twenty in the afternoon, Pacific Time."),
        (
            "set_alarm",
            {"when": "7am and 8am"},
            "Alarms set for tomorrow at seven o'clock in the morning and tomorrow at eight o'clock in the morning.",
        ),
        (
            "set_reminder",
            {"text": "call my mom", "when": "at five"},
            "I will remind you at five o'clock in the afternoon: call your mom.",
        ),
        ("set_reminder", {"text": "call bob"}, "I will remind you in one hour: call bob."),
        ("set_volume", {"level": "up"}, "Volume is now sixty five percent."),
        ("set_volume", {"level": "4"}, "Volume is now forty percent."),
        ("set_volume", {"level": "80 percent"}, "Volume is now eighty percent."),
        ("set_volume", {"level": "mute"}, "Muted."),
        ("repeat_last", {}, "It is noon."),
    ],
)
def test_a_tool_says_its_result_in_words(tool: str, arguments: dict[str, str], said: str) -> None:
    result = run_tool(FakeContext(), tool, arguments)
    assert (result.speech, result.failed) == (said, False)


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("make_coffee", {}, "Sorry, that is something I cannot do."),
        ("set_timer", {}, "Sorry, I did not get all of that. Could you say it again?"),
        ("set_timer", {"duration": "blue"}, "Sorry, I did not understand how long blue is."),
        ("get_time", {"place": "zorblat"}, "Sorry, I do not know the time zone of zorblat."),
        ("get_date", {"day": "blue"}, "Sorry, I could not work out which day blue is."),
        ("calculate", {"expression": "9**9**9"}, "Sorry, I could not work out that sum."),
        ("calculate", {"expression": "one divided by zero"}, "Sorry, I could not work out that sum."),
        (
            "convert_units",
            {"value": "one", "from": "cup", "to": "kilograms"},
            "Sorry, cups cannot be turned into kilograms.",
        ),
        ("convert_units", {"value": "one", "from": "zorb", "to": "kilograms"}, "Sorry, I do not know the unit zorb."),
        ("set_alarm", {"when": "25 o'clock"}, "Sorry, I did not understand the time 25 o'clock."),
        ("set_reminder", {"text": "tomorrow at 4am"}, "What should I remind you about?"),
        ("set_volume", {"level": "purple"}, "Sorry, I do not know the volume purple."),
        ("cancel_timer", {"name": "pasta"}, "There is no pasta timer to cancel."),
    ],
)
def test_what_is_not_understood_is_said_and_nothing_is_done(tool: str, arguments: dict[str, str], said: str) -> None:
    context = FakeContext()
    result = run_tool(context, tool, arguments)
    assert (result.speech, result.failed) == (said, True)
    assert (context.items, context.percent) == ([], 50)


def test_timers_are_found_by_their_name_and_cancelled_alone() -> None:
    context = FakeContext()
    run_tool(context, "set_timer", {"duration": "ten minutes", "name": "pasta"})
    run_tool(context, "set_timer", {"duration": "an hour and a half"})
    assert [item.due - NOW for item in context.items] == [timedelta(minutes=10), timedelta(minutes=90)]
    assert context.items[0].text == "Your pasta timer is done."
    assert run_tool(context, "check_timer", {"name": "pasta"}).speech == "Your pasta timer has ten minutes left."
    assert run_tool(context, "cancel_timer", {"name": "pasta"}).speech == "Your pasta timer is cancelled."
    assert [item.name for item in context.items] == [""]
    assert run_tool(context, "cancel_timer", {}).speech == "Your timer is cancelled."


def test_a_corrected_timer_takes_the_place_of_the_one_set_last() -> None:
    context = FakeContext()
    run_tool(context, "set_timer", {"duration": "ten minutes", "name": "pasta"})
    run_tool(context, "set_timer", {"duration": "an hour"})
    result = run_tool(context, "set_timer", {"duration": "fifteen minutes", "replaces": "last"})
    assert result.speech == "Timer changed to fifteen minutes."
    assert [(item.name, item.due - NOW) for item in context.items] == [
        ("pasta", timedelta(minutes=10)),
        ("", timedelta(minutes=15)),
    ]


def test_a_timer_is_corrected_by_its_name_and_keeps_it() -> None:
    context = FakeContext()
    run_tool(context, "set_timer", {"duration": "ten minutes", "name": "pasta"})
    run_tool(context, "set_timer", {"duration": "an hour"})
    named = {"duration": "twelve minutes", "name": "the pasta timer", "replaces": "last"}
    assert run_tool(context, "set_timer", named).speech == "Pasta timer changed to twelve minutes."
    run_tool(context, "set_timer", {"duration": "nine minutes", "replaces": "last"})
    assert [(item.name, item.due - NOW) for item in context.items] == [
        ("", timedelta(hours=1)),
        ("pasta", timedelta(minutes=9)),
    ]


@pytest.mark.parametrize(
    ("tool", "first", "second", "said"),
    [
        ("set_alarm", {"when": "six"}, {"when": "seven"}, "Alarm changed to seven o'clock in the evening."),
        (
            "set_reminder",
            {"text": "call mom", "when": "at six"},
            {"text": "call mom", "when": "at seven"},
            "I will remind you at seven o'clock in the evening instead: call mom.",
        ),
    ],
)
def test_a_corrected_alarm_or_reminder_does_not_ring_twice(
    tool: str, first: dict[str, str], second: dict[str, str], said: str
) -> None:
    context = FakeContext()
    run_tool(context, "set_timer", {"duration": "ten minutes"})
    run_tool(context, tool, first)
    assert run_tool(context, tool, {**second, "replaces": "last"}).speech == said
    assert [item.kind for item in context.items] == ["timer", tool.removeprefix("set_")]


def test_what_cannot_be_understood_replaces_nothing_and_nothing_to_replace_is_no_fault() -> None:
    context = FakeContext()
    assert run_tool(context, "set_alarm", {"when": "six", "replaces": "last"}).speech.startswith("Alarm set for six")
    assert run_tool(context, "set_alarm", {"when": "blue", "replaces": "last"}).failed
    assert run_tool(context, "set_timer", {"duration": "ten minutes", "replaces": "last"}).speech.startswith(
        "Timer set"
    )
    assert [item.kind for item in context.items] == ["alarm", "timer"]


def test_the_one_set_last_is_cancelled_alone() -> None:
    context = FakeContext()
    run_tool(context, "set_timer", {"duration": "an hour"})
    run_tool(context, "set_timer", {"duration": "ten minutes", "name": "pasta"})
    assert run_tool(context, "cancel_timer", {"name": "last"}).speech == "Your pasta timer is cancelled."
    assert [item.name for item in context.items] == [""]
    assert run_tool(context, "cancel_timer", {"name": "last"}).speech == "Your timer is cancelled."
    assert run_tool(context, "cancel_timer", {"name": "last"}).speech == "There is no timer to cancel."


def test_a_sum_goes_on_from_the_result_that_was_heard() -> None:
    context = FakeContext(said="That is fifty six.")
    assert run_tool(context, "calculate", {"expression": "times two"}).speech == "That is one hundred and twelve."
    assert run_tool(context, "calculate", {"expression": "seven times nine"}).speech == "That is sixty three."
    for cut_off in ("That is fifty", "That is Friday, March sixth.", ""):
        context.said = cut_off
        assert run_tool(context, "calculate", {"expression": "times two"}).failed


def test_a_full_list_is_said_and_not_exceeded() -> None:
    context = FakeContext(limit=1)
    run_tool(context, "set_timer", {"duration": "ten minutes"})
    result = run_tool(context, "set_timer", {"duration": "one minute"})
    assert result.failed
    assert len(context.items) == 1


def test_a_reminder_is_spoken_to_the_caller_not_by_the_caller() -> None:
    context = FakeContext()
    run_tool(context, "set_reminder", {"text": "call my mom", "when": "in two hours"})
    assert context.items[0].text == "A reminder: call your mom."
    assert context.items[0].due - NOW == timedelta(hours=2)


@settings(max_examples=150, deadline=None)
@given(
    tool=st.sampled_from(sorted(TOOLS)),
    arguments=st.dictionaries(
        st.sampled_from(
            ["duration", "name", "when", "text", "expression", "value", "from", "to", "level", "place", "day"]
        ),
        st.one_of(st.text(max_size=30), st.integers(), st.none(), st.lists(st.integers(), max_size=2)),
    ),
)
def test_no_arguments_whatever_raise(tool: str, arguments: dict[str, object]) -> None:
    result = run_tool(FakeContext(), tool, arguments)
    assert result.speech
    json.dumps(result.value)


@settings(max_examples=150, deadline=None)
@given(
    words=st.lists(
        st.sampled_from(WORDS),
        max_size=9,
    ),
    tool=st.sampled_from(["calculate", "set_timer", "set_alarm", "get_date", "set_reminder", "convert_units"]),
)
def test_no_jumble_of_understood_words_raises(words: list[str], tool: str) -> None:
    phrase = " ".join(words)
    keys = ("expression", "duration", "when", "day", "text", "value", "from", "to")
    assert run_tool(FakeContext(), tool, dict.fromkeys(keys, phrase)).speech
