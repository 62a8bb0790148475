"""Asterisk's AudioSocket: one type byte, two length bytes (big-endian), then the payload. Pure.

Source: Asterisk's "AudioSocket" page and res_audiosocket.h. Asterisk says who calls with the UUID of its dialplan,
which is also the capability; frames of linear 16 bit audio follow, little-endian, 20 ms each. It plays what it gets
as it comes: we pace, nothing is acknowledged, and an interruption stops by not sending. While there is nothing to play
we send silence. The types from 0x11 on (more than 8 kHz) are of recent releases; which is unverified.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping

from voicebot.core.audio import Pcm
from voicebot.errors import ProtocolError
from voicebot.transports.telephony.codecs import LINEAR
from voicebot.transports.telephony.reading import UNSUPPORTED, bounded, read_digit
from voicebot.transports.telephony.wire import Audio, Digit, Ignored, Message, Started, Stopped, Wire, WireEvent

HEADER_BYTES = 3
TERMINATE, IDENTITY, DTMF, ERROR = 0x00, 0x01, 0x03, 0xFF
AUDIO_RATES_HZ: Mapping[int, int] = {
    0x10: 8_000, 0x11: 12_000, 0x12: 16_000, 0x13: 24_000, 0x14: 32_000, 0x15: 44_100, 0x16: 48_000,
}  # fmt: skip
ERRORS: Mapping[int, str] = {1: "the caller hung up", 2: "a frame could not be forwarded", 4: "no memory"}


def frame(kind: int, payload: bytes = b"") -> bytes:
    """A whole message."""
    return bytes((kind,)) + len(payload).to_bytes(2, "big") + payload


def payload_length(header: bytes) -> int:
    """From the first three bytes of a message."""
    return int.from_bytes(header[1:HEADER_BYTES], "big")


class AudioSocketWire(Wire):
    """One connection. `admits` tells whether a UUID may call. Both directions have one rate."""

    kind = "audiosocket"
    lead_s = 0.0  # Silence fills the line between replies: what went out ahead would stay as delay, more with each.
    clears = False
    sends_silence = True

    def __init__(self, rate_hz: int = 8_000, admits: Callable[[uuid.UUID], bool] = lambda _id: True) -> None:
        kinds = {rate: kind for kind, rate in AUDIO_RATES_HZ.items()}
        if rate_hz not in kinds:
            raise ProtocolError(f"AudioSocket at {rate_hz} Hz; only {sorted(kinds)} exist", UNSUPPORTED)
        self.rate_hz = self.playout_rate_hz = rate_hz
        self._kind = kinds[rate_hz]
        self._admits = admits

    def parse(self, message: Message) -> WireEvent:
        if isinstance(message, str):
            raise ProtocolError("a text message; AudioSocket is binary", UNSUPPORTED)
        bounded(message)
        if len(message) < HEADER_BYTES or len(message) - HEADER_BYTES != payload_length(message):
            raise ProtocolError(f"an AudioSocket message of {len(message)} bytes does not have the length that it says")
        kind, payload = message[0], message[HEADER_BYTES:]
        if kind == self._kind:
            return Audio(LINEAR.decode(payload))
        if kind == IDENTITY:
            return self._started(payload)
        if kind == DTMF:
            return Digit(read_digit({"digit": payload.decode("latin-1")}))
        if kind == ERROR:
            raise ProtocolError(f"Asterisk reports: {ERRORS.get(payload[0] if payload else 0, payload.hex()[:20])}")
        if kind in AUDIO_RATES_HZ:
            raise ProtocolError(
                f"audio at {AUDIO_RATES_HZ[kind]} Hz where {self.rate_hz} Hz is set; change audiosocket.rate_hz "
                "or the dialplan's codec",
                UNSUPPORTED,
            )
        return Stopped() if kind == TERMINATE else Ignored(f"type {kind:#04x}")

    def media(self, pcm: Pcm) -> bytes:
        return frame(self._kind, LINEAR.encode(pcm))

    def goodbye(self, reason: str) -> tuple[bytes]:
        return (frame(TERMINATE),)

    def _started(self, payload: bytes) -> Started:
        if len(payload) != 16:
            raise ProtocolError(f"a UUID of {len(payload)} bytes; 16 are expected")
        name = uuid.UUID(bytes=payload)
        if not self._admits(name):
            raise ProtocolError(
                "this UUID may not call; get one from /telephony/audiosocket/uuid, or call from this machine", 1008
            )
        return Started(str(name), str(name), parameters={"uuid": str(name)})
