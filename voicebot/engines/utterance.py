"""A recogniser's stream as calls use it: from any thread of its lane, by one at a time, and given back once.

A lane may have several threads (PocketSphinx has one for each decoder), and what cleans up after a cancelled task does
not wait for the job that is still in the engine: a decoder would be ended, and lent to another call, while it is fed.
"""

from __future__ import annotations

import threading

from voicebot.engines.base import EarlySttStream, Pcm, SttStream, Transcript


class Utterance:
    """Thread: any of the lane's. Given back, it hears nothing more."""

    def __init__(self, stream: SttStream) -> None:
        self._stream = stream
        self._early = stream if isinstance(stream, EarlySttStream) else None
        self._lock = threading.Lock()
        self._over = False

    @property
    def may_end_early(self) -> bool:
        """Whether it wants to know where there is nothing more to hear."""
        return self._early is not None

    def feed(self, pcm: Pcm, silent_samples: int = 0) -> str:
        """The partial transcript. `silent_samples`: for `EarlySttStream.note_silence`. Raises: EngineError."""
        with self._lock:
            if self._over:
                return ""
            text = self._stream.feed(pcm)
            if self._early is not None:
                self._early.note_silence(silent_samples)
            return text

    def finish(self) -> Transcript:
        """Raises: EngineError."""
        with self._lock:
            return Transcript("") if self._over else self._stream.finish()

    def abandon(self) -> None:
        """Give it back, when the job that is in it has ended. Idempotent."""
        with self._lock:
            if not self._over:
                self._over = True
                self._stream.abandon()
