"""What a caller hears, on the caller's clock: when sound began, when it ended, and the audio itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from voicebot.cli.wav import FRAME_MS, frame_levels
from voicebot.core.audio import EMPTY, Pcm, silence

AUDIBLE = 104.0
"""RMS of a frame that a listener would notice, int16 units: -50 dB full scale."""


@dataclass(frozen=True, slots=True)
class Heard:
    """Sound in one piece. `start_s`: when its first sample plays, in the clock that the recording is given."""

    start_s: float
    pcm: Pcm
    audible: tuple[bool, ...]
    """For each frame of FRAME_MS."""


class Recording:
    """All inbound audio of one call, in order of playing. May reach ahead of now: a carrier buffers what came early.

    Bounded by the call, which its caller bounds: 16 kHz audio is 1.9 MB a minute.
    """

    def __init__(self, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self._pieces: list[Heard] = []

    @property
    def stop_s(self) -> float:
        """When the last sample known so far has played; -inf before the first."""
        return self._end(self._pieces[-1]) if self._pieces else float("-inf")

    def add(self, start_s: float, pcm: Pcm) -> None:
        """`pcm`: int16[n] at `rate_hz`, played from `start_s`, which is not before `stop_s` but for jitter."""
        if len(pcm):
            levels = frame_levels(pcm, self.rate_hz)
            self._pieces.append(Heard(start_s, pcm, tuple(level >= AUDIBLE for level in levels)))

    def cut(self, at_s: float) -> Pcm:
        """Forget what would have played at `at_s` or later; that sound, int16[n]."""
        taken: list[Pcm] = []
        while self._pieces and self._pieces[-1].start_s >= at_s:
            taken.insert(0, self._pieces.pop().pcm)
        if self._pieces and self.stop_s > at_s:
            last = self._pieces.pop()
            kept = round((at_s - last.start_s) * self.rate_hz)
            self.add(last.start_s, last.pcm[:kept])
            taken.insert(0, last.pcm[kept:])
        return np.concatenate(taken) if taken else EMPTY

    def played(self, now: float) -> int:
        """Samples that have played by `now`, of pieces that are not silent."""
        sounding = (piece for piece in self._pieces if any(piece.audible))
        return round(sum(min(max(now - piece.start_s, 0.0) * self.rate_hz, len(piece.pcm)) for piece in sounding))

    def first_audible_s(self, after_s: float) -> float | None:
        """When the first audible frame at or after `after_s` begins, exact to its first sample over the gate."""
        found = None
        for piece in reversed(self._pieces):
            if self._end(piece) <= after_s:
                break
            frames = [n for n, audible in enumerate(piece.audible) if audible and self._at(piece, n) >= after_s]
            if frames:
                found = (piece, frames[0])
        return self._onset_s(*found) if found else None

    def silent_from_s(self, after_s: float, quiet_s: float) -> float | None:
        """When the first `quiet_s` without an audible frame begin, from `after_s` on; None if none are known yet."""
        end = after_s
        for piece in self._pieces:
            for frame, audible in enumerate(piece.audible):
                at = self._at(piece, frame)
                if audible and at >= end:
                    if at - end >= quiet_s:
                        return end
                    end = at + FRAME_MS / 1000
        return end if self.stop_s - end >= quiet_s else None

    def last_audible_s(self) -> float | None:
        """When the last audible frame ends; may lie in the future. None: nothing audible yet."""
        for piece in reversed(self._pieces):
            frames = [number for number, audible in enumerate(piece.audible) if audible]
            if frames:
                return min(self._end(piece), self._at(piece, frames[-1] + 1))
        return None

    def pcm(self, start_s: float = float("-inf"), stop_s: float = float("inf")) -> Pcm:
        """What began to play in [start, stop), gaps longer than a packet (20 ms) filled with silence."""
        parts: list[Pcm] = []
        at: float | None = None
        for piece in self._pieces:
            if start_s <= piece.start_s < stop_s:
                gap = 0.0 if at is None else piece.start_s - at
                if gap > 0.02:
                    parts.append(silence(round(gap * self.rate_hz)))
                parts.append(piece.pcm)
                at = self._end(piece)
        return np.concatenate(parts) if parts else EMPTY

    def _end(self, piece: Heard) -> float:
        return piece.start_s + len(piece.pcm) / self.rate_hz

    def _at(self, piece: Heard, frame: int) -> float:
        return piece.start_s + frame * FRAME_MS / 1000

    def _onset_s(self, piece: Heard, frame: int) -> float:
        size = self.rate_hz * FRAME_MS // 1000
        samples = np.abs(piece.pcm[frame * size : (frame + 1) * size].astype(np.int32))
        return self._at(piece, frame) + int(np.argmax(samples >= AUDIBLE)) / self.rate_hz
