"""The edges of speech, window by window."""

from __future__ import annotations

from voicebot.core.endpoint import Edge, Endpointer, SoftEnded, SpeechResumed, SpeechStarted
from voicebot.core.settings import TurnSettings


class Ear:
    def __init__(self) -> None:
        self.endpoint = Endpointer(TurnSettings())
        self.windows = 0

    def push(self, *probabilities: float) -> list[tuple[int, Edge]]:
        """The edges, each with the number of its window."""
        edges = []
        for probability in probabilities:
            self.windows += 1
            edge = self.endpoint.push(probability, self.windows * 512)
            if edge is not None:
                edges.append((self.windows, edge))
        return edges


def test_three_voiced_windows_are_speech_and_two_silent_ones_its_soft_end() -> None:
    ear = Ear()
    assert ear.push(*[0.0] * 10, *[0.9] * 3) == [(13, SpeechStarted(10 * 512 - 240 * 16))]
    assert ear.push(0.9, 0.0, 0.0, 0.0) == [(16, SoftEnded(14 * 512))]
    assert (ear.endpoint.silence_ms, ear.endpoint.voiced_ms, ear.endpoint.speaking) == (96, 128, False)


def test_two_voiced_windows_are_no_speech() -> None:
    ear = Ear()
    assert ear.push(0.9, 0.9, 0.0, 0.9, 0.9, 0.0) == []
    assert ear.endpoint.voiced_ms == 0


def test_between_the_thresholds_a_window_continues_what_was() -> None:
    ear = Ear()
    assert ear.push(0.4, 0.4, 0.4, 0.4) == []
    assert ear.push(0.5, 0.4, 0.4) == [(7, SpeechStarted(0))]
    assert ear.push(0.4, 0.4) == []
    assert ear.push(0.3, 0.3) == [(11, SoftEnded(9 * 512))]
    assert ear.push(0.4, 0.4, 0.4) == []


def test_one_silent_window_is_no_end() -> None:
    ear = Ear()
    ear.push(0.9, 0.9, 0.9)
    assert ear.push(0.0, 0.9, 0.0, 0.9) == []
    assert ear.endpoint.voiced_ms == 160


def test_speech_after_a_soft_end_resumes_only_when_it_lasts() -> None:
    ear = Ear()
    ear.push(0.9, 0.9, 0.9, 0.0, 0.0)
    assert ear.push(0.9, 0.9, 0.0, 0.0, 0.0) == []
    assert ear.endpoint.silence_ms == 96
    assert ear.push(0.9, 0.9, 0.9) == [(13, SpeechResumed())]
    assert ear.push(0.0, 0.0) == [(15, SoftEnded(13 * 512))]


def test_after_a_reset_voice_is_a_new_utterance() -> None:
    ear = Ear()
    ear.push(0.9, 0.9, 0.9, 0.9)
    ear.endpoint.reset()
    assert not ear.endpoint.speaking
    assert ear.push(0.9, 0.9, 0.9) == [(7, SpeechStarted(0))]


def test_a_cut_ends_the_voiced_stretch_once() -> None:
    ear = Ear()
    assert ear.endpoint.cut() is None
    ear.push(0.9, 0.9, 0.9, 0.0)
    assert ear.endpoint.cut() == SoftEnded(3 * 512)
    assert ear.endpoint.cut() is None
    assert ear.push(0.0, 0.9, 0.9, 0.9) == [(8, SpeechResumed())]


def test_what_has_come_of_a_window_is_silence_until_the_window_is_judged() -> None:
    ear = Ear()
    ear.push(0.9, 0.9, 0.9, 0.0)
    assert [ear.endpoint.wait(4 * 512 + more) for more in (0, -1)] == [False] * 2
    assert ear.endpoint.silence_ms == 32
    assert ear.endpoint.wait(4 * 512 + 160) and not ear.endpoint.wait(4 * 512 + 160)
    assert (ear.endpoint.silence_ms, ear.endpoint.sample_after(50.03)) == (42, 3 * 512 + 801)
    ear.push(0.9)
    assert ear.endpoint.silence_ms == 0
