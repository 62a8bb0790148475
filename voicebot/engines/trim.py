"""Leading silence of synthesised speech: cut, because the caller waits through it (Source: DESIGN section 3)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from voicebot.engines.base import Pcm

LEAD_MS = 20
"""Silence left before the first sound, so that a soft onset is not cut."""
AUDIBLE = 100
"""A sample of this magnitude or more counts as sound: -50 dBFS, over the dither of the synthesisers and far under
speech."""


def trim_leading_silence(chunks: Iterator[Pcm], sample_rate_hz: int) -> Iterator[Pcm]:
    """The same chunks with at most `LEAD_MS` of silence before the first audible sample; nothing if all is silent."""
    keep = sample_rate_hz * LEAD_MS // 1000
    silent = np.zeros(0, dtype=np.int16)
    for chunk in chunks:
        pending = np.concatenate([silent, chunk])
        audible = np.flatnonzero((pending >= AUDIBLE) | (pending <= -AUDIBLE))
        if len(audible):
            yield pending[max(0, int(audible[0]) - keep) :]
            break
        silent = pending[len(pending) - min(keep, len(pending)) :]
    yield from (chunk for chunk in chunks if len(chunk))
