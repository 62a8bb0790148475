"""Opus through libopus itself: the few functions that a call needs, called through ctypes.

Why not PyAV's codec objects: they can neither conceal a lost packet nor read the copy of it that the next one carries
(in-band FEC), and they decode to 48 kHz only, where libopus gives the 16 kHz that speech recognisers want, without
the cost of a resampler. Measured for 20 ms of speech on one core: decode 13 us (PyAV and a resampler: 60 us), conceal
12 us, encode 150 us, so both are done on the loop. The library is the one that PyAV's wheel brings, else the
system's. Source: opus.h, libopus 1.1 to 1.6.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
from pathlib import Path
from typing import Any

import av
import numpy as np

from voicebot.core.audio import Pcm
from voicebot.errors import ConfigError, ProtocolError

CLOCK_HZ = 48_000
"""Of RTP timestamps, whatever rate is encoded or decoded. Source: RFC 7587 section 4.1."""
LONGEST_PACKET_MS = 120
PACKET_BYTES = 1275
"""Source: RFC 6716 section 3.2."""
_DTX_BYTES = 2
"""A packet this short only says that the sender is silent. Source: opus_encode in opus.h."""

_POINTER, _INT, _BYTES = ctypes.c_void_p, ctypes.c_int32, ctypes.c_char_p
_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "opus_encoder_get_size": (_INT, [_INT]),
    "opus_encoder_init": (_INT, [_POINTER, _INT, _INT, _INT]),
    "opus_encoder_ctl": (_INT, [_POINTER, _INT]),
    "opus_encode": (_INT, [_POINTER, _POINTER, _INT, _POINTER, _INT]),
    "opus_decoder_get_size": (_INT, [_INT]),
    "opus_decoder_init": (_INT, [_POINTER, _INT, _INT]),
    "opus_decode": (_INT, [_POINTER, _BYTES, _INT, _POINTER, _INT, _INT]),
    "opus_strerror": (_BYTES, [_INT]),
    "opus_get_version_string": (_BYTES, []),
}
_VOIP = 2048
_SET_BITRATE, _SET_COMPLEXITY, _SET_INBAND_FEC, _SET_PACKET_LOSS, _SET_SIGNAL = 4002, 4010, 4012, 4014, 4024
_SIGNAL_VOICE = 3001
_FRAME_SAMPLES = (
    *(480, 960, 1920, 2880) * 3,  # SILK, narrow to wide band
    *(480, 960) * 2,  # hybrid
    *(120, 240, 480, 960) * 4,  # CELT
)
"""Of one frame, at 48 kHz, by the configuration in a packet's first byte. Source: RFC 6716 table 2."""


def packet_samples(payload: bytes) -> int:
    """How long a packet is, at 48 kHz; 0 for one that is empty or breaks the format. Source: RFC 6716 section 3.1."""
    if not payload:
        return 0
    frames = (1, 2, 2, payload[1] & 63 if len(payload) > 1 else 0)[payload[0] & 3]
    samples = _FRAME_SAMPLES[payload[0] >> 3] * frames
    return samples if samples <= LONGEST_PACKET_MS * CLOCK_HZ // 1000 else 0


def says_silence(payload: bytes) -> bool:
    """Whether the sender stops sending after it until somebody speaks (DTX)."""
    return len(payload) <= _DTX_BYTES


class OpusDecoder:
    """One stream's packets as mono PCM at `rate_hz` (8, 12, 16, 24 or 48 kHz). Raises: ConfigError, as `library`."""

    def __init__(self, rate_hz: int) -> None:
        self._lib = library()
        self._rate_hz = rate_hz
        self._state = ctypes.create_string_buffer(self._lib.opus_decoder_get_size(1))
        _check(self._lib, self._lib.opus_decoder_init(self._state, rate_hz, 1), "a decoder")
        self._pcm = np.zeros(rate_hz * LONGEST_PACKET_MS // 1000, dtype=np.int16)
        self._at = self._pcm.ctypes.data

    def decode(self, payload: bytes) -> Pcm:
        """The packet's sound. Raises: ProtocolError for one that is damaged."""
        return self._run(payload, len(self._pcm), fec=0)

    def conceal(self, samples: int) -> Pcm:
        """A guess at `samples` (48 kHz, a multiple of 120) that never came; fades to silence within 100 ms."""
        longest = LONGEST_PACKET_MS * CLOCK_HZ // 1000
        parts = [self._run(None, self._own(min(longest, samples - at)), fec=0) for at in range(0, samples, longest)]
        return np.concatenate(parts) if len(parts) != 1 else parts[0]

    def recover(self, following: bytes, samples: int) -> Pcm:
        """The last `samples` (48 kHz, a multiple of 120) before `following`, from the copy in it, else a guess.

        Raises: ProtocolError when `following` is damaged.
        """
        return self._run(following, self._own(samples), fec=1)

    def _own(self, samples: int) -> int:
        return samples * self._rate_hz // CLOCK_HZ

    def _run(self, payload: bytes | None, samples: int, fec: int) -> Pcm:
        size = len(payload) if payload is not None else 0
        decoded = self._lib.opus_decode(self._state, payload, size, self._at, samples, fec)
        if decoded < 0:
            raise ProtocolError(f"an Opus packet of {size} bytes cannot be decoded: {_words(self._lib, decoded)}")
        return self._pcm[:decoded].copy()


class OpusEncoder:
    """Mono speech as packets of a rate around `bit_rate`, each with a copy of the one before if loss is expected.

    Complexity 5 of 10: the last that tells on speech at this rate, at two thirds of the cost of 9.
    """

    def __init__(self, rate_hz: int, bit_rate: int) -> None:
        """Raises: ConfigError, as `library`."""
        self._lib = library()
        self._state = ctypes.create_string_buffer(self._lib.opus_encoder_get_size(1))
        _check(self._lib, self._lib.opus_encoder_init(self._state, rate_hz, 1, _VOIP), "an encoder")
        settings = {
            _SET_BITRATE: bit_rate,
            _SET_COMPLEXITY: 5,
            _SET_INBAND_FEC: 1,
            _SET_SIGNAL: _SIGNAL_VOICE,
        }
        for request, value in settings.items():
            self._set(request, value)
        self._packet = ctypes.create_string_buffer(PACKET_BYTES)

    def expect_loss(self, percent: int) -> None:
        """0..100: how much of the bit rate goes into copies. Without any, a frame costs a quarter less to encode."""
        self._set(_SET_PACKET_LOSS, percent)

    def _set(self, request: int, value: int) -> None:
        _check(self._lib, self._lib.opus_encoder_ctl(self._state, request, _INT(value)), f"setting {request}")

    def encode(self, pcm: Pcm) -> bytes:
        """One packet from int16[n], n being 10, 20, 40 or 60 ms."""
        pcm = np.ascontiguousarray(pcm)
        size = self._lib.opus_encode(self._state, pcm.ctypes.data, len(pcm), self._packet, PACKET_BYTES)
        assert size > 0, f"{len(pcm)} samples make no Opus packet: {_words(self._lib, size)}"
        return self._packet.raw[:size]


@functools.cache
def library() -> ctypes.CDLL:
    """libopus, its functions declared. Raises: ConfigError where there is none."""
    path = _find()
    if path is None:
        raise ConfigError("browser calls need libopus, which PyAV's wheels bring; install libopus (Debian: libopus0)")
    lib = ctypes.CDLL(path)
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


def version() -> str:
    """E.g. "libopus 1.6.1". Raises: ConfigError, as `library`."""
    return str(library().opus_get_version_string().decode())


def _find() -> str | None:
    """Where wheels keep it: beside the package on Linux and Windows, inside it on macOS."""
    package = Path(av.__file__).parent
    for folder, pattern in ((package.parent / "av.libs", "*opus*"), (package / ".dylibs", "libopus*")):
        if found := sorted(folder.glob(pattern)):
            return str(found[0])
    return ctypes.util.find_library("opus")


def _check(lib: ctypes.CDLL, code: int, what: str) -> None:
    assert code == 0, f"libopus refuses {what}: {_words(lib, code)}"


def _words(lib: ctypes.CDLL, code: int) -> str:
    return str(lib.opus_strerror(code).decode())
