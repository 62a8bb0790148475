"""Partial transcripts by Whisper while the caller speaks: the utterance so far is decoded again and again.

Whisper cannot go on from where it was, and a pass that has begun cannot be stopped. So that captions never hold up a
final transcript, passes for them run on a worker of their own inside CTranslate2, one at a time for all calls, and
rest between them for longer than they took.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Protocol

import numpy as np

from voicebot.core.audio import EMPTY, SPEECH_RATE_HZ
from voicebot.engines.base import Cancel, Pcm, Transcript
from voicebot.engines.whisper_window import FULL_WINDOW_S, Hypothesis

LONGEST_SAMPLES = 60 * SPEECH_RATE_HZ
"""What is kept of an utterance: its end."""
REST = 3
"""A pass is followed by the next after this many times its own length at the soonest: a third of a worker at most."""


class Partial(Protocol):
    """A pass that runs on its own."""

    def done(self) -> bool: ...

    def result(self) -> Hypothesis:
        """Waits. Raises: EngineBadOutput."""
        ...


class Partials(Protocol):
    """What a stream needs of the driver."""

    def begin(self, pcm: Pcm) -> Partial | None:
        """Start a pass over the utterance so far, or None while another is under way."""
        ...

    def believed(self, heard: Hypothesis) -> bool: ...

    def transcript(self, heard: Hypothesis) -> Transcript: ...

    def transcribe(self, pcm: Pcm, cancel: Cancel) -> Transcript: ...


class WhisperStream:
    """One utterance. Its clock is the samples fed, which come in real time. Thread: the engine's lane."""

    def __init__(self, driver: Partials, every_samples: int) -> None:
        """`every_samples`: new speech after which a caption may be decoded again."""
        self._driver = driver
        self._every = every_samples
        self._pieces: deque[Pcm] = deque()
        self._held = 0
        self._heard = 0
        self._asked = 0
        """What had been heard when the latest pass began."""
        self._rest_until = 0
        self._pending: Partial | None = None
        self._latest: Hypothesis | None = None
        self._text = ""

    def feed(self, pcm: Pcm) -> str:
        """Raises: EngineBadOutput."""
        self._keep(pcm)
        self._collect()
        due = self._heard >= max(self._asked + self._every, self._rest_until)
        if self._pending is None and due and self._held <= FULL_WINDOW_S * SPEECH_RATE_HZ:
            self._pending = self._driver.begin(self._speech())
            if self._pending is not None:
                self._asked = self._heard
        return self._text

    def finish(self) -> Transcript:
        """Raises: EngineBadOutput; the stream is used up then too."""
        pcm, pending, latest = self._speech(), self._pending, self._latest
        covered = self._asked == self._heard == self._held
        self.abandon()
        if not len(pcm):
            return Transcript("")
        if covered and pending is not None:
            latest = pending.result()
        if covered and latest is not None and self._driver.believed(latest):
            return self._driver.transcript(latest)
        return self._driver.transcribe(pcm, threading.Event())

    def abandon(self) -> None:
        """A pass that has begun ends unseen."""
        self._pieces.clear()
        self._held = 0
        self._pending = None

    def _keep(self, pcm: Pcm) -> None:
        self._pieces.append(pcm)
        self._held += len(pcm)
        self._heard += len(pcm)
        while self._held > LONGEST_SAMPLES:
            self._held -= len(self._pieces.popleft())

    def _speech(self) -> Pcm:
        return np.concatenate(self._pieces) if self._pieces else EMPTY

    def _collect(self) -> None:
        if self._pending is None or not self._pending.done():
            return
        self._latest, self._pending = self._pending.result(), None
        took = self._heard - self._asked
        self._rest_until = self._heard + REST * took
        if self._driver.believed(self._latest):
            self._text = self._latest.text
