"""What Whisper sees of an utterance, and whether to believe what it says of it.

Rules:
1. The encoder's work grows with its window, so the window is the utterance and a margin, never under a minimum.
   Whisper was trained on 30 s only: in a window that is too short it tends not to find its end and repeats itself
   (Source: whisper.cpp issues 1855 and 1951 on `audio_ctx`; faster-whisper issue 1006).
2. So a doubtful result of a short window is asked again in the full one; what is doubtful there too was not speech.
"""

from __future__ import annotations

import math
import re
import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voicebot.core.audio import SPEECH_RATE_HZ
from voicebot.engines.base import Word

FULL_WINDOW_S = 30
MARGIN_S = 1
"""Silence behind the speech in the window at least: in training speech hardly ever ran to the very end."""
FRAMES_PER_S = 100
PADDING_SAMPLES = 400
"""Zeros behind the speech before its features are taken: one transform (n_fft), so that no frame mirrors its end."""
TOKENS_PER_S, TOKENS_MORE = 10, 20
"""Nobody speaks ten tokens a second; a transcript that would be longer is a loop, and is cut off there."""
MOST_TOKENS = 224
"""Of a window: half of the decoder's context. Source: Whisper's sample_len."""
REPEATED_WORDS = 2
"""A phrase of so many words or more, said twice at the end, is a sign of a loop."""
Features = npt.NDArray[np.float32]


def window_s(samples: int, least_s: int) -> int:
    """The window for an utterance of so many samples, in whole seconds: `least_s` to FULL_WINDOW_S."""
    needed_s = math.ceil(samples / SPEECH_RATE_HZ) + MARGIN_S
    return min(FULL_WINDOW_S, max(least_s, needed_s))


def fill_window(features: Features, seconds: int) -> Features:
    """Log-mel features float32[bands, n] cut or filled to a window of `seconds`: float32[bands, seconds * 100].

    The filling is what the extractor makes of digital silence beside this speech: 8 decades under the loudest value,
    and no less than of 1e-10 (Source: Whisper's log_mel_spectrogram). So it equals the features of padded audio, for
    none of its cost.
    """
    frames = seconds * FRAMES_PER_S
    missing = frames - features.shape[1]
    if missing <= 0:
        return np.ascontiguousarray(features[:, :frames], dtype=np.float32)
    floor = max(float(features.max()) - 8 / 4, (-10 + 4) / 4)
    return np.pad(features, ((0, 0), (0, missing)), constant_values=floor).astype(np.float32)


def most_tokens(samples: int) -> int:
    """How long a transcript of so many samples may get."""
    return min(MOST_TOKENS, TOKENS_MORE + TOKENS_PER_S * math.ceil(samples / SPEECH_RATE_HZ))


def repeats_its_end(text: str) -> bool:
    """Whether the text ends in a phrase said twice: "to five x. To five x."."""
    words = re.findall(r"[\w']+", text.lower())
    sizes = range(REPEATED_WORDS, len(words) // 2 + 1)
    return any(words[-size:] == words[-2 * size : -size] for size in sizes)


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What Whisper makes of one window, with its own figures."""

    text: str
    mean_logprob: float
    """Natural log, over the tokens and the end."""
    no_speech: float
    """P(no speech)."""
    cut_off: bool = False
    """The text had no end."""
    words: tuple[Word, ...] = ()

    @property
    def compression_ratio(self) -> float:
        encoded = self.text.encode()
        return len(encoded) / len(zlib.compress(encoded))


@dataclass(frozen=True, slots=True)
class Guards:
    """Limits of belief; see the options of the driver."""

    no_speech: float
    logprob: float
    compression_ratio: float

    def is_poor(self, heard: Hypothesis) -> bool:
        """Unsure, or saying the same over and over."""
        return heard.compression_ratio > self.compression_ratio or heard.mean_logprob < self.logprob

    def is_invented(self, heard: Hypothesis) -> bool:
        """Words that nobody said."""
        return heard.no_speech > self.no_speech or self.is_poor(heard)

    def wants_full_window(self, heard: Hypothesis) -> bool:
        """Whether the short window may be to blame. Unsure words of what is no speech either are noise."""
        if heard.no_speech > self.no_speech and heard.mean_logprob < self.logprob:
            return False
        return self.is_poor(heard) or heard.cut_off or repeats_its_end(heard.text)
