"""WAV files for `voicebot call`: read strictly, written plainly, and where the speech in one ends."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from voicebot.core.audio import SPEECH_RATE_HZ, Pcm, resampler
from voicebot.errors import ConfigError

RATES_HZ = (8000, 16000)
"""What a WAV may have: a telephone's rate, and the rate at which callers are heard."""
LONGEST_S = 300.0
FRAME_MS = 10
"""Levels are measured over frames of this length."""
SPEECH_BELOW_PEAK_DB = 40.0
"""A frame belongs to the speech if it is at most this far below the WAV's loudest frame."""
_FLOOR = 33.0
"""RMS under which a frame is quiet however quiet the WAV is: -60 dB full scale."""


@dataclass(frozen=True, slots=True)
class Speech:
    """One WAV, ready to be spoken. `pcm`: int16[n], mono, 16 kHz."""

    name: str
    pcm: Pcm
    speech_stop_sample: int
    """One past the last sample of the last frame that is speech."""


def read_speech(path: Path) -> Speech:
    """Raises: ConfigError for anything but mono 16-bit PCM at 8 or 16 kHz with something audible in it."""
    pcm, rate_hz = _read(path)
    converter = resampler(rate_hz, SPEECH_RATE_HZ)
    pcm = np.concatenate((converter.push(pcm), converter.flush()))
    stop = speech_stop(pcm)
    if not stop:
        raise ConfigError(f"{path} is silent: no {FRAME_MS} ms of it are above -60 dB; give a WAV with speech in it")
    return Speech(path.name, pcm, stop)


def _read(path: Path) -> tuple[Pcm, int]:
    try:
        with wave.open(str(path), "rb") as file:
            shape = (file.getnchannels(), file.getsampwidth() * 8, file.getframerate())
            samples = file.getnframes()
            if shape[0] != 1 or shape[1] != 16 or shape[2] not in RATES_HZ:
                raise ConfigError(_wrong_shape(path, *shape))
            if samples > LONGEST_S * shape[2]:
                raise ConfigError(f"{path} is {samples / shape[2]:.0f} s long; the limit is {LONGEST_S:.0f} s a turn")
            encoded = file.readframes(samples)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except (wave.Error, EOFError) as error:
        raise ConfigError(
            f"{path} is not a WAV of plain PCM ({str(error) or 'it ends too early'}); {_advice(path)}"
        ) from None
    if not encoded:
        raise ConfigError(f"{path} is empty: it has no samples; give a WAV with speech in it")
    return np.frombuffer(encoded[: len(encoded) // 2 * 2], dtype="<i2").astype(np.int16), shape[2]


def _wrong_shape(path: Path, channels: int, bits: int, rate_hz: int) -> str:
    spread = {1: "mono", 2: "stereo"}.get(channels, f"{channels} channels")
    has = f"{spread}, {bits} bit, {rate_hz} Hz"
    return f"{path} is {has}; wanted is mono, 16 bit, 8000 or 16000 Hz; {_advice(path)}"


def _advice(path: Path) -> str:
    return f"convert it: sox {path} -r 16000 -c 1 -b 16 out.wav, or: ffmpeg -i {path} -ar 16000 -ac 1 out.wav"


def frame_levels(pcm: Pcm, rate_hz: int) -> list[float]:
    """RMS of each frame of FRAME_MS, in int16 units; the last frame may be shorter."""
    size = rate_hz * FRAME_MS // 1000
    whole = len(pcm) // size * size
    frames = pcm[:whole].reshape(-1, size).astype(np.float32)
    levels = [float(level) for level in np.sqrt(np.mean(np.square(frames), axis=1))]
    if whole < len(pcm):
        levels.append(float(np.sqrt(np.mean(np.square(pcm[whole:].astype(np.float32))))))
    return levels


def speech_stop(pcm: Pcm, rate_hz: int = SPEECH_RATE_HZ) -> int:
    """Where the speech of a recording ends: one past the last frame within 40 dB of the loudest; 0 for silence."""
    levels = frame_levels(pcm, rate_hz)
    gate = max(_FLOOR, max(levels, default=0.0) * 10 ** (-SPEECH_BELOW_PEAK_DB / 20))
    last = max((number for number, level in enumerate(levels) if level >= gate), default=-1)
    return min(len(pcm), (last + 1) * rate_hz * FRAME_MS // 1000)


def speech_start(pcm: Pcm, rate_hz: int = SPEECH_RATE_HZ) -> int:
    """Where the speech of a recording begins, by the same measure: the first sample of its first frame that counts."""
    return max(0, len(pcm) - speech_stop(pcm[::-1], rate_hz))


def write_wav(path: Path, pcm: Pcm, rate_hz: int) -> None:
    """Mono, 16 bit. Raises: ConfigError when the file cannot be written."""
    try:
        with path.open("wb") as raw, wave.open(raw, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate_hz)
            file.writeframes(pcm.astype("<i2").tobytes())
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from None
