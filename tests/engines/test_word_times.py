"""A voice that knows when it says which word: eSpeak NG's own events against its sound."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from voicebot.core.playout import ReplyPlayout
from voicebot.engines.base import Pcm, TimesWords, TtsEngine, WordsAt
from voicebot.engines.registry import create

NUMBERS = "It is 20 past 7 on the 3rd of May, 2026."


@pytest.fixture(scope="module")
def espeak() -> TtsEngine:
    tts = create("tts", "espeak://en-us", Path())
    tts.load()
    return tts


def spoken(tts: TtsEngine, text: str) -> tuple[list[tuple[int, int]], Pcm]:
    assert isinstance(tts, TimesWords)
    starts: list[tuple[int, int]] = []
    sound = []
    for part in tts.synthesize_words(text, threading.Event()):
        if isinstance(part, WordsAt):
            starts += part.starts
        else:
            sound.append(part)
    return starts, np.concatenate(sound)


def test_words_are_told_in_order_and_within_the_sound(espeak: TtsEngine) -> None:
    starts, sound = spoken(espeak, "One two three. Four five, six.")
    assert [number for number, _ in starts] == [0, 1, 2, 3, 4, 5]
    times = [at for _, at in starts]
    assert times == sorted(times) and times[0] == 0 and times[-1] < len(sound)


def test_a_told_time_is_where_the_word_is(espeak: TtsEngine) -> None:
    """After the pause at a full stop the sound begins where the next word was told to."""
    starts, sound = spoken(espeak, "One. Two.")
    told = dict(starts)[1]
    quiet = np.abs(sound[told - espeak.sample_rate_hz // 20 : told]).max()
    loud = np.abs(sound[told : told + espeak.sample_rate_hz // 5]).max()
    assert quiet < 300 < loud


def test_letters_would_be_words_off_where_numbers_are_said(espeak: TtsEngine) -> None:
    """What the times are worth: the share of letters is up to three words wrong in a sentence with figures."""
    starts, sound = spoken(espeak, NUMBERS)
    timed, shared = ReplyPlayout(espeak.sample_rate_hz), ReplyPlayout(espeak.sample_rate_hz)
    for playout, told in ((timed, starts), (shared, [])):
        playout.write(0, NUMBERS)
        playout.queue(0, len(sound), True, told)
    worst = 0
    for at in range(0, len(sound), len(sound) // 100):
        timed.hear(at)
        shared.hear(at)
        worst = max(worst, abs(len(timed.heard_text().split()) - len(shared.heard_text().split())))
    assert worst >= 2


@pytest.mark.parametrize("text", ["", "...", "a\0b c", "\ud800 lone", "20 20 20", "  spaced  out  "])
def test_odd_texts_have_times_or_none_but_no_error(espeak: TtsEngine, text: str) -> None:
    assert isinstance(espeak, TimesWords)
    for part in espeak.synthesize_words(text, threading.Event()):
        if isinstance(part, WordsAt):
            assert all(number >= 0 and at >= 0 for number, at in part.starts)
