"""A step of a trace without its words: nothing said is left, and what hung on equality and length still agrees."""

from __future__ import annotations

from voicebot.core import events as ev
from voicebot.core.trace_words import Owners, Tokens, has_words, only_noises


def test_every_word_is_replaced_and_figures_punctuation_and_our_own_names_stay() -> None:
    tokens = Tokens()
    given = tokens.without(ev.ClauseWritten(3, 0, "My PIN is 4711, don't tell!"))
    assert given == {"reply": 3, "clause": 0, "text": "x0 x1x x2 x3xx, x4xxx x5xx!"}
    again = tokens.without(ev.PublishTurn(2, "pin", "4711?", "talker", 3.0, {"v2v_ms": 1}, route={"reason": "hard"}))
    assert (again["heard"], again["reply"], again["model"]) == ("x1x", "x3xx?", "talker")
    assert (again["route"], again["waterfall"]) == ({"reason": "hard"}, {"v2v_ms": 1})


def test_a_tools_arguments_and_result_hold_words_even_as_keys_and_figures() -> None:
    tool = ev.ToolFinished(3, "c1", "notes", {"my pin": 4711}, {"kept": [4711, "secret", None, True]}, "Done.", True)
    given = Tokens().without(tool)
    assert "secret" not in str(given) and "4711" not in str(given) and "pin" not in str(given)
    assert (given["name"], given["reply"], given["acting"]) == ("notes", 3, True)


def test_what_has_no_words_is_known_and_the_reasons_of_an_end_are_ours() -> None:
    assert not has_words(ev.WindowHeard(512, 0.5))
    assert not has_words(ev.PublishState("listening"))
    assert not has_words(ev.CallEnded("the caller hung up"))
    assert not has_words(ev.ClauseWritten(1, 0, ""))
    assert has_words(ev.ReplyFailed(1, "llm", "it said so")) and has_words(ev.DigitPressed("4"))


def test_our_own_reasons_stay_as_they_are() -> None:
    assert Tokens().without(ev.CallEnded("caller hung up")) == {"reason": "caller hung up"}


def test_words_belong_to_the_turn_of_the_draft_the_reply_and_the_errand_that_they_are_in() -> None:
    owners = Owners()
    owners.of(ev.WindowHeard(512, 0.5), [ev.BeginDraft(5, 4, 0, 512), ev.BeginReply(6, 4, "why"),
                                         ev.BeginErrand(7, 4, "why"), ev.DeliverErrand(9, 7, False)])  # fmt: skip
    for event in (ev.DraftTranscribed(5, "why"), ev.ClauseWritten(6, 0, "a"), ev.ErrandReady(7, "answered"),
                  ev.ClauseWritten(9, 0, "b")):  # fmt: skip
        assert owners.of(event, []) == [{4}]
    assert owners.of(ev.NoticeDue("time is up"), []) == [frozenset()]
    late = owners.of(ev.PlayoutStarted(9), [ev.PublishReply(8, 9, "b", "", False, False),
                                            ev.PublishTurn(8, "", "b", "", None, {})])  # fmt: skip
    assert late == [{4}, {4}, {4}], "an answer that comes late has a number of its own"
    owners.of(ev.CallStarted(8000), [ev.Speak(21, "Hello.")])
    unasked = owners.of(ev.ClauseWritten(21, 0, "Hello."), [ev.PublishReply(20, 21, "Hello.", "", False, False)])
    assert unasked == [frozenset(), frozenset()]
    typed = owners.of(ev.TextTyped("hi"), [ev.DropReply(6), ev.BeginReply(12, 11, "hi")])
    assert typed == [{11}, {4}, {11}]


def test_what_a_listener_says_to_listen_is_no_secret() -> None:
    assert only_noises(ev.PartialTranscribed(3, "mm-hm, okay")) and only_noises(ev.PartialTranscribed(3, "stop"))
    assert not only_noises(ev.PartialTranscribed(3, "okay my pin"))
