"""Drafts: counted whether they paid, and given up where there is no computing to spare."""

from __future__ import annotations

from tests.core.script import Script
from voicebot.core import events as ev


def test_a_reply_whose_sound_was_ready_at_the_commit_is_a_draft_that_paid() -> None:
    talk = Script()
    talk.say("hello there")
    talk.write("Hi!", 500)
    talk.quiet(1216)
    talk.feed(ev.PlayoutStarted(talk.reply))
    assert (talk.machine.counts["drafts_ready"], talk.machine.counts["drafts_late"]) == (1, 0)
    assert talk.machine.counts["draft_wasted_ms"] == 0
    waterfall = talk.all(ev.PublishTurn)[-1].waterfall
    assert (waterfall["drafts"], waterfall["ready_ms"]) == (1, 192.0)
    assert talk.machine.counts["draft_used_ms"] == 192


def test_one_whose_sound_came_after_the_commit_did_not_and_says_how_late_it_was() -> None:
    talk = Script()
    talk.ask("hello there")
    talk.wait(50)
    talk.write("Hi!", 500)
    talk.feed(ev.PlayoutStarted(talk.reply))
    assert (talk.machine.counts["drafts_ready"], talk.machine.counts["drafts_late"]) == (0, 1)
    assert talk.all(ev.PublishTurn)[-1].waterfall["ready_ms"] < 0


def test_what_an_aborted_draft_and_a_dropped_reply_ran_for_is_counted_as_waste() -> None:
    talk = Script()
    talk.say("set a timer for")
    talk.quiet(96)
    talk.speak(480)
    assert talk.machine.counts["aborted"] == 1
    assert talk.machine.counts["draft_wasted_ms"] == 96 + 96  # to the third voiced window, when speech goes on
    talk.quiet(64)
    talk.transcribe("set a timer for ten minutes")
    assert talk.machine.counts["draft_wasted_ms"] > 192


def test_without_drafts_the_transcript_waits_for_the_shortest_silence_and_the_reply_for_the_commit() -> None:
    talk = Script(drafts=False)
    talk.speak(480)
    talk.quiet(192)
    talk.expect(ev.BeginListening(turn=1, start_sample=0))
    talk.quiet(32)
    talk.expect(ev.BeginDraft(draft=2, turn=1, start_sample=0, stop_sample=7680))
    talk.transcribe("set a timer for")
    talk.quiet(320)
    talk.expect()
    talk.quiet(1216)
    talk.expect(
        ev.BeginReply(reply=3, turn=1, text="set a timer for"),
        ev.StopListening(1),
        ev.CommitReply(3),
        ev.StartPlayout(3),
    )


def test_a_caller_who_goes_on_before_the_shortest_silence_costs_nothing_without_drafts() -> None:
    talk = Script(drafts=False)
    talk.speak(480)
    talk.quiet(128)
    talk.speak(480)
    talk.expect(ev.BeginListening(turn=1, start_sample=0))
    assert (talk.machine.counts["drafts"], talk.machine.counts["aborted"]) == (0, 0)
    talk.quiet(224)
    talk.expect(ev.BeginDraft(draft=2, turn=1, start_sample=0, stop_sample=17408))


def test_a_postponed_draft_is_not_lost_when_no_more_windows_come() -> None:
    talk = Script(drafts=False)
    talk.speak(480)
    talk.quiet(96)
    talk.wait(1000)
    assert [draft.stop_sample for draft in talk.all(ev.BeginDraft)] == [7680]
    talk.transcribe("hello there")
    assert talk.all(ev.CommitReply)


def test_sound_over_the_bot_is_judged_early_all_the_same() -> None:
    talk = Script(drafts=False)
    talk.speak(480)
    talk.quiet(224)
    talk.transcribe("tell me a story")
    talk.quiet(1216)
    talk.answer("It is a long one.", 5000)
    talk.speak(224)
    talk.quiet(64)
    talk.skip()
    talk.transcribe("mm-hm")
    talk.expect(ev.StopListening(4), ev.ResumePlayout(3))


def test_without_drafts_a_recogniser_is_told_of_no_silence_to_guess_from_but_over_the_bot() -> None:
    drafting, talk = Script(), Script(drafts=False)
    for each in (drafting, talk):
        each.speak(480)
        each.quiet(96)
    assert (drafting.machine.silent_from, talk.machine.silent_from) == (480 * 16, None)
    talk.quiet(128)
    talk.transcribe("tell me a story")
    talk.quiet(1216)
    talk.answer("It is a long one.", 5000)
    talk.speak(224)
    talk.quiet(32)
    assert talk.machine.silent_from == talk.sample - 512


def test_they_may_be_given_up_and_taken_up_again_during_a_call() -> None:
    talk = Script()
    talk.feed(ev.DraftsAllowed(False))
    talk.speak(480)
    talk.quiet(64)
    assert not talk.all(ev.BeginDraft)
    talk.quiet(160)
    talk.transcribe("hello there")
    talk.quiet(1216)
    talk.answer("Hi!", 200)
    talk.finish()
    talk.feed(ev.DraftsAllowed(True))
    talk.speak(480)
    talk.quiet(64)
    assert len(talk.all(ev.BeginDraft)) == 2


def test_what_the_settings_forbid_no_server_allows() -> None:
    talk = Script(drafts=False)
    talk.feed(ev.DraftsAllowed(True))
    talk.speak(480)
    talk.quiet(64)
    assert not talk.all(ev.BeginDraft)
