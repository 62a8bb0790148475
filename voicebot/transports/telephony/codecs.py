"""Encodings of telephone audio: G.711 mu-law and A-law, and linear 16 bit in either byte order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voicebot.core.audio import Pcm, mulaw_decode, mulaw_encode
from voicebot.errors import ProtocolError
from voicebot.transports.telephony.reading import INVALID_PAYLOAD, UNSUPPORTED


@dataclass(frozen=True, slots=True)
class Codec:
    """One encoding. `width`: bytes a sample."""

    name: str
    width: int
    encode: Callable[[Pcm], bytes]
    _decode: Callable[[bytes], Pcm]

    def decode(self, encoded: bytes) -> Pcm:
        """int16[n]. An odd count of bytes cannot be whole frames: something was cut. Raises: ProtocolError."""
        if not encoded or len(encoded) % 2:
            raise ProtocolError(
                f"a media payload of {len(encoded)} {self.name} bytes; whole frames are expected", INVALID_PAYLOAD
            )
        return self._decode(encoded)


def _alaw_table() -> Pcm:
    """All 256 A-law codes as linear samples. Source: ITU-T G.711 table 1a, 13 bit values times 8."""
    code = np.arange(256, dtype=np.int32) ^ 0x55
    exponent, mantissa = (code >> 4) & 0x07, code & 0x0F
    magnitude = (mantissa << 4) + 8
    magnitude = np.where(exponent > 0, (magnitude + 0x100) << np.maximum(exponent - 1, 0), magnitude)
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


def _alaw_codes() -> npt.NDArray[np.uint8]:
    """The A-law code of each 16 bit sample, indexed by the sample as uint16: the nearest of its sign."""
    linear = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)
    table = _ALAW_TO_LINEAR.astype(np.int32)
    order = np.argsort(table)
    values = table[order]
    right = np.clip(np.searchsorted(values, linear), 1, 255)
    left = right - 1
    nearest = np.where(linear - values[left] <= values[right] - linear, left, right)
    nearest = np.where((linear >= 0) & (values[nearest] < 0), right, nearest)
    codes: npt.NDArray[np.uint8] = order[nearest].astype(np.uint8)
    return codes


_ALAW_TO_LINEAR = _alaw_table()
_LINEAR_TO_ALAW = _alaw_codes()


def alaw_decode(encoded: bytes) -> Pcm:
    """Linear samples, int16[len(encoded)]."""
    return _ALAW_TO_LINEAR[np.frombuffer(encoded, dtype=np.uint8)]


def alaw_encode(pcm: Pcm) -> bytes:
    """One A-law byte a sample."""
    return _LINEAR_TO_ALAW[pcm.view(np.uint16)].tobytes()


def _linear(order: str) -> Codec:
    kind = np.dtype(f"{order}i2")

    def encode(pcm: Pcm) -> bytes:
        return pcm.astype(kind).tobytes()

    def decode(encoded: bytes) -> Pcm:
        return np.frombuffer(encoded, dtype=kind).astype(np.int16)

    return Codec("linear", 2, encode, decode)


MULAW = Codec("mu-law", 1, mulaw_encode, mulaw_decode)
ALAW = Codec("A-law", 1, alaw_encode, alaw_decode)
LINEAR = _linear("<")
"""Little-endian."""
LINEAR_NETWORK = _linear(">")
"""Big-endian, as RTP has it. Source: RFC 3551 section 4.5.11."""

RATES_HZ = frozenset({8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 96_000, 192_000})


def checked_rate(rate_hz: int, vendor: str, allowed: frozenset[int] = RATES_HZ) -> int:
    """`rate_hz` if the vendor has it. Raises: ProtocolError."""
    if rate_hz not in allowed:
        raise ProtocolError(f"{vendor} audio at {rate_hz} Hz; only {sorted(allowed)} is supported", UNSUPPORTED)
    return rate_hz
