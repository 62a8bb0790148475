"""Waits, timers and keys."""

from __future__ import annotations

import pytest

from voicebot.core.settings import TurnSettings
from voicebot.core.talk import Keypad, Timers, Turn, wait_ms


@pytest.mark.parametrize(("probability", "wait"), [(0.0, 1500), (0.485, 830), (0.97, 160), (1.0, 160)])
def test_the_wait_falls_in_a_straight_line_until_the_end_is_sure(probability: float, wait: float) -> None:
    assert wait_ms(TurnSettings(), probability) == wait


def test_the_end_is_as_likely_as_the_model_says_and_without_one_as_the_last_word_says() -> None:
    turn = Turn(1, 1, prefix="set a timer", draft_text="for")
    assert (turn.words, turn.end_probability()) == ("set a timer for", 0.1)
    turn.audio_end = 0.9
    assert turn.end_probability() == 0.9


def test_timers_are_due_in_their_order_and_once() -> None:
    timers = Timers()
    assert timers.next is None
    for name, at in (("b", 2.0), ("a", 1.0), ("c", 3.0)):
        timers.set(name, at)
    assert (timers.next, timers.due(0.9), timers.due(2.0)) == (1.0, [], ["a", "b"])
    timers.drop("a", "never set")
    assert [timers.take(name, 2.0) for name in ("a", "b", "b", "c")] == [False, True, False, False]
    assert timers.next == 3.0
    timers.clear()
    assert timers.next is None


def test_keys_are_words_and_begin_anew() -> None:
    keypad = Keypad()
    assert [keypad.press(key) for key in ("1", "#", "*", "")] == [True, False, True, False]
    assert (keypad.take(), keypad.take()) == ("I pressed 1 *.", "")
