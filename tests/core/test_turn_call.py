"""A call's begin and end, limits, notices, typed turns and keys."""

from __future__ import annotations

import pytest

from tests.core.script import RATE_HZ, Script
from voicebot.core import events as ev


@pytest.mark.parametrize(
    "event",
    [ev.WindowHeard(512, 0.9), ev.TextTyped("hi"), ev.NoticeDue("ding"), ev.DigitPressed("1"), ev.DeadlinePassed()],
)
def test_nothing_happens_before_the_call_has_started(event: ev.Event) -> None:
    talk = Script(started=False)
    assert talk.feed(event) == []
    assert (talk.machine.deadline, talk.machine.counts["ignored"]) == (None, 1)


def test_a_call_starts_once() -> None:
    talk = Script(greeting="Hello")
    assert talk.feed(ev.CallStarted(8000)) == []
    assert talk.machine.counts["ignored"] == 1


def test_a_call_may_end_before_it_starts() -> None:
    talk = Script(started=False)
    assert talk.feed(ev.CallEnded("refused")) == [ev.PublishState("ended")]
    assert talk.feed(ev.CallStarted(RATE_HZ)) == []


def test_the_greeting_is_heard_by_nobody_but_the_caller_and_becomes_history() -> None:
    talk = Script(greeting="Hello!")
    talk.answer("Hello!", 500)
    talk.finish()
    assert talk.said == [("", "Hello!")]
    ended = talk.all(ev.PublishTurn)[-1]
    assert (ended.turn, ended.heard, ended.reply, ended.v2v_ms, ended.ended) == (1, "", "Hello!", None, True)


def test_notices_wait_for_a_gap_and_come_one_at_a_time() -> None:
    talk = Script()
    talk.speak(480)
    talk.skip()
    talk.feed(ev.NoticeDue("The eggs are done."))
    talk.feed(ev.NoticeDue("The tea is done."))
    talk.quiet(64)
    talk.transcribe("hello")
    talk.quiet(192)
    talk.answer("Hi.", 500)
    assert talk.all(ev.Speak) == []
    talk.finish()
    talk.skip()
    assert talk.all(ev.Speak) == [ev.Speak(5, "The eggs are done.")]
    talk.answer("The eggs are done.", 500)
    talk.finish()
    talk.expect(ev.DropReply(5), ev.Speak(7, "The tea is done."), ev.StartPlayout(7))


def test_a_notice_that_was_said_otherwise_is_not_said_again() -> None:
    talk = Script()
    talk.ask("hello")
    talk.feed(ev.NoticeDue("The eggs are done."))
    talk.feed(ev.NoticeDue("The tea is done."))
    talk.feed(ev.NoticeWithdrawn("The eggs are done."))
    talk.answer("Hi.", 500)
    talk.finish()
    assert talk.all(ev.Speak) == [ev.Speak(5, "The tea is done.")]


def test_the_oldest_notice_gives_way_when_too_many_wait() -> None:
    talk = Script(notice_limit=1)
    talk.ask("hello")
    talk.feed(ev.NoticeDue("one"))
    talk.skip()
    talk.feed(ev.NoticeDue("two"))
    talk.expect(ev.PublishError("Not said, too much is waiting: one"))
    talk.answer("Hi.", 500)
    talk.finish()
    assert talk.all(ev.Speak)[-1].text == "two"


def test_a_typed_turn_is_answered_at_once() -> None:
    talk = Script()
    talk.feed(ev.TextTyped("  what time is it "))
    talk.expect(ev.BeginReply(2, 1, "what time is it"), ev.CommitReply(2), ev.StartPlayout(2))
    assert talk.all(ev.PublishTranscript) == [ev.PublishTranscript(1, "what time is it", True)]
    talk.answer("Five.", 500)
    talk.finish()
    assert talk.said == [("what time is it", "Five.")]
    assert talk.all(ev.PublishTurn)[-1].v2v_ms == 0.0


def test_an_empty_typed_turn_changes_nothing() -> None:
    talk = Script()
    assert talk.feed(ev.TextTyped("  ")) == []
    assert talk.machine.counts["ignored"] == 1


def test_a_typed_turn_takes_the_floor_from_the_bot_and_from_the_callers_voice() -> None:
    talk = Script()
    talk.ask("hello")
    talk.answer("Hi there.", 5000)
    talk.speak(160)
    talk.skip()
    talk.feed(ev.TextTyped("stop"))
    talk.expect(
        ev.StopListening(4),
        ev.ClearPlayout(3),
        ev.DropReply(3),
        ev.BeginReply(6, 5, "stop"),
        ev.CommitReply(6),
        ev.StartPlayout(6),
    )
    assert talk.machine.counts["barge_ins"] == 1


def test_a_typed_turn_drops_the_held_reply_of_the_spoken_one() -> None:
    talk = Script()
    talk.say("hello")
    talk.skip()
    talk.feed(ev.TextTyped("bye"))
    talk.expect(ev.DropReply(3), ev.StopListening(1), ev.BeginReply(5, 4, "bye"), ev.CommitReply(5), ev.StartPlayout(5))
    assert talk.all(ev.PublishTranscript)[-2] == ev.PublishTranscript(1, "", True)


def test_keys_are_a_turn_after_a_pause() -> None:
    talk = Script()
    talk.feed(ev.DigitPressed("1"))
    talk.wait(1000)
    talk.feed(ev.DigitPressed("2"))
    talk.wait(1499)
    talk.expect()
    talk.wait(1)
    talk.expect(ev.BeginReply(2, 1, "I pressed 1 2."), ev.CommitReply(2), ev.StartPlayout(2))


def test_the_hash_key_ends_the_number_at_once() -> None:
    talk = Script()
    for key in "4*#":
        talk.feed(ev.DigitPressed(key))
    talk.expect(ev.BeginReply(2, 1, "I pressed 4 *."), ev.CommitReply(2), ev.StartPlayout(2))
    assert talk.due_in_ms() == 15000


@pytest.mark.parametrize("key", ["#", "", "x", "12", "é"])
def test_what_is_no_key_or_no_number_changes_nothing(key: str) -> None:
    talk = Script()
    assert talk.feed(ev.DigitPressed(key)) == []
    assert (talk.machine.deadline, talk.machine.counts["ignored"]) == (None, 1)


def test_a_number_has_at_most_32_keys() -> None:
    talk = Script()
    for _ in range(40):
        talk.feed(ev.DigitPressed("7"))
    talk.feed(ev.DigitPressed("#"))
    assert talk.all(ev.BeginReply)[0].text == f"I pressed {' '.join('7' * 32)}."
    assert talk.machine.counts["ignored"] == 8


def test_the_call_ends_after_silence_from_both_sides() -> None:
    talk = Script(idle_ms=5000)
    assert talk.due_in_ms() == 5000
    talk.quiet(4000)
    talk.ask("hello")
    talk.answer("Hi.", 500)
    talk.quiet(480)
    talk.finish()
    talk.skip()
    assert talk.due_in_ms() == 5000
    talk.wait(4999)
    talk.expect()
    talk.wait(1)
    talk.expect(ev.EndCall("idle limit reached"))


def test_the_call_has_a_limit_whatever_goes_on() -> None:
    talk = Script(call_limit_ms=1000)
    talk.speak(992)
    talk.skip()
    talk.wait(8)
    talk.expect(ev.EndCall("call limit reached"))
    talk.feed(ev.CallEnded("call limit reached"))
    talk.expect(ev.StopListening(1))
    assert talk.state == "ended"


def in_state(state: str) -> Script:
    talk = Script()
    match state:
        case "hearing":
            talk.speak(480)
        case "drafting":
            talk.speak(480)
            talk.quiet(64)
        case "held":
            talk.say("hello there")
        case "thinking":
            talk.ask("hello there")
        case "speaking" | "paused":
            talk.ask("hello there")
            talk.answer("One two three four", 4000)
            talk.heard_ms = 2000
            talk.quiet(32)
    if state == "paused":
        talk.speak(160)
    talk.skip()
    return talk


@pytest.mark.parametrize(
    ("state", "commands", "said"),
    [
        ("listening", [], []),
        ("hearing", [ev.StopListening(1)], []),
        ("drafting", [ev.AbortDraft(2, 1), ev.StopListening(1)], []),
        ("held", [ev.DropReply(3), ev.StopListening(1)], [("hello there", "")]),
        ("thinking", [ev.ClearPlayout(3), ev.DropReply(3)], [("hello there", "")]),
        ("speaking", [ev.ClearPlayout(3), ev.DropReply(3)], [("hello there", "One two")]),
        ("paused", [ev.StopListening(4), ev.ClearPlayout(3), ev.DropReply(3)], [("hello there", "One two")]),
    ],
)
def test_hanging_up_leaves_nothing_open_and_loses_no_words(
    state: str, commands: list[ev.Command], said: list[tuple[str, str]]
) -> None:
    talk = in_state(state)
    talk.feed(ev.CallEnded("hung up"))
    talk.expect(*commands)
    assert (talk.said, talk.state, talk.machine.deadline, talk.machine.ended) == (said, "ended", None, True)
    if said:
        assert talk.all(ev.PublishTurn)[-1].ended
    assert talk.feed(ev.TextTyped("hello?")) == talk.feed(ev.CallEnded("again")) == []


def test_hanging_up_in_the_second_half_of_a_reopened_turn_keeps_the_first() -> None:
    talk = Script()
    talk.ask("set a timer")
    talk.speak(800)
    talk.feed(ev.CallEnded("hung up"))
    assert talk.said == [("set a timer", "")]
    assert talk.all(ev.PublishTurn)[-1].turn == 1
