"""Endpointing: speech probabilities per window in, the edges of speech out, all on the sample clock.

    quiet --(voiced >= start_ms)--> SpeechStarted --(silence >= soft_end_ms)--> SoftEnded
                                        ^                                           |
                                        +------------- SpeechResumed <--------------+

How long a silence ends the turn is not decided here: the turn machine reads `silence_ms`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from voicebot.core.settings import TurnSettings

SAMPLES_PER_MS = 16
WINDOW = 512


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """`start_sample`: where recognition should begin, some context before the first voiced window."""

    start_sample: int


@dataclass(frozen=True, slots=True)
class SpeechResumed:
    """The caller goes on after a soft end."""


@dataclass(frozen=True, slots=True)
class SoftEnded:
    """`stop_sample`: the end of the last voiced window."""

    stop_sample: int


Edge = SpeechStarted | SpeechResumed | SoftEnded


class Endpointer:
    """One call's edges of speech. `push` every window in order."""

    def __init__(self, settings: TurnSettings) -> None:
        self._settings = settings
        self.reset()
        self.now_sample = 0
        """One past the last sample that has been judged, or waited through."""
        self.voiced_until = 0
        """The end of the last voiced window."""

    def tune(self, settings: TurnSettings) -> None:
        """Go by these from the next window on."""
        self._settings = settings

    def reset(self) -> None:
        """Forget the utterance: the next voiced stretch is a new SpeechStarted."""
        self._open = False
        self._soft_ended = False
        self._run_ms = 0
        self._first_voiced = 0
        self.voiced_ms = 0
        """Voiced time of the utterance so far, pauses left out."""

    def cut(self) -> SoftEnded | None:
        """End the voiced stretch here, because no more windows come; None if it had ended already."""
        if not self.speaking:
            return None
        self._soft_ended = True
        self._run_ms = 0
        return SoftEnded(self.voiced_until)

    @property
    def speaking(self) -> bool:
        """An utterance is open and has not soft-ended."""
        return self._open and not self._soft_ended

    @property
    def stirring(self) -> bool:
        """The last window was voiced, and it is too early to call that an utterance."""
        return self._run_ms > 0 and not self._open

    @property
    def silence_ms(self) -> float:
        """Since the last voiced window."""
        return (self.now_sample - self.voiced_until) / SAMPLES_PER_MS

    def sample_after(self, silence_ms: float) -> int:
        """One past the sample with which silence will have lasted so long."""
        return self.voiced_until + math.ceil(silence_ms * SAMPLES_PER_MS)

    def push(self, speech_probability: float, stop_sample: int) -> Edge | None:
        """At most one edge a window. Between the two thresholds a window continues what was."""
        self.now_sample = stop_sample
        settings = self._settings
        limit = settings.speech_threshold if self._run_ms == 0 else settings.silence_threshold
        if speech_probability >= limit:
            return self._voiced(stop_sample)
        return self._unvoiced()

    def wait(self, stop_sample: int) -> bool:
        """Take what has come since the last window for silence; False, and nothing done, if nothing has."""
        if stop_sample <= self.now_sample:
            return False
        self.now_sample = stop_sample
        return True

    def _voiced(self, stop_sample: int) -> Edge | None:
        start = stop_sample - WINDOW
        if self._run_ms == 0 and not self._open:
            self._first_voiced = start
        self.voiced_until = stop_sample
        step_ms = WINDOW // SAMPLES_PER_MS
        self._run_ms += step_ms
        self.voiced_ms += step_ms
        if self._run_ms < self._settings.start_ms or self.speaking:
            return None
        if self._soft_ended:
            self._soft_ended = False
            return SpeechResumed()
        self._open = True
        return SpeechStarted(max(0, self._first_voiced - self._settings.lead_in_ms * SAMPLES_PER_MS))

    def _unvoiced(self) -> Edge | None:
        if not self._open:
            self._run_ms = self.voiced_ms = 0
            return None
        if self.silence_ms < self._settings.soft_end_ms:
            return None
        self._run_ms = 0
        if self._soft_ended:
            return None
        self._soft_ended = True
        return SoftEnded(self.voiced_until)
