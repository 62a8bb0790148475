"""Partial transcripts by Whisper while the caller speaks: the utterance so far is decoded again and again.

Whisper cannot go on from where it was, and a pass that has begun cannot be stopped. So that captions never hold up a
final transcript, passes for them run on a worker of their own inside CTranslate2, one at a time for all calls, and
rest between them for as long as they took. The last pass begins when there seems to be nothing more to hear, before it
is known whether the caller goes on: if he does, it was a caption like any other; if not, it has heard every word.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from voicebot.core.audio import EMPTY, SPEECH_RATE_HZ
from voicebot.engines.base import Cancel, Pcm, Transcript
from voicebot.engines.whisper_window import FULL_WINDOW_S, Hypothesis

LONGEST_SAMPLES = 60 * SPEECH_RATE_HZ
"""What is kept of an utterance: its end."""
REST = 1
"""A pass for a caption is followed by the next after this many times its own length at the soonest: half a worker."""


class Partial(Protocol):
    """A pass that runs on its own."""

    def done(self) -> bool: ...

    def result(self) -> Hypothesis:
        """Waits. Raises: EngineBadOutput."""
        ...


class Partials(Protocol):
    """What a stream needs of the driver."""

    def begin(self, pcm: Pcm, last: bool = False) -> Partial | None:
        """Start a pass over the utterance so far; None where there is no worker for it. `last`: not for a caption."""
        ...

    def believed(self, heard: Hypothesis) -> bool: ...

    def settle(self, heard: Hypothesis, pcm: Pcm) -> Transcript:
        """The final words of a pass that heard all of `pcm`, asked again where it is in doubt."""
        ...

    def transcribe(self, pcm: Pcm, cancel: Cancel) -> Transcript: ...


@dataclass(frozen=True, slots=True)
class _Begun:
    """A pass over the first `samples` of the utterance."""

    samples: int
    heard: Partial


class WhisperStream:
    """One utterance. Its clock is the samples fed, which come in real time. Thread: the engine's lane."""

    def __init__(self, driver: Partials, every_samples: int) -> None:
        """`every_samples`: new speech after which a caption may be decoded again."""
        self._driver = driver
        self._every = every_samples
        self._pieces: deque[Pcm] = deque()
        self._held = 0
        self._heard = 0
        self._silent = 0
        self._rest_until = 0
        self._passes: deque[_Begun] = deque()
        """Under way, the oldest first: a caption's, and the last one's."""
        self._latest: tuple[int, Hypothesis] | None = None
        """What the newest pass that has ended heard, and of how many samples."""
        self._asked = 0
        """What had been heard when the newest pass began."""
        self._text = ""
        self.told_samples = 0
        """How much of the utterance the shown text is of."""

    def feed(self, pcm: Pcm) -> str:
        """Raises: EngineBadOutput."""
        self._keep(pcm)
        self._collect()
        if not self._passes and self._heard >= max(self._asked + self._every, self._rest_until):
            self._begin(last=False)
        return self._text

    def note_silence(self, samples: int) -> None:
        """Raises: EngineBadOutput."""
        self._silent = samples
        if samples and not self._covers(self._asked):
            self._begin(last=True)

    def finish(self) -> Transcript:
        """Raises: EngineBadOutput; the stream is used up then too."""
        pcm, begun, latest = self._speech(), list(self._passes), self._latest
        whole = bool(len(pcm)) and self._covers(self._asked)
        self.abandon()
        if not whole:
            return self._driver.transcribe(pcm, threading.Event()) if len(pcm) else Transcript("")
        if begun:
            return self._driver.settle(begun[-1].heard.result(), pcm)
        assert latest is not None, "the newest pass is under way or has ended"
        return self._driver.settle(latest[1], pcm)

    def abandon(self) -> None:
        """A pass that has begun ends unseen."""
        self._pieces.clear()
        self._held = 0
        self._passes.clear()

    def _covers(self, samples: int) -> bool:
        """Whether a pass over the first `samples` has heard all of the speech, of which nothing was dropped."""
        return self._held == self._heard and 0 < self._heard - self._silent <= samples

    def _begin(self, last: bool) -> None:
        if self._held > FULL_WINDOW_S * SPEECH_RATE_HZ:
            return
        begun = self._driver.begin(self._speech(), last)
        if begun is not None:
            self._passes.append(_Begun(self._heard, begun))
            self._asked = self._heard

    def _keep(self, pcm: Pcm) -> None:
        self._pieces.append(pcm)
        self._held += len(pcm)
        self._heard += len(pcm)
        self._silent = 0
        while self._held > LONGEST_SAMPLES:
            self._held -= len(self._pieces.popleft())

    def _speech(self) -> Pcm:
        return np.concatenate(self._pieces) if self._pieces else EMPTY

    def _collect(self) -> None:
        while self._passes and self._passes[0].heard.done():
            begun = self._passes.popleft()
            heard = begun.heard.result()
            self._latest = (begun.samples, heard)
            self._rest_until = self._heard + REST * (self._heard - begun.samples)
            if self._driver.believed(heard):
                self._text, self.told_samples = heard.text, begun.samples
