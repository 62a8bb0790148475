"""The sentences of `bench latency --shape` are told apart by what the ear really gives a recogniser of each."""

from __future__ import annotations

import numpy as np
import pytest

from voicebot.cli.bench_calls import SENTENCES, _heard_ms, speech_dir, transcripts
from voicebot.cli.wav import read_speech
from voicebot.core.audio import WINDOW_SAMPLES, Pcm
from voicebot.core.endpoint import Endpointer, SoftEnded, SpeechStarted
from voicebot.core.settings import TurnSettings
from voicebot.engines import registry
from voicebot.engines.options import EngineSpec
from voicebot.engines.worded import WordedStt

SETTINGS = TurnSettings()


def held(pcm: Pcm) -> int:
    """How many samples of a turn a recogniser has been given when its draft begins: all before the window that does."""
    vad = registry.create("vad", "silero://")
    vad.load()
    stream, endpointer, edges = vad.open_stream(), Endpointer(SETTINGS), []
    silence = np.zeros(16_000, dtype=np.int16)
    spoken = np.concatenate((silence, pcm, silence))
    for start in range(0, len(spoken) - WINDOW_SAMPLES + 1, WINDOW_SAMPLES):
        stop = start + WINDOW_SAMPLES
        edge = endpointer.push(stream.probability(spoken[start:stop]), stop)
        edges += [(edge, stop)] if edge is not None else []
    vad.close()
    (began, _), (ended, stop) = edges
    assert isinstance(began, SpeechStarted)
    assert isinstance(ended, SoftEnded)
    return stop - WINDOW_SAMPLES - began.start_sample


@pytest.mark.parametrize("name", SENTENCES)
def test_each_sentence_is_heard_as_itself(name: str) -> None:
    speeches = [read_speech(speech_dir() / f"{one}.wav") for one in SENTENCES]
    words = transcripts(speech_dir())
    options = WordedStt.Options(
        engine="scripted://",
        text=tuple(words[speech.name] for speech in speeches),
        ms=tuple(_heard_ms(speech) for speech in speeches),
        lead_ms=SETTINGS.lead_in_ms,
    )
    stt = WordedStt(EngineSpec("stt", "worded", "", {}, "worded://"), options)
    speech = speeches[SENTENCES.index(name)]
    assert stt.heard(held(speech.pcm)).text == words[speech.name]
