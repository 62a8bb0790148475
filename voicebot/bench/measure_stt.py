"""How long the caller waits for the words after the last sample: 1, 3, 5 and 10 s of synthetic speech.

A recogniser that streams is fed in real steps first, and only its `finish` is timed.
"""

from __future__ import annotations

import time
from functools import cache, partial

import numpy as np

from voicebot.bench.measure import Figure, summary
from voicebot.bench.prompts import SPEECH
from voicebot.core.audio import SPEECH_RATE_HZ, Pcm, resampler
from voicebot.engines.base import Cancel, SttEngine
from voicebot.engines.registry import create
from voicebot.lane import Lane

LENGTHS_S = (1, 3, 5, 10)
FEED_SAMPLES = SPEECH_RATE_HZ // 10


async def measure_stt(lane: Lane[SttEngine], repeat: int, notes: list[str]) -> list[Figure]:
    """Raises: EngineError."""
    speech = spoken()
    figures = []
    for seconds in LENGTHS_S:
        pcm = speech[: seconds * SPEECH_RATE_HZ]
        waits, fed = [], []
        for _ in range(repeat):
            wait_ms, fed_s = await lane.run(partial(_recognise, lane.engine, pcm))
            waits.append(wait_ms)
            fed.append(fed_s / seconds)
        figures.append(summary(f"final words after {seconds} s", "ms", waits))
        if any(fed):
            figures.append(summary(f"work while {seconds} s are spoken", "x", fed))
    notes.append(
        "streaming: fed 100 ms at a time" if any(fed) else "whole utterances: nothing is done while one speaks"
    )
    return figures


def _recognise(engine: SttEngine, pcm: Pcm, cancel: Cancel) -> tuple[float, float]:
    """(ms from the last sample to the words, s of work before it). Thread: the lane's."""
    began = time.perf_counter()
    stream = engine.open_stream()
    if stream is None:
        engine.transcribe(pcm, cancel)
        return (time.perf_counter() - began) * 1000, 0.0
    try:
        for start in range(0, len(pcm), FEED_SAMPLES):
            stream.feed(pcm[start : start + FEED_SAMPLES])
        spoken_at = time.perf_counter()
        stream.finish()
        return (time.perf_counter() - spoken_at) * 1000, spoken_at - began
    finally:
        stream.abandon()


class _Never:
    """A token that is never set."""

    def is_set(self) -> bool:
        return False


@cache
def spoken() -> Pcm:
    """Over ten seconds of the embedded voice: int16[n], 16 kHz. Raises: EngineError."""
    voice = create("tts", "espeak://en-us")
    voice.load()
    try:
        converter = resampler(voice.sample_rate_hz, SPEECH_RATE_HZ)
        parts = [converter.push(pcm) for pcm in voice.synthesize(SPEECH, _Never())]
        pcm = np.concatenate([*parts, converter.flush()])
    finally:
        voice.close()
    return np.resize(pcm, max(len(pcm), LENGTHS_S[-1] * SPEECH_RATE_HZ))
