"""Fixed words as sound, made before anyone waits for them: greetings, apologies, acknowledgements, common openers.

An acknowledgement covers for an expert who takes long; it must not itself wait behind another call's sentence in the
TTS lane. One server has one voice, so the words and the rate are the key.
Bounded: MOST phrases of at most LONGEST_CHARS at each rate that wires play; about 6 MB with all of them.
No words of a caller's or a model's are ever kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np

from voicebot.core.audio import EMPTY, Pcm, resampler
from voicebot.core.text import ClauseSplitter, speakable
from voicebot.engines.base import Cancel, TtsEngine
from voicebot.lane import LaneLike

MOST = 48
LONGEST_CHARS = 120
RATES_HZ = (8_000, 16_000, 24_000)
"""Telephones, wideband wires and loopback, WebRTC. At any other rate phrases are made when they are needed."""


class Phrases:
    """One server's. Thread: the loop."""

    def __init__(self) -> None:
        self._sound: dict[tuple[str, int], Pcm] = {}

    async def warm(self, tts: LaneLike[TtsEngine], texts: Iterable[str]) -> None:
        """Make each text's clauses, and the whole of it, ready at every rate. Raises: EngineError."""
        wanted = dict.fromkeys(clause for text in texts for clause in (*split(text), speakable(text)))
        for clause in [clause for clause in wanted if 0 < len(clause) <= LONGEST_CHARS][:MOST]:
            made = await tts.run(partial(_at_each_rate, tts.engine, clause))
            self._sound |= {(clause, rate_hz): pcm for rate_hz, pcm in made.items() if len(pcm)}

    def find(self, clause: str, rate_hz: int) -> Pcm | None:
        """The clause's sound; None for one that is not kept."""
        return self._sound.get((clause, rate_hz))


def split(text: str) -> list[str]:
    """Fixed words as the clauses in which they are spoken."""
    splitter = ClauseSplitter()
    return splitter.push(speakable(text)) + splitter.flush()


def converted(chunks: Iterable[Pcm], from_hz: int, to_hz: int) -> Iterator[Pcm]:
    """One clause's sound at another rate, as it comes."""
    converter = resampler(from_hz, to_hz)
    for pcm in chunks:
        if len(ready := converter.push(pcm)):
            yield ready
    if len(tail := converter.flush()):
        yield tail


def _at_each_rate(tts: TtsEngine, clause: str, cancel: Cancel) -> dict[int, Pcm]:
    """Thread: the TTS lane."""
    made = list(tts.synthesize(clause, cancel))
    return {hz: np.concatenate([EMPTY, *converted(made, tts.sample_rate_hz, hz)]) for hz in RATES_HZ}
