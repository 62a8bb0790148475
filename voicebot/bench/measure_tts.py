"""Time to the first sound of a short clause and of a long sentence, and work per second of speech."""

from __future__ import annotations

import time

from voicebot.bench.measure import Figure, summary
from voicebot.bench.prompts import CLAUSE, SENTENCE
from voicebot.engines.base import TtsEngine
from voicebot.errors import EngineBadOutput
from voicebot.lane import Lane


async def measure_tts(lane: Lane[TtsEngine], repeat: int, notes: list[str]) -> list[Figure]:
    """Raises: EngineError."""
    figures = []
    for what, text in (("5 words", CLAUSE), (f"{len(SENTENCE.split())} words", SENTENCE)):
        spoken = [await _speak(lane, text) for _ in range(repeat)]
        figures.append(summary(f"first sound, {what}", "ms", [first_ms for first_ms, _, _ in spoken]))
        figures.append(summary(f"work per second of speech, {what}", "x", [work / audio for _, work, audio in spoken]))
        notes.append(f"{what}: {spoken[0][2]:.1f} s of speech")
    return figures


async def _speak(lane: Lane[TtsEngine], text: str) -> tuple[float, float, float]:
    """(ms to the first chunk, s of work, s of speech). Raises: EngineBadOutput for silence."""
    began = time.perf_counter()
    first, samples = 0.0, 0
    async for pcm in lane.stream(lambda cancel: lane.engine.synthesize(text, cancel)):
        first = first or time.perf_counter()
        samples += len(pcm)
    if not samples:
        raise EngineBadOutput(f"{lane.engine.name} gave no sound for {text!r}")
    return (first - began) * 1000, time.perf_counter() - began, samples / lane.engine.sample_rate_hz
