"""PCM: G.711 mu-law, resampling, levels and the call's ring of recent speech. All mono int16.

The only file of the core that knows numpy and soxr.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
import numpy.typing as npt
import soxr

Pcm = npt.NDArray[np.int16]

SPEECH_RATE_HZ = 16_000
"""The rate at which callers are heard: what Silero, Whisper and PocketSphinx take."""
SIMPLE_RATIO = 6
"""Up to this numerator or denominator (48 to 8 kHz) a resampling filter is short."""
WINDOW_SAMPLES = 512
"""One VAD window, 32 ms at 16 kHz (Source: Silero VAD v5)."""
PIECE_SAMPLES = 160
"""What `Hush` judges at once, 10 ms: longer than a period of any voice, much shorter than a consonant's closure."""
FULL_SCALE = 32768.0
HUSH_DBFS, HUSH_ABOVE_FLOOR_DB, HUSH_BELOW_LEVEL_DB = -60.0, 9.0, 30.0
"""Noise comes and goes by some 3 dB in 10 ms, and the quietest piece lies under its mean; the faintest consonants are
some 30 dB under a loud vowel. Tried on recordings with noise (ADR 72)."""
EMPTY: Pcm = np.zeros(0, dtype=np.int16)

_MULAW_BIAS = 0x84
_MULAW_CLIP = 32635


def _decode_table() -> Pcm:
    """All 256 mu-law codes as linear samples. Source: ITU-T G.711 table 2a, 14 bit values times 4."""
    code = ~np.arange(256, dtype=np.uint8)
    exponent = ((code >> 4) & 0x07).astype(np.int32)
    magnitude = (((code & 0x0F).astype(np.int32) << 3) + _MULAW_BIAS << exponent) - _MULAW_BIAS
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _encode_table() -> npt.NDArray[np.uint8]:
    """The mu-law code of each 16 bit sample, indexed by the sample as uint16. Source: ITU-T G.711."""
    linear = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)
    sign = np.where(linear < 0, 0x80, 0)
    magnitude = np.minimum(np.abs(linear), _MULAW_CLIP) + _MULAW_BIAS
    exponent = np.floor(np.log2(magnitude)).astype(np.int32) - 7
    mantissa = (magnitude >> (exponent + 3)) & 0x0F
    codes: npt.NDArray[np.uint8] = (~(sign | (exponent << 4) | mantissa) & 0xFF).astype(np.uint8)
    return codes


_MULAW_TO_LINEAR = _decode_table()
_LINEAR_TO_MULAW = _encode_table()


def mulaw_decode(encoded: bytes) -> Pcm:
    """Linear samples, int16[len(encoded)]."""
    return _MULAW_TO_LINEAR[np.frombuffer(encoded, dtype=np.uint8)]


def mulaw_encode(pcm: Pcm) -> bytes:
    """One mu-law byte a sample."""
    return _LINEAR_TO_MULAW[pcm.view(np.uint16)].tobytes()


def dbfs(pcm: Pcm) -> float:
    """RMS level in dB below full scale; -120.0 for silence or no samples."""
    if not len(pcm):
        return -120.0
    rms = math.sqrt(float(np.mean(np.square(pcm.astype(np.float32)))))
    return max(-120.0, 20.0 * math.log10(max(rms, 1e-9) / FULL_SCALE))


def silence(samples: int) -> Pcm:
    """int16[samples] of digital silence."""
    return np.zeros(samples, dtype=np.int16)


class Resampler(Protocol):
    """A streaming sample rate converter that keeps its filter state between pushes."""

    def push(self, pcm: Pcm) -> Pcm:
        """The samples that are ready, int16[m]; some may stay in the filter until the next push."""
        ...

    def flush(self) -> Pcm:
        """The filter's tail; the converter starts afresh afterwards."""
        ...


def resampler(in_rate_hz: int, out_rate_hz: int) -> Resampler:
    """A converter for live speech where the rates have a simple ratio (2:1, 3:2), else for synthesised speech.

    Measured delay at 8 -> 16 kHz: soxr LQ 60 ms, MQ 26 ms (it works in blocks), the short FIR 1 ms; on a frame path
    only the last will do. Synthesised speech comes faster than real time, so soxr's blocks cost it nothing.
    """
    if in_rate_hz == out_rate_hz:
        return _Same()
    common = math.gcd(in_rate_hz, out_rate_hz)
    if max(in_rate_hz, out_rate_hz) // common <= SIMPLE_RATIO:
        return _FirResampler(in_rate_hz, out_rate_hz)
    return _SoxrResampler(in_rate_hz, out_rate_hz)


class _Same:
    def push(self, pcm: Pcm) -> Pcm:
        return pcm

    def flush(self) -> Pcm:
        return EMPTY


class _FirResampler:
    """Simple ratios by one windowed-sinc low-pass, 16 zero crossings long: 1 ms of delay at 8 kHz."""

    def __init__(self, in_rate_hz: int, out_rate_hz: int) -> None:
        common = math.gcd(in_rate_hz, out_rate_hz)
        self._up = out_rate_hz // common
        self._down = in_rate_hz // common
        factor = max(self._up, self._down)
        at = np.arange(-8 * factor, 8 * factor + 1) / factor
        taps = np.sinc(0.92 * at) * np.kaiser(len(at), 6.0)
        self._taps = (taps / taps.sum() * self._up).astype(np.float32)
        self._line = np.zeros(len(taps) - 1, dtype=np.float32)
        self._phase = 0

    def push(self, pcm: Pcm) -> Pcm:
        if not len(pcm):
            return EMPTY
        stuffed = np.zeros(len(pcm) * self._up, dtype=np.float32)
        stuffed[:: self._up] = pcm
        line = np.concatenate((self._line, stuffed))
        self._line = line[len(line) - len(self._taps) + 1 :].copy()
        full = np.convolve(line, self._taps, mode="valid")
        kept = full[self._phase :: self._down]
        self._phase = (self._phase - len(full)) % self._down
        return np.clip(np.rint(kept), -32768, 32767).astype(np.int16)

    def flush(self) -> Pcm:
        """The tail is a millisecond of a fade: dropped."""
        self._line[:] = 0
        self._phase = 0
        return EMPTY


class _SoxrResampler:
    def __init__(self, in_rate_hz: int, out_rate_hz: int) -> None:
        self._stream = soxr.ResampleStream(in_rate_hz, out_rate_hz, 1, "int16", "HQ")

    def push(self, pcm: Pcm) -> Pcm:
        return self._stream.resample_chunk(pcm) if len(pcm) else EMPTY

    def flush(self) -> Pcm:
        tail: Pcm = self._stream.resample_chunk(EMPTY, last=True)
        self._stream.clear()
        return tail


class Hush:
    """Where the sound of an utterance has sunk into the line's own noise, which is known as soon as it has.

    A voice activity detector says so some 40 ms later, and on a noisy line 80. It is right more often: a consonant may
    be a hush, and on a line that is noisy enough there is none. So a hush decides nothing; it says from where on there
    is nothing to hear.
    """

    def __init__(self, start_sample: int) -> None:
        """`start_sample`: of the utterance, with some of what came before it."""
        self.stop_sample = start_sample
        """One past the last sample that has been judged."""
        self.since_sample = start_sample
        """Where the hush began that lasts still; as `stop_sample` where there is none."""
        self._floor, self._level = math.inf, 0.0

    @property
    def lasts(self) -> bool:
        return self.since_sample < self.stop_sample

    def push(self, pcm: Pcm) -> None:
        """The next samples, int16[n * PIECE_SAMPLES].

        A piece is hushed if it is no more than `HUSH_ABOVE_FLOOR_DB` over the quietest so far, or under `HUSH_DBFS`,
        and `HUSH_BELOW_LEVEL_DB` under the loudest.
        """
        if not len(pcm):
            return
        levels = np.sqrt(np.mean(np.square(pcm.reshape(-1, PIECE_SAMPLES).astype(np.float32)), axis=1))
        floors = np.minimum(np.minimum.accumulate(levels), self._floor)
        loudest = np.maximum(np.maximum.accumulate(levels), self._level)
        limits = np.maximum(floors * _ratio(HUSH_ABOVE_FLOOR_DB), FULL_SCALE * _ratio(HUSH_DBFS))
        heard = np.flatnonzero(levels > np.minimum(limits, loudest * _ratio(-HUSH_BELOW_LEVEL_DB)))
        if len(heard):
            self.since_sample = self.stop_sample + (int(heard[-1]) + 1) * PIECE_SAMPLES
        self.stop_sample += len(pcm)
        self._floor, self._level = float(floors[-1]), float(loudest[-1])


def _ratio(db: float) -> float:
    """Of amplitudes."""
    return 10 ** (db / 20)


class SpeechRing:
    """The last seconds of a call's speech, addressed by sample number since the call began.

    Bounded: older samples are overwritten; a range that has left the ring comes back shortened.
    """

    def __init__(self, seconds: float = 30.0) -> None:
        self._buffer = silence(int(seconds * SPEECH_RATE_HZ))
        self.stop_sample = 0
        """Samples pushed so far: the number of the next one."""

    def push(self, pcm: Pcm) -> None:
        size = len(self._buffer)
        kept = pcm[-size:]
        at = (self.stop_sample + len(pcm) - len(kept)) % size
        first = min(len(kept), size - at)
        self._buffer[at : at + first] = kept[:first]
        self._buffer[: len(kept) - first] = kept[first:]
        self.stop_sample += len(pcm)

    def read(self, start_sample: int, stop_sample: int) -> Pcm:
        """A copy of the samples in [start, stop) that are still held."""
        size = len(self._buffer)
        stop = min(stop_sample, self.stop_sample)
        start = max(start_sample, self.stop_sample - size, 0)
        if start >= stop:
            return EMPTY
        at, count = start % size, stop - start
        first = min(count, size - at)
        return np.concatenate((self._buffer[at : at + first], self._buffer[: count - first]))

    def let_go(self) -> None:
        """Hold nothing any more: the call is over, and nothing will be pushed."""
        self._buffer = EMPTY
