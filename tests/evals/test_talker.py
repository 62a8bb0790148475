"""The talker's measure: one answer from a reply's chunks, and how well its log-probabilities tell right from wrong."""

from __future__ import annotations

import math

from voicebot.engines.base import LlmChunk, LlmDone, TextDelta, ToolCall
from voicebot.evals.talker import STOCK, Answer, Score, answer_of, asks_for, confidence, fault, same_call


def reply(*chunks: LlmChunk, reason: str = "stop") -> Answer:
    done = LlmDone(reason, mean_logprob=-0.1, min_logprob=-0.5)  # type: ignore[arg-type]
    return answer_of([*chunks, done], ["Remind me to call Irene"])


def test_a_call_is_read_as_a_reply_reads_it_with_the_callers_spelling() -> None:
    answer = reply(ToolCall("1", "set_reminder", {"text": " call irene"}))
    assert (answer.tool, answer.arguments, answer.broken) == ("set_reminder", {"text": "call Irene"}, "")
    assert (answer.mean_logprob, answer.min_logprob) == (-0.1, -0.5)


def test_an_answer_that_does_not_end_or_is_several_is_broken() -> None:
    assert reply(TextDelta("on and on"), reason="length").broken == "did not end"
    assert reply(ToolCall("1", "get_time", {}), ToolCall("2", "get_date", {})).broken == "several answers"
    assert reply().broken == "empty"


def test_a_call_is_right_when_the_tool_makes_the_same_of_it() -> None:
    assert same_call(Answer("", "convert_units", {"from": "mile", "to": "km"}), "convert_units",
                     {"value": "a", "from": "miles", "to": "kilometers"})  # fmt: skip
    assert not same_call(Answer("", "set_timer", {"duration": "ten minutes"}), "set_timer", {"duration": "ten hours"})


def test_a_question_back_and_a_refusal_are_judged_by_their_act() -> None:
    assert asks_for(Answer("For how long?"), "set_timer")
    assert fault(Answer("Sorry, that is more than I know."), "know", "who was socrates") == ""
    greeting = next(text for text, act in STOCK.items() if act == "greeting")
    assert fault(Answer(greeting), "know", "who was socrates") == "answered as greeting"


def test_confidence_tells_how_well_log_probabilities_part_right_from_wrong() -> None:
    score = Score()
    for number in range(40):
        wrong = number % 4 == 3
        answer = Answer("", mean_logprob=-2.0 if wrong else -0.1, min_logprob=-3.0 if wrong else -0.2)
        score.add("x", not wrong, "", "", answer)
    score.add("x", True, "", "", Answer("", min_logprob=math.nan))
    found = confidence([score])
    assert (found["n"], found["right"]) == (40, 30)
    assert (found["auroc_of_mean"], found["auroc_of_least"]) == (1.0, 1.0)
    assert found["threshold"]["right_when_accepted"] == 1.0
