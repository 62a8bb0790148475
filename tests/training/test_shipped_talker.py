"""The talker that ships: key phrases get the right tool, words and an end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from voicebot.engines.base import Message
from voicebot.evals.talker import REFUSING, Model, act_of, clinc_tools, confidence, generated, messages_of, same_call
from voicebot.training.chat import Turn

PATH = Path(__file__).parents[2] / "models" / "talker" / "talker.gguf"


@pytest.fixture(scope="module")
def model() -> Model:
    if not PATH.exists():
        pytest.skip(f"{PATH.name} is not here; `make talker` makes it")
    return Model(PATH)


@pytest.mark.parametrize(
    ("said", "tool", "arguments"),
    [
        ("what time is it", "get_time", {}),
        ("what time is it in tokyo", "get_time", {"place": "tokyo"}),
        ("what's the date tomorrow", "get_date", {"day": "tomorrow"}),
        ("set a timer for ten minutes", "set_timer", {"duration": "ten minutes"}),
        ("Set a pasta timer for 12 minutes.", "set_timer", {"duration": "12 minutes", "name": "pasta"}),
        ("cancel the timer", "cancel_timer", {}),
        ("how much time is left", "check_timer", {}),
        ("wake me up at half past six", "set_alarm", {"when": "half past six"}),
        ("remind me to call my mom", "set_reminder", {"text": "call my mom"}),
        ("what is seven times eight", "calculate", {"expression": "seven times eight"}),
        ("What is 25% of 80?", "calculate", {"expression": "25% of 80"}),
        ("how many feet are in a mile", "convert_units", {"value": "a", "from": "mile", "to": "feet"}),
        ("turn it up", "set_volume", {"level": "up"}),
        ("say that again", "repeat_last", {}),
    ],
)
def test_key_phrases_call_the_right_tool(model: Model, said: str, tool: str, arguments: dict[str, str]) -> None:
    answer = model.answer([Message("system", "You are a voice assistant."), Message("user", said)])
    assert same_call(answer, tool, arguments), answer


def test_a_name_that_no_one_has_heard_before_is_copied_as_it_was_said(model: Model) -> None:
    answer = model.answer([Message("user", "Set a Zelbrunt timer for 20 minutes")])
    assert (answer.tool, answer.arguments) == ("set_timer", {"duration": "20 minutes", "name": "Zelbrunt"})


@pytest.mark.parametrize(
    ("said", "act"),
    [
        ("hello", "greeting"),
        ("who are you", "who_are_you"),
        ("thank you", "thanks"),
        ("goodbye", "goodbye"),
        ("what's the weather like", "weather"),
        ("set a timer", "ask set_timer"),
        ("tell me a joke", "joke"),
    ],
)
def test_key_phrases_get_the_right_words(model: Model, said: str, act: str) -> None:
    answer = model.answer([Message("user", said)])
    assert (answer.tool, answer.broken, act_of(answer.text)) == ("", "", act), answer


def test_an_answer_to_a_question_back_becomes_the_call(model: Model) -> None:
    turns = [Turn("set a timer", "For how long?"), Turn("ten minutes", "")]
    assert same_call(model.answer(messages_of(turns)), "set_timer", {"duration": "ten minutes"})


SET = Turn("set a timer for ten minutes", "Timer set for ten minutes.", "set_timer", (("duration", "ten minutes"),))
SUM = Turn("what is seven times eight", "That is fifty six.", "calculate", (("expression", "seven times eight"),))
MILES = Turn(
    "ten miles in kilometers",
    "Ten miles are about sixteen point zero nine kilometers.",
    "convert_units",
    (("value", "ten"), ("from", "miles"), ("to", "kilometers")),
)
TOKYO = Turn("what time is it in tokyo", "In Tokyo it is four.", "get_time", (("place", "tokyo"),))
ALARM = Turn("wake me at six", "Alarm set for six.", "set_alarm", (("when", "six"),))
LOUDER = Turn("turn it up", "Volume is now sixty percent.", "set_volume", (("level", "up"),))
UNKNOWN = Turn("what is the capital of germany", "Sorry, that is more than I know.")


@pytest.mark.parametrize(
    ("before", "said", "tool", "arguments"),
    [
        (SET, "no, fifteen", "set_timer", {"duration": "fifteen minutes", "replaces": "last"}),
        (SET, "actually make it half an hour", "set_timer", {"duration": "half an hour", "replaces": "last"}),
        (SET, "and another one for five minutes", "set_timer", {"duration": "five minutes"}),
        (SET, "cancel that", "cancel_timer", {"name": "last"}),
        (ALARM, "no, seven", "set_alarm", {"when": "seven", "replaces": "last"}),
        (MILES, "and in feet?", "convert_units", {"value": "ten", "from": "miles", "to": "feet"}),
        (TOKYO, "and in Paris?", "get_time", {"place": "paris"}),
        (SUM, "and times two", "calculate", {"expression": "times two"}),
        (SUM, "divide that by four", "calculate", {"expression": "divide that by four"}),
        (LOUDER, "a bit more", "set_volume", {"level": "up"}),
    ],
)
def test_what_is_said_about_an_answer_is_understood_from_it(
    model: Model, before: Turn, said: str, tool: str, arguments: dict[str, str]
) -> None:
    answer = model.answer(messages_of([before, Turn(said, "")]))
    assert same_call(answer, tool, arguments), answer


def test_a_place_after_what_it_does_not_know_is_no_question_for_the_time(model: Model) -> None:
    answer = model.answer(messages_of([UNKNOWN, Turn("and of france", "")]))
    assert answer.tool == ""
    assert act_of(answer.text) in REFUSING


def test_the_record_is_of_this_file_and_reaches_what_was_aimed_at() -> None:
    record = json.loads(PATH.with_name("eval.json").read_text("utf-8"))
    assert record["bytes"] == PATH.stat().st_size < 40_000_000
    assert record["generated"]["share"] >= 0.95
    assert record["clinc_tools"]["share"] >= 0.92
    assert record["clinc_replies"]["share"] >= 0.90
    assert record["generated_follow_ups"]["share"] >= 0.90
    assert record["false_tool_calls"]["share"] <= 0.02
    assert record["confidence"]["auroc_of_mean"] >= 0.85


def test_held_out_phrasings_get_the_right_tool_and_arguments_and_people_s_words_too(model: Model) -> None:
    """A tenth of what the record was made from, and the utterances that it was chosen by."""
    tools, replies = generated(model, 60, seed=7, clean=False)
    assert sum(tools.right.values()) >= 54, tools.failures
    people = clinc_tools(model, "dev")
    assert sum(people.right.values()) >= 0.85 * sum(people.total.values()) > 50, people.failures
    assert confidence([tools, replies, people])["auroc_of_mean"] > 0.7
