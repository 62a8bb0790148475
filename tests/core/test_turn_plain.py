"""Turns that nothing goes wrong with: drafts, waits, commits, and what is shown of them."""

from __future__ import annotations

import pytest

from tests.core.script import Script
from voicebot.core import events as ev
from voicebot.core.history import Line


def test_a_plain_turn_is_drafted_committed_played_and_remembered() -> None:
    talk = Script()
    assert talk.log == [ev.PublishState("listening")]
    assert talk.machine.deadline is None
    talk.speak(480)
    talk.expect(ev.BeginListening(turn=1, start_sample=0))
    talk.quiet(64)
    talk.expect(ev.BeginDraft(draft=2, turn=1, start_sample=0, stop_sample=7680))
    talk.transcribe("Hello there.")
    talk.expect(ev.BeginReply(reply=3, turn=1, text="Hello there."))
    talk.feed(ev.ReplyBegan(3, "talker"))
    talk.write("Hi!", 500)
    talk.quiet(160)
    talk.expect()
    talk.quiet(32)
    talk.expect(ev.StopListening(1), ev.CommitReply(3), ev.StartPlayout(3))
    assert (talk.state, talk.due_in_ms()) == ("thinking", 15500)
    talk.feed(ev.ReplyCompleted(3))
    assert talk.due_in_ms() == 3500
    talk.feed(ev.PlayoutStarted(3))
    assert talk.state == "speaking"
    talk.quiet(480)
    talk.finish()
    talk.expect(ev.DropReply(3))
    assert talk.said == [("Hello there.", "Hi!")]
    assert talk.machine.history.lines() == [Line("user", "Hello there.", turn=1), Line("assistant", "Hi!", turn=1)]
    assert (talk.state, talk.machine.deadline) == ("listening", None)
    last = talk.all(ev.PublishTurn)[-1]
    assert (last.turn, last.heard, last.reply, last.model, last.ended) == (1, "Hello there.", "Hi!", "talker", True)
    assert last.v2v_ms == 256.0
    assert last.waterfall["stages"][0] == {"name": "wait", "start_ms": 0.0, "stop_ms": 256.0}


def test_partial_words_are_shown_until_the_draft_is_transcribed() -> None:
    talk = Script()
    talk.speak(480)
    talk.feed(ev.PartialTranscribed(1, "what"))
    talk.feed(ev.PartialTranscribed(1, "what"))
    talk.quiet(64)
    talk.transcribe("what time is it")
    talk.feed(ev.PartialTranscribed(1, "what time"))
    talk.feed(ev.PartialTranscribed(7, "of another turn"))
    assert talk.machine.counts["ignored"] == 2
    talk.quiet(512)
    assert [(c.text, c.final) for c in talk.all(ev.PublishTranscript)] == [
        ("what", False),
        ("what time is it", False),
        ("what time is it", True),
    ]


@pytest.mark.parametrize(
    ("text", "silence_ms"),
    [("play some music", 256), ("what time is this then", 480), ("set a timer for", 1120), ("turn it up please", 480)],
)
def test_the_commit_waits_longer_the_less_complete_the_words_are(text: str, silence_ms: int) -> None:
    talk = Script()
    talk.say(text)
    talk.skip()
    talk.quiet(silence_ms - 64 - 32)
    talk.expect()
    talk.quiet(32)
    talk.expect(ev.StopListening(1), ev.CommitReply(3), ev.StartPlayout(3))


@pytest.mark.parametrize(("probability", "silence_ms"), [(1.0, 224), (0.5, 704), (0.0, 1216)])
def test_what_an_end_of_turn_model_says_stands_against_the_rule_of_the_last_word(
    probability: float, silence_ms: int
) -> None:
    talk = Script()
    talk.speak(480)
    talk.quiet(64)
    talk.feed(ev.EndScored(2, probability))
    talk.feed(ev.EndScored(99, 1.0))
    assert talk.machine.counts["ignored"] == 1
    talk.transcribe("set a timer for")
    talk.quiet(silence_ms - 64 - 32)
    assert talk.all(ev.CommitReply) == []
    talk.quiet(32)
    assert talk.all(ev.CommitReply) == [ev.CommitReply(3)]


def test_a_wait_ends_when_the_speech_has_come_so_far_and_not_with_the_next_whole_window() -> None:
    talk = Script()
    talk.speak(480)
    assert talk.machine.due_sample is None
    talk.quiet(64)
    assert talk.machine.due_sample is None
    talk.feed(ev.EndScored(talk.draft, 1.0))
    talk.transcribe("hello there")
    assert talk.machine.due_sample == (480 + 200) * 16
    talk.quiet(128)
    talk.skip()
    talk.lull(4)
    talk.expect()
    assert talk.machine.due_sample == (480 + 200) * 16
    talk.lull(4)
    talk.expect(ev.StopListening(1), ev.CommitReply(3), ev.StartPlayout(3))
    assert talk.machine.due_sample is None
    talk.lull(4)
    assert talk.machine.counts["ignored"] == 1


def test_words_that_come_late_find_the_silence_that_has_come_since_the_last_window() -> None:
    talk = Script()
    talk.speak(480)
    talk.quiet(192)
    talk.feed(ev.EndScored(talk.draft, 1.0))
    talk.lull(16)
    talk.skip()
    talk.transcribe("hello there")
    talk.expect(ev.BeginReply(3, 1, "hello there"), ev.StopListening(1), ev.CommitReply(3), ev.StartPlayout(3))


def test_a_caller_who_goes_on_in_the_window_that_a_wait_looked_into_is_heard_all_the_same() -> None:
    talk = Script()
    talk.say("set a timer for")
    talk.quiet(448)
    talk.lull(16)
    talk.skip()
    talk.speak(480)
    talk.expect(ev.AbortDraft(draft=2, turn=1))
    assert talk.machine.due_sample is None


def test_silence_over_the_bot_is_due_nowhere() -> None:
    talk = Script()
    talk.ask("hello there")
    talk.answer("Good day to you.", 2000)
    talk.speak(480)
    talk.quiet(64)
    assert talk.machine.due_sample is None


def test_a_late_score_commits_at_once_when_the_silence_is_long_enough() -> None:
    talk = Script()
    talk.say("set a timer for")
    talk.quiet(608)
    assert talk.all(ev.CommitReply) == []
    talk.feed(ev.EndScored(talk.draft, 1.0))
    assert talk.all(ev.CommitReply) == [ev.CommitReply(3)]


def test_a_late_transcript_commits_at_once() -> None:
    talk = Script()
    talk.speak(480)
    talk.quiet(960)
    talk.skip()
    talk.transcribe("hello there")
    talk.expect(ev.BeginReply(3, 1, "hello there"), ev.StopListening(1), ev.CommitReply(3), ev.StartPlayout(3))


def test_a_pause_inside_a_turn_aborts_the_draft_and_makes_one_of_the_whole() -> None:
    talk = Script()
    talk.say("set a timer for")
    talk.skip()
    talk.quiet(192)
    talk.speak(480)
    talk.expect(ev.AbortDraft(draft=2, turn=1))
    talk.quiet(64)
    talk.transcribe("set a timer for ten minutes")
    talk.expect(
        ev.BeginDraft(draft=4, turn=1, start_sample=0, stop_sample=(480 + 64 + 192 + 480) * 16),
        ev.DropReply(3),
        ev.BeginReply(5, 1, "set a timer for ten minutes"),
    )
    talk.quiet(192)
    talk.expect(ev.StopListening(1), ev.CommitReply(5), ev.StartPlayout(5))
    assert talk.machine.counts["aborted"] == 1


def test_the_same_words_after_a_pause_keep_the_held_reply() -> None:
    talk = Script()
    talk.say("Hello there.")
    talk.write("Hi!", 300)
    talk.speak(96)
    talk.quiet(64)
    talk.skip()
    talk.transcribe("hello there")
    talk.expect()
    assert talk.machine.counts["reused"] == 1
    talk.quiet(192)
    talk.expect(ev.StopListening(1), ev.CommitReply(3), ev.StartPlayout(3))


def test_a_stale_transcript_changes_nothing() -> None:
    talk = Script()
    talk.speak(480)
    talk.quiet(64)
    talk.speak(480)
    before = talk.machine.deadline
    assert talk.feed(ev.DraftTranscribed(2, "set a timer")) == []
    assert talk.feed(ev.DraftFailed(2, "late")) == []
    assert (talk.machine.deadline, talk.machine.counts["ignored"]) == (before, 2)


def test_a_short_noise_without_words_leaves_nothing() -> None:
    talk = Script()
    talk.say("", ms=320)
    talk.skip()
    talk.quiet(704)
    talk.expect(ev.StopListening(1))
    assert (talk.said, talk.state, talk.machine.deadline) == ([], "listening", None)


@pytest.mark.parametrize("text", ["", " ... ", "♪"])
def test_long_speech_without_a_word_is_told_so(text: str) -> None:
    talk = Script()
    talk.say(text, ms=1024)
    talk.skip()
    talk.quiet(704)
    talk.expect(ev.StopListening(1), ev.Speak(4, "Sorry, I did not catch that."), ev.StartPlayout(4))


def test_words_that_a_second_look_does_not_find_are_taken_back() -> None:
    talk = Script()
    talk.say("hello")
    talk.speak(96)
    talk.quiet(64)
    talk.skip()
    talk.transcribe("")
    talk.expect(ev.DropReply(3))
    talk.quiet(704)
    talk.expect(ev.StopListening(1))
    assert talk.all(ev.PublishTranscript)[-1] == ev.PublishTranscript(1, "", True)
    assert talk.said == []


def test_recognition_begins_some_context_before_the_first_voice() -> None:
    talk = Script()
    talk.quiet(640)
    talk.speak(96)
    talk.expect(ev.BeginListening(1, start_sample=(640 - 240) * 16))


def test_tools_are_shown_and_remembered_with_their_turn() -> None:
    talk = Script()
    talk.say("what time is it")
    talk.feed(ev.ToolFinished(3, "t1", "clock", {}, {"time": "5"}, "It is five.", acting=False))
    talk.quiet(512)
    talk.answer("It is five.", 800)
    talk.finish()
    assert talk.all(ev.PublishTool) == [ev.PublishTool(1, "clock", {}, "It is five.")]
    (exchange,) = talk.machine.history.exchanges
    assert [(tool.call_id, tool.name, tool.value) for tool in exchange.tools] == [("t1", "clock", {"time": "5"})]


def test_the_reply_is_shown_as_it_is_written_and_heard() -> None:
    talk = Script()
    talk.ask("hello")
    talk.write("One two", 320)
    talk.write("three.", 320, clause=1)
    talk.feed(ev.ReplyCompleted(talk.reply))
    talk.feed(ev.PlayoutStarted(talk.reply))
    talk.heard_ms = 400
    talk.quiet(64)
    talk.finish()
    shown = [(c.text, c.heard, c.final, c.interrupted) for c in talk.all(ev.PublishReply)]
    assert (
        shown
        == [
            ("", "", False, False),
            ("One two", "", False, False),
            ("One two three.", "", False, False),
            ("One two three.", "One two", False, False),
            ("One two three.", "One two three.", True, False),
        ][1:]
    )
