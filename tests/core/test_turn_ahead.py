"""Reading ahead: what of a turn the model reads while the caller still speaks."""

from __future__ import annotations

from tests.core.script import Script
from voicebot.core import events as ev


def read(talk: Script) -> list[tuple[int, str]]:
    return [(command.turn, command.text) for command in talk.all(ev.ReadAhead)]


def hear(talk: Script, text: str, turn: int = 1) -> None:
    talk.feed(ev.PartialTranscribed(turn, text))


def test_what_comes_before_the_words_is_read_as_soon_as_the_caller_speaks() -> None:
    talk = Script()
    talk.speak(96)
    assert read(talk) == [(1, "")]


def test_partial_words_are_read_as_they_come_and_without_the_last() -> None:
    talk = Script()
    talk.speak(480)
    for text in (
        "Set",
        "Set a",
        "Set a timer",
        "Set a timer four",
        "Set a timer for",
        "Set a timer for ten minutes",
    ):
        hear(talk, text)
    assert read(talk) == [(1, ""), (1, "Set"), (1, "Set a"), (1, "Set a timer"), (1, "Set a timer for ten")]
    assert talk.machine.counts["read_ahead"] == 5


def test_when_the_caller_falls_silent_the_rest_is_left_to_the_reply() -> None:
    talk = Script()
    talk.speak(480)
    hear(talk, "what time is it")
    talk.quiet(64)
    assert read(talk)[1:] == [(1, "what time is")]


def test_what_has_been_read_is_not_read_again_in_the_next_pause() -> None:
    talk = Script()
    talk.speak(480)
    hear(talk, "what time is it")
    talk.quiet(96)
    talk.speak(480)
    hear(talk, "what time is it")
    talk.quiet(64)
    assert len(read(talk)) == 2
    talk.speak(480)
    hear(talk, "what time is it in Paris and in Rome")
    assert read(talk)[2:] == [(1, "what time is it in Paris and in")]


def test_each_turn_begins_anew() -> None:
    talk = Script()
    talk.speak(480)
    hear(talk, "tell me a long story")
    talk.quiet(64)
    talk.transcribe("tell me a long story")
    talk.quiet(1216)
    talk.answer("No.", 200)
    talk.finish()
    talk.speak(480)
    turn = talk.all(ev.BeginListening)[-1].turn
    hear(talk, "why ever not then", turn)
    assert read(talk)[-2:] == [(turn, ""), (turn, "why ever not")]


def test_the_talk_so_far_is_read_as_soon_as_the_bot_has_been_heard_to_its_end() -> None:
    talk = Script()
    talk.ask("what is next")
    talk.answer("No.", 200)
    before = len(read(talk))
    talk.finish()
    assert read(talk)[before:] == [(1, "")]


def test_when_the_caller_has_begun_by_then_the_bot_ends_and_his_words_come_first() -> None:
    talk = Script()
    talk.ask("what is next")
    talk.answer("No.", 200)
    talk.speak(96)
    before = len(read(talk))
    talk.finish()
    assert read(talk)[before:] == []


def test_nothing_is_read_ahead_where_drafts_are_given_up() -> None:
    talk = Script()
    talk.feed(ev.DraftsAllowed(False))
    talk.speak(480)
    hear(talk, "set a timer for ten minutes")
    talk.quiet(224)
    assert not read(talk) and not talk.machine.counts["read_ahead"]
    off = Script(drafts=False)
    off.speak(480)
    hear(off, "set a timer for ten minutes")
    assert not read(off)


def test_speech_over_the_bot_is_read_when_it_has_the_floor_and_after_the_words_that_it_goes_on_from() -> None:
    talk = Script()
    talk.ask("what is next")
    talk.write("It is a long story.", 5000)
    talk.feed(ev.PlayoutStarted(talk.reply))
    talk.speak(224)
    turn = talk.all(ev.BeginListening)[-1].turn
    hear(talk, "on the green table", turn)
    before = len(read(talk))
    talk.speak(544)
    assert talk.machine.counts["reopened"] == 1
    hear(talk, "on the green table by the river then", turn)
    assert read(talk)[before:] == [(1, "what is next on the green table by the river")]


def test_a_turn_that_nobody_answers_unasked_is_not_read() -> None:
    talk = Script()
    talk.feed(ev.TurnsSet(True, False, True, 0.5, 0.35, 240, 200, 1200))
    talk.speak(480)
    hear(talk, "set a timer for ten minutes")
    talk.feed(ev.SpeechCommitted(0, 7680))
    hear(talk, "set a timer for ten minutes and tell me", talk.all(ev.BeginListening)[-1].turn)
    assert not read(talk)


def test_where_the_client_says_when_to_answer_the_talk_so_far_is_not_read_either() -> None:
    talk = Script()
    talk.feed(ev.TurnsSet(answer=False))
    talk.feed(ev.ReplyWanted())
    talk.answer("No.", 200)
    talk.finish()
    assert talk.state == "listening"
    assert not read(talk)
