"""Engines that fail or do not answer, echoes that do not come, packets that stop: every wait has an end."""

from __future__ import annotations

import pytest

from tests.core.script import Script
from voicebot.core import events as ev
from voicebot.core.settings import TurnSettings

APOLOGY = TurnSettings().apology
NO_ANSWER = TurnSettings().no_answer


def test_a_failed_transcript_is_apologised_for() -> None:
    talk = Script()
    talk.speak(480)
    talk.feed(ev.PartialTranscribed(1, "what"))
    talk.quiet(64)
    talk.skip()
    talk.feed(ev.DraftFailed(2, "broken"))
    talk.expect(ev.AbortDraft(2, 1), ev.StopListening(1), ev.Speak(4, APOLOGY), ev.StartPlayout(4))
    assert talk.all(ev.PublishTranscript)[-1] == ev.PublishTranscript(1, "", True)


def test_a_transcript_that_never_comes_is_apologised_for_after_its_timeout() -> None:
    talk = Script()
    talk.speak(480)
    talk.quiet(64)
    talk.skip()
    talk.quiet(7968)
    talk.expect()
    talk.quiet(32)
    talk.expect(ev.AbortDraft(2, 1), ev.StopListening(1), ev.Speak(4, APOLOGY), ev.StartPlayout(4))


def test_a_failed_draft_is_not_the_end_when_the_caller_goes_on() -> None:
    talk = Script()
    talk.speak(480)
    talk.quiet(64)
    talk.speak(96)
    assert talk.feed(ev.DraftFailed(2, "broken")) == []
    talk.quiet(64)
    talk.transcribe("hello")
    assert talk.all(ev.BeginReply) == [ev.BeginReply(4, 1, "hello")]


def test_a_reply_that_fails_while_held_is_made_anew_for_the_same_words() -> None:
    talk = Script()
    talk.say("hello")
    talk.skip()
    assert talk.feed(ev.ReplyFailed(3, "llm", "broken")) == []
    talk.speak(96)
    talk.quiet(64)
    talk.transcribe("hello")
    talk.expect(ev.AbortDraft(2, 1), talk.all(ev.BeginDraft)[-1], ev.DropReply(3), ev.BeginReply(5, 1, "hello"))


@pytest.mark.parametrize(
    ("event", "words"), [(ev.ReplyFailed(3, "llm", "broken"), APOLOGY), (ev.ReplyCompleted(3), NO_ANSWER)]
)
def test_a_reply_lost_before_its_commit_is_replaced_at_the_commit(event: ev.Event, words: str) -> None:
    talk = Script()
    talk.say("hello")
    talk.feed(event)
    talk.skip()
    talk.quiet(192)
    talk.expect(
        ev.StopListening(1),
        ev.CommitReply(3),
        ev.StartPlayout(3),
        ev.DropReply(3),
        ev.Speak(4, words),
        ev.StartPlayout(4),
    )
    talk.answer(words, 1000)
    talk.finish()
    assert talk.said == [("hello", words)]
    assert talk.all(ev.PublishTurn)[-1].turn == 1


@pytest.mark.parametrize(
    ("event", "words"), [(ev.ReplyFailed(3, "llm", "broken"), APOLOGY), (ev.ReplyCompleted(3), NO_ANSWER)]
)
def test_a_reply_lost_before_its_first_sound_is_replaced(event: ev.Event, words: str) -> None:
    talk = Script()
    talk.ask("hello")
    talk.feed(ev.ClauseWritten(3, 0, "Hi"))
    talk.skip()
    talk.feed(event)
    talk.expect(ev.DropReply(3), ev.Speak(4, words), ev.StartPlayout(4))
    assert talk.machine.counts["failed"] == isinstance(event, ev.ReplyFailed)


def test_the_tools_of_a_failed_reply_stay_in_its_turn() -> None:
    talk = Script()
    talk.ask("set a timer")
    talk.feed(ev.ToolFinished(3, "t1", "set_timer", {}, {"ok": True}, "", acting=True))
    talk.feed(ev.ReplyFailed(3, "llm", "broken"))
    talk.answer(APOLOGY, 1000)
    talk.finish()
    (exchange,) = talk.machine.history.exchanges
    assert (len(exchange.tools), exchange.bot) == (1, APOLOGY)


def test_a_reply_that_fails_while_heard_ends_after_what_is_queued() -> None:
    talk = Script()
    talk.ask("hello")
    talk.write("Once upon", 1000)
    talk.feed(ev.PlayoutStarted(3))
    talk.write("a time", 100, clause=1, done=False)
    talk.skip()
    talk.feed(ev.ReplyFailed(3, "llm", "broken"))
    talk.expect()
    assert talk.due_in_ms() == 1100 + 3000
    talk.finish()
    talk.expect(ev.DropReply(3))
    assert talk.said == [("hello", "Once upon a")]
    assert talk.all(ev.PublishReply)[-1].interrupted
    assert talk.all(ev.PublishTurn)[-1].interrupted


def test_a_voice_that_fails_before_any_sound_is_shown_instead_of_spoken() -> None:
    talk = Script()
    talk.ask("hello")
    talk.skip()
    talk.feed(ev.ReplyFailed(3, "tts", "broken"))
    talk.expect(ev.PublishError(APOLOGY), ev.DropReply(3))
    assert (talk.said, talk.state) == ([("hello", "")], "listening")


def test_an_apology_that_fails_is_shown_and_not_apologised_for() -> None:
    talk = Script()
    talk.ask("hello")
    talk.feed(ev.ReplyFailed(3, "llm", "broken"))
    talk.skip()
    talk.feed(ev.ReplyFailed(4, "tts", "broken"))
    talk.expect(ev.PublishError(APOLOGY), ev.DropReply(4))


def test_fixed_words_without_sound_end_instead_of_being_said_for_ever() -> None:
    talk = Script(greeting="***")
    talk.skip()
    talk.feed(ev.ReplyCompleted(2))
    talk.expect(ev.PublishError(APOLOGY), ev.DropReply(2))


def test_a_voice_that_fails_under_speech_gives_the_caller_the_floor() -> None:
    talk = Script()
    talk.ask("hello")
    talk.speak(160)
    talk.feed(ev.ReplyFailed(3, "tts", "broken"))
    assert talk.state == "hearing"
    talk.quiet(64)
    talk.transcribe("okay")
    assert talk.all(ev.BeginReply)[-1].text == "okay"


def test_a_reply_without_a_first_sound_is_given_up_after_its_timeout() -> None:
    talk = Script()
    talk.ask("hello")
    talk.skip()
    due = talk.due_in_ms()
    talk.wait(due - 1)
    talk.expect()
    talk.wait(1)
    talk.expect(ev.DropReply(3), ev.Speak(4, APOLOGY), ev.StartPlayout(4))
    talk.wait(15000)
    talk.expect(ev.PublishError(APOLOGY), ev.DropReply(4))
    assert (talk.state, talk.machine.deadline) == ("listening", None)
    assert talk.machine.counts["reply_timeouts"] == 2


def test_a_reply_that_stops_growing_is_cut_after_its_timeout() -> None:
    talk = Script()
    talk.ask("hello")
    talk.write("Once upon", 1000)
    talk.feed(ev.PlayoutStarted(3))
    talk.skip()
    assert talk.due_in_ms() == 16000
    talk.wait(16000)
    talk.expect(ev.ClearPlayout(3), ev.DropReply(3))


def test_a_playout_that_is_never_confirmed_counts_as_heard() -> None:
    talk = Script()
    talk.ask("hello")
    talk.answer("Hi there.", 1000)
    talk.skip()
    assert talk.due_in_ms() == 4000
    talk.wait(4000)
    talk.expect(ev.DropReply(3))
    assert talk.said == [("hello", "Hi there.")]


def test_echoes_of_another_reply_or_too_early_ones_change_nothing() -> None:
    talk = Script()
    talk.ask("hello")
    talk.write("Hi", 500)
    for event in (
        ev.PlayoutStarted(9),
        ev.PlayoutFinished(9),
        ev.PlayoutFinished(3),
        ev.ReplyBegan(9, "x"),
        ev.ClauseWritten(9, 0, "x"),
        ev.ClauseWritten(3, 0, "twice"),
        ev.AudioQueued(9, 0, 10, True),
        ev.AudioQueued(3, 7, 10, True),
        ev.ToolBegan(9, "clock"),
        ev.ToolFinished(9, "t", "clock", {}, {}, "", True),
        ev.NoticeWithdrawn("never due"),
        ev.ReplyCompleted(9),
        ev.ReplyFailed(9, "llm", "x"),
        ev.DeadlinePassed(),
    ):
        assert talk.feed(event) == []
    assert talk.machine.counts["ignored"] == 14
    talk.feed(ev.PlayoutStarted(3))
    assert talk.feed(ev.PlayoutStarted(3)) == []


def test_packets_that_stop_in_mid_word_count_as_silence() -> None:
    talk = Script()
    talk.speak(480)
    talk.skip()
    talk.wait(999)
    talk.expect()
    talk.wait(1)
    talk.expect(ev.BeginDraft(2, 1, 0, 7680))
    talk.transcribe("set a timer for")
    talk.expect(ev.BeginReply(3, 1, "set a timer for"), ev.StopListening(1), ev.CommitReply(3), ev.StartPlayout(3))


def test_packets_that_stop_after_the_soft_end_commit_the_turn() -> None:
    talk = Script()
    talk.say("set a timer for")
    talk.skip()
    talk.wait(1000)
    talk.expect(ev.StopListening(1), ev.CommitReply(3), ev.StartPlayout(3))


def test_packets_that_come_again_after_a_gap_go_on_with_the_turn() -> None:
    talk = Script()
    talk.speak(480)
    talk.wait(1000)
    talk.skip()
    talk.speak(96)
    talk.expect(ev.AbortDraft(2, 1))
    talk.say("hello there", ms=96)
    talk.quiet(192)
    assert talk.all(ev.CommitReply) == [ev.CommitReply(4)]


def test_packets_that_stop_over_the_bot_end_in_the_bot_going_on() -> None:
    talk = Script()
    talk.ask("hello")
    talk.answer("Hi there.", 5000)
    talk.speak(160)
    talk.wait(1000)
    assert talk.all(ev.BeginDraft)[-1].turn == 4
    talk.wait(1500)
    assert talk.all(ev.ResumePlayout) == [ev.ResumePlayout(3)]


def test_a_timer_that_an_earlier_one_moved_does_not_fire() -> None:
    talk = Script()
    talk.ask("hello")
    talk.wait(talk.due_in_ms() - 1500)
    talk.feed(ev.DigitPressed("5"))
    talk.skip()
    talk.wait(1500)
    talk.expect(
        ev.ClearPlayout(3),
        ev.DropReply(3),
        ev.BeginReply(5, 4, "I pressed 5."),
        ev.CommitReply(5),
        ev.StartPlayout(5),
    )
    assert talk.due_in_ms() == 15000
