"""Turns in which the client has a say: made by it, added, answered when it asks, cut and corrected by it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.invariants import check_call
from tests.core.script import RATE_HZ, Script
from voicebot.core import events as ev
from voicebot.core.client_turns import COMMITS_WAITING, CORRECTABLE

MANUAL = ev.TurnsSet(detect=False, answer=False)
TEXT = "River table seven green window letter."


def ended(talk: Script) -> Script:
    talk.feed(ev.CallEnded("over"))
    check_call(talk)
    return talk


def commit(talk: Script, start: int = 0, stop: int = 16_000, text: str | None = "hello there") -> None:
    talk.feed(ev.SpeechCommitted(start, stop))
    if text is not None:
        talk.transcribe(text)


def manual() -> Script:
    talk = Script()
    talk.feed(MANUAL)
    return talk


# ---- who makes turns


def test_speech_is_no_turn_until_the_client_commits_it() -> None:
    talk = manual()
    talk.speak(2_000)
    talk.quiet(2_000)
    assert not talk.all(ev.BeginListening)
    commit(talk, 1_000, 30_000)
    (draft,) = talk.all(ev.BeginDraft)
    assert (draft.start_sample, draft.stop_sample) == (1_000, 30_000)
    assert talk.said == [("hello there", "")]
    assert not talk.all(ev.BeginReply), "nobody asked for a reply"
    ended(talk)


def test_a_reply_that_is_wanted_before_the_words_are_known_waits_for_them() -> None:
    talk = manual()
    commit(talk, text=None)
    talk.feed(ev.ReplyWanted())
    assert not talk.all(ev.BeginReply)
    talk.transcribe("hello there")
    (reply,) = talk.all(ev.BeginReply)
    assert reply.text == "", "the words are in the history"
    talk.answer("Hello.", 500)
    talk.finish()
    assert talk.said == [("hello there", ""), ("", "Hello.")]
    ended(talk)


def test_committed_speech_without_words_is_told_as_such_and_is_in_no_history() -> None:
    talk = manual()
    commit(talk, text="")
    last = talk.all(ev.PublishTranscript)[-1]
    assert (last.text, last.final) == ("", True)
    assert talk.said == []
    ended(talk)


def test_committed_speech_that_is_not_recognised_is_told_without_an_apology() -> None:
    talk = manual()
    commit(talk, text=None)
    talk.feed(ev.DraftFailed(talk.draft, "broken"))
    (unheard,) = talk.all(ev.PublishUnheard)
    assert "could not be recognised" in unheard.reason
    assert not talk.all(ev.Speak)
    ended(talk)


def test_commits_wait_for_each_other_up_to_a_limit_and_an_empty_one_is_ignored() -> None:
    talk = manual()
    talk.feed(ev.SpeechCommitted(5, 5))
    for at in range(COMMITS_WAITING + 3):
        talk.feed(ev.SpeechCommitted(at * 1_000, at * 1_000 + 900))
    assert len(talk.all(ev.BeginDraft)) == 1
    for _ in range(COMMITS_WAITING + 1):
        talk.transcribe("one more")
    assert len(talk.said) == COMMITS_WAITING + 1
    assert talk.machine.counts["ignored"] == 3
    ended(talk)


def test_a_turn_that_is_being_heard_is_let_go_when_the_client_takes_over() -> None:
    for event in (MANUAL, ev.SpeechCommitted(0, 16_000), ev.SpeechCleared()):
        talk = Script()
        talk.speak(300)
        talk.feed(event)
        assert len(talk.all(ev.StopListening)) == 1
        ended(talk)


def test_clearing_means_nothing_where_no_turn_is_being_heard_or_the_client_has_committed_it() -> None:
    talk = manual()
    talk.feed(ev.SpeechCleared())
    commit(talk, text=None)
    talk.feed(ev.SpeechCleared())
    assert talk.machine.counts["ignored"] == 2
    ended(talk)


def test_speech_over_the_bot_that_is_cleared_lets_the_bot_go_on() -> None:
    talk = Script()
    talk.ask("hello")
    talk.answer(TEXT, 5_000)
    talk.speak(200)
    talk.feed(ev.SpeechCleared())
    assert len(talk.all(ev.ResumePlayout)) == 1
    ended(talk)


def test_a_detected_turn_without_an_unasked_answer_stands_after_the_usual_silence() -> None:
    talk = Script()
    talk.feed(ev.TurnsSet(answer=False))
    talk.say("set a timer")
    assert not talk.said
    talk.quiet(1_216)
    assert talk.said == [("set a timer", "")]
    assert not talk.all(ev.BeginReply)
    ended(talk)


def test_a_detected_turn_stands_when_no_more_windows_come() -> None:
    talk = Script()
    talk.feed(ev.TurnsSet(answer=False))
    talk.speak(480)
    talk.wait(1_100)
    talk.transcribe("set a timer")
    assert talk.said == [("set a timer", "")]
    ended(talk)


def test_a_detected_noise_without_an_unasked_answer_leaves_nothing() -> None:
    talk = Script()
    talk.feed(ev.TurnsSet(answer=False))
    talk.say("")
    talk.quiet(1_216)
    assert talk.said == []
    talk.speak(480)
    talk.quiet(64)
    talk.feed(ev.DraftFailed(talk.draft, "broken"))
    assert talk.all(ev.PublishUnheard)
    ended(talk)


def test_the_clients_waits_and_thresholds_hold_from_the_next_window_on() -> None:
    talk = Script()
    talk.feed(ev.TurnsSet(speech_threshold=0.95, min_wait_ms=600, max_wait_ms=600))
    talk.speak(480, probability=0.9)
    assert not talk.all(ev.BeginListening)
    talk.speak(480, probability=0.97)
    talk.quiet(64)
    talk.transcribe("hello")
    talk.quiet(480)
    assert not talk.all(ev.CommitReply)
    talk.quiet(128)
    assert talk.all(ev.CommitReply)
    ended(talk)


def test_where_speech_may_not_interrupt_a_turn_over_the_bot_waits_for_its_end() -> None:
    talk = Script()
    talk.feed(ev.TurnsSet(interrupt=False))
    talk.ask("hello")
    talk.answer(TEXT, 5_000)
    first = talk.reply
    talk.ask("stop that please")
    assert not talk.all(ev.PausePlayout) and len(talk.all(ev.CommitReply)) == 1
    talk.feed(ev.PlayoutFinished(first))
    talk.quiet(64)
    assert len(talk.all(ev.CommitReply)) == 2
    assert talk.said[0] == ("hello", TEXT)
    ended(talk)


# ---- what the client adds and takes away


def test_words_that_are_added_are_in_the_prompt_of_the_next_reply() -> None:
    talk = manual()
    talk.feed(ev.WordsAdded("user", "my name is Ada"))
    talk.feed(ev.WordsAdded("assistant", "Nice to meet you."))
    assert [line.text for line in talk.machine.history.lines()] == ["my name is Ada", "Nice to meet you."]
    assert [(added.role, added.text) for added in talk.all(ev.PublishAdded)] == [
        ("user", "my name is Ada"),
        ("assistant", "Nice to meet you."),
    ]


def test_words_can_be_forgotten_side_by_side() -> None:
    talk = Script()
    talk.ask("hello")
    talk.feed(ev.ToolFinished(talk.reply, "c1", "get_time", {}, {"time": "ten"}, "", acting=False))
    talk.answer("Ten.", 500)
    talk.finish()
    (exchange,) = talk.machine.history.exchanges
    talk.feed(ev.WordsForgotten(exchange.turn, "assistant"))
    assert talk.said == [("hello", "")]
    talk.feed(ev.WordsForgotten(exchange.turn, "user"))
    talk.feed(ev.WordsForgotten(exchange.turn, "tool", "c1"))
    assert talk.machine.history.lines() == []
    talk.feed(ev.WordsForgotten(999, "user"))
    assert talk.machine.counts["ignored"] == 1


# ---- tools that the client runs


def call_tool(talk: Script, call_id: str = "call_1") -> None:
    talk.feed(ev.ToolHandedOver(talk.reply, call_id, "look_up", {"order": 7}))


def test_a_tool_of_the_clients_ends_the_reply_and_its_result_makes_the_next_prompt() -> None:
    talk = Script()
    talk.ask("where is my order")
    call_tool(talk)
    talk.feed(ev.ReplyCompleted(talk.reply))
    assert talk.state == "listening" and not talk.all(ev.Speak), "no apology for a reply without words"
    assert [line.role for line in talk.machine.history.lines()] == ["user"], "half a pair is in no prompt"
    talk.feed(ev.ToolAnswered("call_1", "look_up", {"order": 7}, {"state": "sent"}))
    talk.feed(ev.ReplyWanted())
    lines = talk.machine.history.lines()
    assert [line.role for line in lines] == ["user", "assistant", "tool"]
    assert lines[2].tool is not None and lines[2].tool.value == {"state": "sent"}
    talk.answer("It was sent.", 800)
    talk.finish()
    assert talk.said == [("where is my order", ""), ("", "It was sent.")]
    ended(talk)


def test_a_reply_with_words_and_a_tool_is_heard_to_its_end_and_the_next_one_waits() -> None:
    talk = Script()
    talk.ask("where is my order")
    talk.write("Let me look.", 1_000)
    call_tool(talk)
    talk.feed(ev.ReplyCompleted(talk.reply))
    talk.feed(ev.ToolAnswered("call_1", "look_up", {}, {"state": "sent"}))
    talk.feed(ev.ReplyWanted())
    assert len(talk.all(ev.StartPlayout)) == 1
    talk.finish()
    assert len(talk.all(ev.StartPlayout)) == 2
    ended(talk)


def test_a_result_of_a_call_that_is_not_in_the_talk_comes_with_its_call() -> None:
    talk = manual()
    talk.feed(ev.ToolAnswered("old", "look_up", {"order": 1}, {"state": "lost"}))
    assert [line.role for line in talk.machine.history.lines()] == ["assistant", "tool"]
    (added,) = talk.all(ev.PublishAdded)
    assert (added.role, added.text) == ("tool", '{"state": "lost"}')


def test_a_tool_of_a_reply_that_is_not_live_is_not_handed_over() -> None:
    talk = Script()
    talk.say("where is my order")
    call_tool(talk)
    talk.feed(ev.ToolHandedOver(999, "call_2", "look_up", {}))
    assert not talk.all(ev.PublishCalled)
    ended(talk)


def test_a_turn_whose_tool_was_handed_over_is_not_reopened() -> None:
    talk = Script()
    talk.ask("where is my order")
    talk.write("Let me look.", 3_000)
    call_tool(talk)
    talk.speak(720)
    assert talk.machine.counts["barge_ins"] == 1 and not talk.machine.counts["reopened"]
    ended(talk)


# ---- replies that are wanted, stopped, corrected


def test_a_wanted_reply_is_given_up_for_the_reply_of_a_turn_that_comes_meanwhile() -> None:
    talk = Script()
    talk.say("hello there")
    talk.feed(ev.ReplyWanted())
    talk.quiet(1_216)
    talk.answer("Hello.", 500)
    talk.finish()
    assert len(talk.all(ev.StartPlayout)) == 1
    ended(talk)


def test_cancelling_cuts_the_reply_to_what_was_heard_and_takes_the_wish_back() -> None:
    talk = Script()
    talk.ask("hello")
    talk.answer(TEXT, 6_000)
    talk.heard_ms = 3_000
    talk.quiet(64)
    talk.feed(ev.ReplyCancelled())
    assert talk.said == [("hello", "River table seven")]
    talk.heard_ms = 0
    talk.speak(300)
    talk.feed(ev.ReplyWanted())
    talk.feed(ev.ReplyCancelled())
    talk.feed(ev.SpeechCleared())
    assert len(talk.all(ev.StartPlayout)) == 1
    before = talk.machine.counts["ignored"]
    talk.feed(ev.ReplyCancelled())
    assert talk.machine.counts["ignored"] == before + 1
    ended(talk)


@pytest.mark.parametrize(("ms", "words"), [(0, ""), (2_100, "River table"), (4_200, "River table seven green window")])
def test_what_the_client_says_was_heard_replaces_what_the_clock_says(ms: int, words: str) -> None:
    talk = Script()
    talk.ask("hello")
    talk.answer(TEXT, 6_000)
    talk.heard_ms = 3_000
    talk.quiet(64)
    reply = talk.reply
    talk.feed(ev.ReplyCancelled())
    talk.feed(ev.HeardCorrected(reply, ms * RATE_HZ // 1_000))
    assert talk.said == [("hello", words)]
    told = talk.all(ev.PublishHeard)[-1]
    assert (told.reply, told.text, told.interrupted) == (reply, words, True)
    ended(talk)


def test_a_correction_ends_a_live_reply_and_one_of_everything_leaves_it_whole() -> None:
    talk = Script()
    talk.ask("hello")
    talk.answer(TEXT, 6_000)
    talk.feed(ev.HeardCorrected(talk.reply, 10**9))
    assert talk.all(ev.ClearPlayout) and talk.said == [("hello", TEXT)]
    assert not talk.all(ev.PublishHeard)[-1].interrupted
    ended(talk)


def test_replies_too_long_ago_and_unknown_ones_cannot_be_corrected() -> None:
    talk = manual()
    first = 0
    for _ in range(CORRECTABLE + 1):
        talk.feed(ev.ReplyWanted())
        first = first or talk.reply
        talk.answer("Yes.", 300)
        talk.finish()
    talk.feed(ev.HeardCorrected(first, 0))
    talk.feed(ev.HeardCorrected(999_999, 0))
    assert not talk.all(ev.PublishHeard)
    ended(talk)


def test_a_wanted_reply_that_fails_is_apologised_for() -> None:
    talk = manual()
    talk.feed(ev.WordsAdded("user", "hello"))
    talk.feed(ev.ReplyWanted())
    talk.feed(ev.ReplyFailed(talk.reply, "llm", "broken"))
    assert talk.all(ev.Speak)
    ended(talk)


def test_an_errand_of_a_wanted_reply_is_delivered() -> None:
    talk = manual()
    talk.feed(ev.WordsAdded("user", "why is the sky blue"))
    talk.feed(ev.ReplyWanted())
    talk.feed(ev.ErrandWanted(talk.reply, "why is the sky blue"))
    talk.answer("Let me find out.", 500)
    talk.finish()
    (errand,) = talk.all(ev.BeginErrand)
    talk.feed(ev.ErrandReady(errand.errand, "answered"))
    talk.wait(300)
    assert talk.all(ev.DeliverErrand)
    ended(talk)


def replayed(talk: Script) -> Any:
    from voicebot.core.trace import replay

    return replay(talk.trace)


def test_a_trace_of_such_a_call_replays() -> None:
    talk = Script()
    talk.feed(ev.TurnsSet(answer=False, min_wait_ms=300, max_wait_ms=300))
    talk.ask("where is my order")
    talk.feed(ev.ReplyWanted())
    call_tool(talk)
    talk.feed(ev.ReplyCompleted(talk.reply))
    talk.feed(ev.ToolAnswered("call_1", "look_up", {}, {"output": "sent"}))
    assert replayed(ended(talk)) is None


def test_results_find_their_calls_whatever_their_order() -> None:
    talk = Script()
    talk.ask("where are my orders")
    call_tool(talk, "call_1")
    call_tool(talk, "call_2")
    talk.feed(ev.ReplyCompleted(talk.reply))
    talk.feed(ev.ReplyWanted())
    talk.answer("One moment.", 500)
    talk.finish()
    for call_id in ("call_2", "call_1"):
        talk.feed(ev.ToolAnswered(call_id, "look_up", {}, {"of": call_id}))
    uses = talk.machine.history.exchanges[0].tools
    assert [(use.call_id, use.value) for use in uses] == [("call_1", {"of": "call_1"}), ("call_2", {"of": "call_2"})]
    ended(talk)


def test_a_committed_turn_stays_open_while_windows_come_and_go() -> None:
    talk = manual()
    commit(talk, text=None)
    talk.quiet(640)
    talk.wait(2_000)
    assert talk.said == []
    talk.transcribe("hello there")
    assert talk.said == [("hello there", "")]
    ended(talk)
