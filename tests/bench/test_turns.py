from __future__ import annotations

import numpy as np
import pytest

from voicebot.bench.turns import Ear, Recorded, measure_turns, with_pause
from voicebot.core.audio import SPEECH_RATE_HZ, Pcm, silence
from voicebot.core.settings import TurnSettings
from voicebot.engines.registry import create


def loud(seconds: float) -> Pcm:
    at = np.arange(int(seconds * SPEECH_RATE_HZ)) / SPEECH_RATE_HZ
    return (8000 * np.sin(2 * np.pi * 300 * at)).astype(np.int16)


def word(text: str) -> Ear:
    vad, stt = create("vad", "scripted://"), create("stt", f"scripted://?text={text}")
    vad.load()
    stt.load()
    return Ear(vad, stt, None)


RECORDED = Recorded("two words", np.concatenate((loud(0.6), silence(640), loud(0.6))), 0, int(1.24 * SPEECH_RATE_HZ))


def test_the_pause_is_put_into_the_quietest_inner_moment() -> None:
    pcm, at = with_pause(RECORDED, 500)
    assert len(pcm) == len(RECORDED.pcm) + SPEECH_RATE_HZ // 2
    assert 0.6 <= at / SPEECH_RATE_HZ <= 0.64
    assert not np.any(pcm[at : at + SPEECH_RATE_HZ // 2])


def test_words_that_want_more_wait_through_a_pause_that_a_fixed_silence_cuts() -> None:
    """At "set a timer for" the rule of the last word waits long, at "hello there" it does not."""
    told: list[str] = []
    patient = measure_turns(word("set+a+timer+for"), [RECORDED], TurnSettings(), told.append)
    hasty = measure_turns(word("hello+there"), [RECORDED], TurnSettings(), told.append)
    by_words = {point.name: point for point in patient.points}
    assert by_words["words, at most 1200 ms"].cut_off == {"300": 0.0, "500": 0.0, "800": 0.0}
    assert by_words["fixed 500 ms"].cut_off == {"300": 0.0, "500": 1.0, "800": 1.0}
    assert by_words["fixed 300 ms"].cut_off == {"300": 1.0, "500": 1.0, "800": 1.0}, "a wait as long as the pause"
    assert 0 <= by_words["fixed 300 ms"].wait_ms.p50 - 300 <= 32, "the last window in which there is voice"
    finished = {point.name: point for point in hasty.points}["words, at most 1200 ms"]
    assert finished.wait_ms.p50 == pytest.approx(260, abs=40)
    assert finished.cut_off["500"] == 1.0
    assert (finished.unheard, patient.recordings, len(told)) == (0, 1, 20)


def test_the_same_stretch_of_sound_is_recognised_once() -> None:
    class Counting:
        asked = 0

        def transcribe(self, pcm: Pcm, cancel: object, narrowband: bool = False) -> object:
            Counting.asked += 1
            return stt.transcribe(pcm, cancel)  # type: ignore[arg-type]

    stt = create("stt", "scripted://?text=hello+there")
    ear = Ear(create("vad", "scripted://"), Counting(), None)  # type: ignore[arg-type]
    measure_turns(ear, [RECORDED], TurnSettings(), lambda _line: None)
    assert Counting.asked <= 8, "the whole, each pause's first half and whole; not once for each of ten settings"
