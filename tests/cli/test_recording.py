from __future__ import annotations

import numpy as np
import pytest

from voicebot.cli.recording import Recording
from voicebot.core.audio import Pcm, silence

RATE = 8000


def sound(samples: int) -> Pcm:
    return np.full(samples, 4000, np.int16)


def test_nothing_heard_has_no_first_and_no_last_sound() -> None:
    heard = Recording(RATE)
    heard.add(1.0, silence(800))
    assert heard.first_audible_s(0) is None
    assert heard.last_audible_s() is None
    assert heard.stop_s == pytest.approx(1.1)


def test_the_onset_is_exact_to_the_sample() -> None:
    heard = Recording(RATE)
    heard.add(1.0, np.concatenate((silence(100), sound(60))))
    assert heard.first_audible_s(0) == pytest.approx(1.0 + 100 / RATE)
    assert heard.last_audible_s() == pytest.approx(1.02)


def test_sound_before_the_asked_time_does_not_count() -> None:
    heard = Recording(RATE)
    heard.add(1.0, sound(160))
    heard.add(1.02, silence(1600))
    heard.add(3.0, sound(160))
    assert heard.first_audible_s(1.1) == pytest.approx(3.0)
    assert heard.first_audible_s(3.1) is None
    assert heard.last_audible_s() == pytest.approx(3.02)


def test_a_hiss_is_not_audible() -> None:
    heard = Recording(RATE)
    heard.add(0.0, np.full(160, 60, np.int16))
    assert heard.first_audible_s(0) is None


def test_a_cut_forgets_what_had_not_played_and_halves_a_piece() -> None:
    heard = Recording(RATE)
    heard.add(1.0, sound(160))
    heard.add(1.02, sound(160))
    heard.add(1.04, sound(160))
    heard.cut(1.03)
    assert heard.stop_s == pytest.approx(1.03)
    assert len(heard.pcm()) == 240
    assert heard.last_audible_s() == pytest.approx(1.03)


def test_gaps_are_filled_with_silence_and_jitter_is_not() -> None:
    heard = Recording(RATE)
    heard.add(1.0, sound(160))
    heard.add(1.025, sound(160))
    heard.add(2.045, sound(160))
    assert len(heard.pcm()) == 3 * 160 + 1 * RATE
    assert len(heard.pcm(1.01, 2.0)) == 160


def test_no_samples_leave_no_piece() -> None:
    heard = Recording(RATE)
    heard.add(1.0, silence(0))
    assert heard.stop_s == float("-inf")
    assert len(heard.pcm()) == 0
