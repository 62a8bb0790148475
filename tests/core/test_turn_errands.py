"""Errands: asked at the commit, answered in a gap, withdrawn, replaced, repeated or let go."""

from __future__ import annotations

import pytest

from tests.core.script import Script
from voicebot.core import events as ev
from voicebot.core.errands import alike

ASKED = "why did the roman empire fall"
ACK = "Let me find out."


def asked(request: str = ASKED, **settings: int) -> Script:
    """A turn whose reply only acknowledges; its errand has begun and the acknowledgement has been heard."""
    talk = Script(**settings)
    ask(talk, request)
    return talk


def ask(talk: Script, request: str = ASKED) -> int:
    talk.say(request)
    talk.feed(ev.ErrandWanted(talk.reply, request))
    talk.answer(ACK, 600)
    talk.quiet(1216)
    talk.finish()
    talk.skip()
    return talk.all(ev.BeginErrand)[-1].errand


def states(talk: Script, errand: int) -> list[str]:
    return [shown.state for shown in talk.all(ev.PublishErrand) if shown.errand == errand]


def test_an_errand_begins_when_its_turn_stands_and_not_before() -> None:
    talk = Script()
    talk.say(ASKED)
    talk.feed(ev.ErrandWanted(3, ASKED))
    talk.feed(ev.ErrandWanted(3, "twice"))
    talk.answer(ACK, 600)
    talk.skip()
    talk.quiet(192)
    talk.expect(ev.StopListening(1), ev.CommitReply(3), ev.StartPlayout(3), ev.BeginErrand(4, 1, ASKED))
    assert talk.all(ev.PublishErrand) == [ev.PublishErrand(4, 1, ASKED, "pending")]


def test_a_reply_that_is_live_already_may_want_one() -> None:
    talk = Script()
    talk.feed(ev.TextTyped(ASKED))
    talk.skip()
    talk.feed(ev.ErrandWanted(2, ASKED))
    talk.expect(ev.BeginErrand(3, 1, ASKED))


@pytest.mark.parametrize("wanted", [ev.ErrandWanted(9, "x"), ev.ErrandWanted(2, "")])
def test_an_unknown_reply_or_an_empty_request_begins_nothing(wanted: ev.ErrandWanted) -> None:
    talk = Script()
    talk.feed(ev.TextTyped(ASKED))
    assert talk.feed(wanted) == []
    assert talk.machine.counts["ignored"] == 1


def test_what_the_bot_says_unasked_wants_no_expert() -> None:
    talk = Script()
    talk.feed(ev.NoticeDue("The eggs are done."))
    assert talk.feed(ev.ErrandWanted(talk.reply, "x")) == []


def test_a_draft_that_is_taken_back_costs_nothing() -> None:
    talk = Script()
    talk.say(ASKED)
    talk.feed(ev.ErrandWanted(talk.reply, ASKED))
    talk.speak(320)
    talk.quiet(64)
    talk.transcribe("what time is it")
    talk.quiet(1216)
    assert talk.all(ev.BeginErrand) == []


def test_the_answer_is_spoken_after_the_gap() -> None:
    talk = asked()
    talk.quiet(64)
    talk.feed(ev.ErrandReady(4, "answered"))
    talk.expect()
    assert talk.due_in_ms() == 136
    talk.quiet(128)
    talk.expect()
    talk.quiet(32)
    talk.expect(ev.DeliverErrand(6, 4, introduce=False), ev.StartPlayout(6))
    talk.answer("Of many causes.", 900)
    talk.finish()
    talk.expect(ev.DropReply(6), ev.DropErrand(4))
    assert talk.said == [(ASKED, ACK), ("", "Of many causes.")]
    assert states(talk, 4) == ["pending", "ready", "speaking", "delivered"]


def test_after_a_long_silence_the_answer_is_spoken_at_once() -> None:
    talk = asked()
    talk.quiet(3200)
    talk.feed(ev.ErrandReady(4, "answered"))
    talk.expect(ev.DeliverErrand(6, 4, introduce=False), ev.StartPlayout(6))


def test_an_answer_does_not_begin_while_the_caller_may_just_be_beginning() -> None:
    talk = asked()
    errand = talk.all(ev.BeginErrand)[-1].errand
    talk.quiet(1000)
    talk.speak(32)
    talk.feed(ev.ErrandReady(errand, "answered"))
    assert states(talk, errand)[-1] == "ready"
    talk.speak(32)
    assert states(talk, errand)[-1] == "ready"
    talk.quiet(32)
    assert states(talk, errand)[-1] == "speaking", "it was a click"


def test_a_last_voiced_window_holds_an_answer_back_no_longer_than_an_utterance_takes_to_begin() -> None:
    talk = asked()
    errand = talk.all(ev.BeginErrand)[-1].errand
    talk.quiet(1000)
    talk.speak(32)
    talk.feed(ev.ErrandReady(errand, "answered"))
    talk.wait(talk.settings.start_ms - 1)
    assert states(talk, errand)[-1] == "ready"
    talk.wait(1)
    assert states(talk, errand)[-1] == "speaking", "no more windows came"


def test_an_answer_that_comes_while_the_bot_speaks_waits_for_its_end() -> None:
    talk = asked()
    talk.ask("tell me a story")
    talk.answer("Once upon a time.", 4000)
    talk.feed(ev.ErrandReady(4, "answered"))
    talk.heard_ms = 2000
    talk.quiet(992)
    assert talk.all(ev.DeliverErrand) == []
    talk.finish()
    talk.skip()
    talk.quiet(224)
    talk.expect(ev.DeliverErrand(talk.reply, 4, introduce=True), ev.StartPlayout(talk.reply))


def test_an_answer_that_comes_while_the_caller_speaks_waits_for_the_reply_to_that() -> None:
    talk = asked()
    talk.quiet(320)
    talk.speak(320)
    talk.feed(ev.ErrandReady(4, "answered"))
    talk.speak(320)
    talk.quiet(64)
    talk.transcribe("what time is it")
    talk.quiet(224)
    assert talk.all(ev.DeliverErrand) == []
    talk.answer("Noon.", 400)
    talk.finish()
    talk.quiet(224)
    assert talk.all(ev.DeliverErrand) == [ev.DeliverErrand(talk.reply, 4, introduce=True)]


def test_after_a_question_of_the_bot_the_caller_may_answer_first() -> None:
    talk = asked()
    talk.ask("set a timer")
    talk.answer("For how long?", 500)
    talk.finish()
    talk.feed(ev.ErrandReady(4, "answered"))
    talk.quiet(3968)
    assert talk.all(ev.DeliverErrand) == []
    talk.quiet(32)
    assert len(talk.all(ev.DeliverErrand)) == 1


def test_an_interrupted_acknowledgement_does_not_lose_the_answer() -> None:
    talk = Script(reopen_ms=0)
    talk.say(ASKED)
    talk.feed(ev.ErrandWanted(talk.reply, ASKED))
    talk.answer("Let me find out, that will take a moment.", 3000)
    talk.quiet(224)
    talk.heard_ms = 600
    talk.ask("what time is it")
    talk.answer("Noon.", 400)
    talk.finish()
    talk.feed(ev.ErrandReady(4, "answered"))
    talk.quiet(256)
    assert talk.all(ev.DeliverErrand) == [ev.DeliverErrand(talk.reply, 4, introduce=True)]


def test_a_turn_that_goes_on_takes_its_own_errand_back() -> None:
    talk = asked("who won the football cup")
    talk.say("why did the roman empire")
    talk.feed(ev.ErrandWanted(talk.reply, "why did the roman empire"))
    talk.answer(ACK, 600)
    talk.quiet(1216)
    mine = talk.all(ev.BeginErrand)[-1].errand
    talk.heard_ms = 200
    talk.say("and the greek one fall")
    assert talk.all(ev.DropErrand) == [ev.DropErrand(mine)]
    assert states(talk, mine) == ["pending", "superseded"]


@pytest.mark.parametrize(
    ("said", "answered"),
    [
        ("never mind about that", "never mind about that"),
        ("oh well cancel that please", "oh well cancel that please"),
        ("and never mind the weather", f"{ASKED} and never mind the weather"),
        ("in the west", f"{ASKED} in the west"),
    ],
)
def test_never_mind_said_over_the_acknowledgement_is_not_the_questions_other_half(said: str, answered: str) -> None:
    talk = Script()
    talk.say(ASKED)
    talk.feed(ev.ErrandWanted(talk.reply, ASKED))
    talk.answer(ACK, 600)
    talk.quiet(224)
    (errand,) = talk.all(ev.BeginErrand)
    talk.heard_ms = 200
    talk.say(said)
    assert states(talk, errand.errand) == ["pending", "superseded"]
    assert talk.all(ev.BeginReply)[-1].text == answered


def test_never_mind_withdraws_the_newest() -> None:
    talk = asked()
    other = ask(talk, "who won the football cup")
    talk.ask("never mind")
    assert talk.all(ev.DropErrand) == [ev.DropErrand(other)]
    talk.ask("forget it")
    assert talk.all(ev.DropErrand) == [ev.DropErrand(other), ev.DropErrand(4)]


def test_one_of_two_is_withdrawn_by_its_words_and_the_other_is_delivered() -> None:
    talk = asked()
    ask(talk, "who won the football cup")
    talk.ask("never mind about the roman empire")
    assert states(talk, 4) == ["pending", "cancelled"]
    talk.answer("All right.", 300)
    talk.finish()
    other = talk.all(ev.BeginErrand)[-1].errand
    talk.feed(ev.ErrandReady(4, "answered"))
    talk.feed(ev.ErrandReady(other, "answered"))
    talk.quiet(256)
    assert [command.errand for command in talk.all(ev.DeliverErrand)] == [other]


def test_calling_off_something_else_withdraws_nothing() -> None:
    talk = asked()
    talk.ask("cancel the pasta timer")
    assert talk.all(ev.DropErrand) == []


def test_nearly_the_same_request_again_replaces_the_first() -> None:
    talk = asked()
    again = ask(talk, "so why did the old roman empire fall")
    assert states(talk, 4) == ["pending", "superseded"]
    assert states(talk, again) == ["pending"]
    assert not alike("", "")


def test_the_caller_can_cancel_on_the_page() -> None:
    talk = asked()
    talk.feed(ev.ErrandRefused(4))
    talk.expect(ev.DropErrand(4))
    assert talk.feed(ev.ErrandRefused(4)) == []
    assert talk.feed(ev.ErrandReady(4, "answered")) == []


def test_what_is_being_spoken_is_interrupted_by_voice_and_not_by_the_page() -> None:
    talk = asked()
    talk.quiet(320)
    talk.feed(ev.ErrandReady(4, "answered"))
    assert talk.feed(ev.ErrandReady(4, "answered")) == []
    assert talk.feed(ev.ErrandRefused(4)) == []


def test_an_answer_cut_off_at_its_start_is_delivered_once_more() -> None:
    talk = asked()
    talk.quiet(320)
    for heard_ms in (100, 200):
        talk.feed(ev.ErrandReady(4, "answered"))
        talk.answer("Of many causes, as so often.", 3000)
        talk.heard_ms = heard_ms
        talk.ask("what time is it")
        talk.heard_ms = 0
        talk.answer("Noon.", 400)
        talk.finish()
        talk.quiet(256)
    assert [command.errand for command in talk.all(ev.DeliverErrand)] == [4, 4]
    assert states(talk, 4) == ["pending", "ready", "speaking", "ready", "speaking", "delivered"]


def test_stop_means_that_a_cut_off_answer_does_not_come_again() -> None:
    talk = asked()
    talk.quiet(320)
    other = ask(talk, "who won the football cup")
    talk.feed(ev.ErrandReady(4, "answered"))
    talk.quiet(256)
    talk.answer("Of many causes, as so often.", 3000)
    talk.heard_ms = 100
    talk.ask("stop")
    assert states(talk, 4)[-1] == "cancelled"
    assert states(talk, other)[-1] == "pending"


def test_an_answer_that_found_no_gap_in_time_is_let_go() -> None:
    talk = asked(errand_stale_ms=3000)
    talk.ask("tell me a story")
    talk.answer("Once upon a time.", 4000)
    talk.feed(ev.ErrandReady(4, "answered"))
    talk.quiet(2016)
    talk.finish()
    assert states(talk, 4) == ["pending", "ready", "stale"]
    assert talk.all(ev.DropErrand) == [ev.DropErrand(4)]


def test_a_notice_goes_before_an_answer() -> None:
    talk = asked()
    talk.ask("hello")
    talk.feed(ev.NoticeDue("The eggs are done."))
    talk.feed(ev.ErrandReady(4, "answered"))
    talk.answer("Hi.", 300)
    talk.finish()
    assert talk.all(ev.Speak)[-1].text == "The eggs are done."
    talk.answer("The eggs are done.", 500)
    talk.finish()
    talk.quiet(256)
    assert len(talk.all(ev.DeliverErrand)) == 1


def test_the_end_of_the_call_ends_its_errands() -> None:
    talk = asked()
    ask(talk, "who won the football cup")
    talk.feed(ev.CallEnded("hung up"))
    assert [command.errand for command in talk.all(ev.DropErrand)] == [4, talk.all(ev.BeginErrand)[-1].errand]
    assert {shown.state for shown in talk.all(ev.PublishErrand)} == {"pending", "ended"}
