"""Speech over the bot: pause, judge, then resume, clear or reopen."""

from __future__ import annotations

import pytest

from tests.core.script import Script
from voicebot.core import events as ev

STORY = "once upon a time there was a king"


def story(heard_ms: float = 2000, **settings: int) -> Script:
    """The bot tells a story (reply 3, 4 s, 8 words) of which `heard_ms` have been heard."""
    talk = Script(**settings)
    talk.ask("tell me a story")
    talk.answer(STORY, 4000)
    talk.heard_ms = heard_ms
    talk.quiet(32)
    talk.skip()
    return talk


def test_speech_over_the_bot_pauses_it_at_once() -> None:
    talk = story()
    talk.speak(64)
    talk.expect()
    talk.speak(32)
    assert [type(c).__name__ for c in talk.steps[-1][1]] == ["BeginListening", "PausePlayout", "PublishState"]
    assert talk.state == "paused"


@pytest.mark.parametrize("text", ["mm-hm", "Okay.", "Yeah, right.", ""])
def test_a_backchannel_or_a_cough_lets_the_bot_go_on(text: str) -> None:
    talk = story()
    talk.say(text, ms=320)
    talk.expect(
        talk.all(ev.BeginListening)[-1],
        ev.PausePlayout(3),
        talk.all(ev.BeginDraft)[-1],
        ev.StopListening(4),
        ev.ResumePlayout(3),
    )
    assert talk.state == "speaking"
    assert talk.due_in_ms() == 2000 + 3000
    assert talk.machine.counts["resumed"] == 1
    assert len(talk.all(ev.PublishTranscript)) == 2
    talk.finish()
    assert talk.said == [("tell me a story", STORY)]


def test_words_clear_the_bot_and_history_ends_where_the_caller_stopped_it() -> None:
    talk = story(heard_ms=2000)
    talk.say("what about a dragon", ms=480)
    talk.expect(
        ev.BeginListening(4, talk.all(ev.BeginListening)[-1].start_sample),
        ev.PausePlayout(3),
        ev.BeginDraft(5, 4, talk.all(ev.BeginDraft)[-1].start_sample, talk.all(ev.BeginDraft)[-1].stop_sample),
        ev.ClearPlayout(3),
        ev.DropReply(3),
        ev.BeginReply(6, 4, "what about a dragon"),
    )
    assert talk.said == [("tell me a story", "once upon a time")]
    assert talk.machine.history.lines()[-1].text == "once upon a time—"
    ended = talk.all(ev.PublishTurn)[-1]
    assert (ended.reply, ended.interrupted, ended.ended) == ("once upon a time", True, True)
    talk.quiet(256)
    assert talk.all(ev.CommitReply)[-1] == ev.CommitReply(6)


def test_long_voice_clears_before_any_transcript() -> None:
    talk = story()
    talk.speak(672)
    assert talk.all(ev.ClearPlayout) == []
    talk.speak(32)
    assert talk.steps[-1][1][:2] == [ev.ClearPlayout(3), ev.DropReply(3)]
    talk.feed(ev.PartialTranscribed(4, "but what"))
    assert talk.all(ev.PublishTranscript)[-1] == ev.PublishTranscript(4, "but what", False)


def test_words_over_the_bot_are_not_shown_until_it_is_an_interruption() -> None:
    talk = story()
    talk.speak(320)
    assert talk.feed(ev.PartialTranscribed(4, "mm")) == []


def test_going_on_right_after_the_commit_reopens_the_turn_and_merges_both_halves() -> None:
    talk = Script()
    talk.ask("set a timer")
    talk.answer("Sure, for how long would you like it to run", 3000)
    talk.heard_ms = 500
    talk.quiet(32)
    talk.skip()
    talk.say("for ten minutes", ms=480)
    talk.expect(
        talk.all(ev.BeginListening)[-1],
        ev.PausePlayout(3),
        talk.all(ev.BeginDraft)[-1],
        ev.ClearPlayout(3),
        ev.DropReply(3),
        ev.BeginReply(6, 1, "set a timer for ten minutes"),
    )
    assert talk.said == []
    talk.heard_ms = 0
    talk.quiet(256)
    assert talk.all(ev.PublishTranscript)[-1] == ev.PublishTranscript(1, "set a timer for ten minutes", True)
    assert talk.machine.counts["reopened"] == 1
    talk.answer("Ten minutes.", 600)
    talk.finish()
    assert talk.said == [("set a timer for ten minutes", "Ten minutes.")]


def test_a_turn_can_be_reopened_twice() -> None:
    talk = Script()
    talk.ask("set a timer")
    talk.say("for ten minutes")
    talk.quiet(256)
    talk.say("called eggs")
    talk.quiet(256)
    assert talk.all(ev.BeginReply)[-1].text == "set a timer for ten minutes called eggs"
    assert talk.said == [("set a timer for ten minutes called eggs", "")]
    assert {c.turn for c in talk.all(ev.PublishTurn)} == {1}


def test_an_interruption_while_the_bot_is_still_thinking_reopens_the_turn() -> None:
    talk = Script()
    talk.ask("what is the weather")
    assert talk.state == "thinking"
    talk.say("in paris")
    assert talk.all(ev.BeginReply)[-1] == ev.BeginReply(6, 1, "what is the weather in paris")


def test_the_bot_stays_silent_about_a_failure_while_the_caller_speaks_over_it() -> None:
    talk = Script()
    talk.ask("what is the weather")
    talk.speak(320)
    talk.skip()
    talk.feed(ev.ReplyFailed(3, "llm", "broken"))
    talk.expect(ev.DropReply(3), ev.Speak(5, talk.settings.apology), ev.StartPlayout(5), ev.PausePlayout(5))
    assert talk.state == "paused"
    talk.quiet(64)
    talk.transcribe("mm")
    assert talk.all(ev.ResumePlayout) == [ev.ResumePlayout(5)]


@pytest.mark.parametrize("text", ["stop", "no", "never mind"])
def test_stop_is_never_the_second_half_of_a_turn(text: str) -> None:
    talk = Script()
    talk.ask("set a timer for ten minutes")
    talk.say(text)
    assert talk.all(ev.BeginReply)[-1] == ev.BeginReply(6, 4, text)
    assert talk.said == [("set a timer for ten minutes", "")]


def test_a_long_stop_takes_back_the_words_that_it_had_reopened() -> None:
    talk = Script()
    talk.ask("set a timer for ten minutes")
    talk.say("please stop", ms=800)
    assert talk.all(ev.BeginReply)[-1] == ev.BeginReply(6, 1, "please stop")


def test_a_tool_that_acted_forbids_the_reopening() -> None:
    talk = Script()
    talk.ask("set a timer for ten minutes")
    talk.feed(ev.ToolFinished(3, "t1", "set_timer", {"seconds": 600}, {"ok": True}, "Done.", acting=True))
    talk.say("and call it eggs")
    assert talk.all(ev.BeginReply)[-1] == ev.BeginReply(6, 4, "and call it eggs")
    assert talk.said == [("set a timer for ten minutes", "")]
    assert len(talk.machine.history.exchanges[0].tools) == 1


def test_a_tool_that_is_acting_still_forbids_the_reopening() -> None:
    talk = Script()
    talk.ask("book a table")
    talk.feed(ev.ToolBegan(3, "book_table"))
    talk.say("for two people")
    assert talk.all(ev.BeginReply)[-1] == ev.BeginReply(6, 4, "for two people")
    assert talk.said == [("book a table", "")]


def test_a_reply_heard_for_longer_is_not_taken_back() -> None:
    talk = story(heard_ms=1001)
    talk.say("and a queen")
    assert talk.all(ev.BeginReply)[-1] == ev.BeginReply(6, 4, "and a queen")
    assert len(talk.said) == 1


def test_reopening_with_a_noise_answers_the_first_half_again() -> None:
    talk = Script()
    talk.ask("what is the weather")
    talk.say("", ms=800)
    assert talk.all(ev.BeginReply)[-1] == ev.BeginReply(6, 1, "what is the weather")


@pytest.mark.parametrize(("heard_ms", "is_answer"), [(1500, True), (900, False)])
def test_a_yes_over_the_tail_of_a_question_is_its_answer(heard_ms: int, is_answer: bool) -> None:
    talk = Script()
    talk.ask("cancel my timer")
    talk.answer("Do you want me to cancel it?", 2000)
    talk.heard_ms = heard_ms
    talk.say("yes", ms=160)
    assert (len(talk.all(ev.ClearPlayout)), len(talk.all(ev.ResumePlayout))) == ((1, 0) if is_answer else (0, 1))
    if is_answer:
        assert talk.all(ev.BeginReply)[-1] == ev.BeginReply(6, 4, "yes")


def test_the_answer_to_a_short_question_does_not_reopen_the_turn_before() -> None:
    talk = Script()
    talk.ask("set a timer")
    talk.answer("How long?", 700)
    talk.heard_ms = 500
    talk.say("ten minutes")
    assert talk.all(ev.BeginReply)[-1] == ev.BeginReply(6, 4, "ten minutes")
    assert talk.said == [("set a timer", "How long?")]


def test_a_cough_over_the_tail_of_a_question_is_no_answer() -> None:
    talk = Script()
    talk.ask("set a timer")
    talk.answer("How long?", 700)
    talk.say("", ms=160)
    assert talk.all(ev.ResumePlayout) == [ev.ResumePlayout(3)]


def test_a_yes_after_the_question_has_been_heard_is_a_turn() -> None:
    talk = Script()
    talk.ask("cancel my timer")
    talk.answer("Shall I?", 600)
    talk.finish()
    talk.ask("yes")
    assert [c.text for c in talk.all(ev.BeginReply)] == ["cancel my timer", "yes"]


def test_speech_that_began_over_the_last_word_is_a_turn_of_its_own() -> None:
    talk = story(heard_ms=4000)
    talk.speak(160)
    talk.finish()
    assert talk.state == "hearing"
    talk.quiet(64)
    talk.transcribe("go on then")
    talk.quiet(1216)
    assert talk.all(ev.CommitReply)[-1] == ev.CommitReply(6)
    assert talk.said[0] == ("tell me a story", STORY)


def test_no_verdict_is_waited_for_once_the_reply_is_over() -> None:
    talk = story(heard_ms=4000)
    talk.speak(160)
    talk.quiet(64)
    talk.finish()
    talk.quiet(4992)
    assert talk.all(ev.Speak) == []
    talk.transcribe("go on then")
    assert talk.all(ev.CommitReply)[-1] == ev.CommitReply(6)


def test_without_a_transcript_the_bot_goes_on_after_the_verdict_time() -> None:
    talk = story()
    talk.speak(320)
    talk.quiet(64)
    assert talk.due_in_ms() == 1000
    talk.skip()
    talk.quiet(1472)
    talk.expect()
    talk.quiet(32)
    talk.expect(ev.AbortDraft(5, 4), ev.StopListening(4), ev.ResumePlayout(3))
    assert talk.machine.counts["draft_timeouts"] == 1


def test_a_recogniser_failure_over_the_bot_lets_it_go_on() -> None:
    talk = story()
    talk.speak(320)
    talk.quiet(64)
    talk.skip()
    talk.feed(ev.DraftFailed(5, "broken"))
    talk.expect(ev.AbortDraft(5, 4), ev.StopListening(4), ev.ResumePlayout(3))


def test_the_greeting_can_be_interrupted_and_is_never_reopened() -> None:
    talk = Script(greeting="Hello, how can I help?")
    talk.expect(ev.Speak(2, "Hello, how can I help?"), ev.StartPlayout(2))
    talk.answer("Hello, how can I help?", 2000)
    talk.heard_ms = 100
    talk.say("what time is it")
    assert talk.all(ev.BeginReply)[-1] == ev.BeginReply(5, 3, "what time is it")
    assert talk.said == [("", "")]


def test_a_reply_that_completes_while_paused_is_watched_once_it_goes_on() -> None:
    talk = Script()
    talk.ask("tell me a story")
    talk.write(STORY, 4000)
    talk.feed(ev.PlayoutStarted(3))
    talk.speak(160)
    talk.feed(ev.ReplyCompleted(3))
    assert talk.due_in_ms() == 1000
    talk.quiet(64)
    talk.transcribe("okay")
    assert talk.due_in_ms() == 7000


def test_words_that_the_recogniser_is_unsure_of_do_not_take_the_floor() -> None:
    talk = story()
    talk.speak(320)
    talk.quiet(64)
    talk.feed(ev.DraftTranscribed(talk.draft, "hub bub", confidence=talk.settings.overlap_confidence - 0.01))
    assert talk.all(ev.ResumePlayout) == [ev.ResumePlayout(3)]


def test_what_was_heard_between_two_windows_counts() -> None:
    talk = story(heard_ms=0)
    talk.feed(ev.PlayoutHeard(9, 32_000))
    assert talk.machine.counts["ignored"] == 1
    talk.feed(ev.PlayoutHeard(3, 32_000))
    assert talk.all(ev.PublishReply)[-1].heard == "once upon a time"
    assert talk.feed(ev.PlayoutHeard(3, 32_000)) == []
    talk.feed(ev.CallEnded("hung up"))
    assert talk.said == [("tell me a story", "once upon a time")]
