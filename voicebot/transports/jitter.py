"""Keeping the caller's sample clock: late, doubled, reordered and lost pieces of audio. Pure.

A call counts time in the caller's samples, so a hole in the stream must become silence of the same length, or every
later moment would seem too early. No delay is added while pieces arrive in order.
"""

from __future__ import annotations

from voicebot.core.audio import Pcm, silence

GAP_LIMIT_S = 2.0
"""Longest silence put in for one hole; a larger jump is the far side's clock being set, not loss."""


class SampleClock:
    """Finds holes from the stamps of consecutive pieces. Stamps and counts are in samples at `rate_hz`."""

    def __init__(self, rate_hz: int) -> None:
        self.lost_samples = 0
        """Silence that stands for lost audio so far."""
        self._limit = round(GAP_LIMIT_S * rate_hz)
        self._expected: int | None = None

    def gap(self, stamp: int, samples: int, tolerance: int) -> int:
        """How much silence goes before a piece of `samples` stamped `stamp`; differences up to `tolerance` are none.

        A stamp that runs back, or ahead by more than the limit, sets the clock anew (ahead: with the limit's silence).
        """
        missing = 0 if self._expected is None else stamp - self._expected
        if self._expected is None or missing < -tolerance or missing > tolerance:
            self._expected = stamp
        filled = min(missing, self._limit) if missing > tolerance else 0
        self.lost_samples += filled
        self._expected += samples
        return filled


class ChunkOrder:
    """Puts numbered, time-stamped chunks in order. Waits for a missing one until `hold` later ones are there."""

    def __init__(self, rate_hz: int, hold: int = 3) -> None:
        self.dropped_chunks = 0
        """Chunks that came twice, or after their place had been given up."""
        self._clock = SampleClock(rate_hz)
        self._rate_hz = rate_hz
        self._hold = hold
        self._held: dict[int, tuple[int, Pcm]] = {}
        self._next: int | None = None

    @property
    def lost_samples(self) -> int:
        """Silence that stands for lost audio so far."""
        return self._clock.lost_samples

    def push(self, chunk: int, timestamp_ms: int, pcm: Pcm) -> list[Pcm]:
        """What can go on now: int16[n] pieces in order, with silence for holes. Holds at most `hold` chunks back."""
        if self._next is None:
            self._next = chunk
        if chunk < self._next or chunk in self._held:
            self.dropped_chunks += 1
            return []
        self._held[chunk] = (timestamp_ms, pcm)
        ready: list[Pcm] = []
        while self._next in self._held or len(self._held) > self._hold:
            ready += self._take(min(self._held))
        return ready

    def _take(self, chunk: int) -> list[Pcm]:
        """The chunk with the silence before it. Stamps of chunks without one missing between may wander a little."""
        timestamp_ms, pcm = self._held.pop(chunk)
        tolerance_ms = 100 if chunk == self._next else 5
        self._next = chunk + 1
        stamp = timestamp_ms * self._rate_hz // 1000
        hole = self._clock.gap(stamp, len(pcm), tolerance_ms * self._rate_hz // 1000)
        return [silence(hole), pcm] if hole else [pcm]
