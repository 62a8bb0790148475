"""FreeSWITCH's mod_audio_stream (amigniter), 1.0.3 and later with raw binary playback. Pure.

Source: the module's README. First comes one text frame if the command was given metadata, then binary frames of
linear 16 bit audio, little-endian. It has no marks and no way to drop what it holds, so it is given little ahead and
an interruption stops by not sending. DTMF and hang-up are the dialplan's (ESL); the module leaves when the socket
closes. The community build plays files instead and cannot hold a talk.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from voicebot.core.audio import Pcm
from voicebot.errors import ProtocolError
from voicebot.transports.telephony.codecs import LINEAR, checked_rate
from voicebot.transports.telephony.reading import (
    bounded,
    flat,
    optional_text,
    read_digit,
    read_number,
    read_object,
    text_of,
)
from voicebot.transports.telephony.wire import Audio, Digit, Ignored, Message, Started, Wire, WireEvent

RATES_HZ = frozenset({8_000, 16_000})


class AudioStreamWire(Wire):
    """One stream. `rate_hz` and `given_id` come from the URL; metadata (`sampleRate`, `callSid`) goes before them."""

    kind = "audio_stream"
    lead_s = 0.04
    clears = False

    def __init__(self, rate_hz: int = 8_000, given_id: str = "") -> None:
        self.rate_hz = self.playout_rate_hz = checked_rate(rate_hz, "mod_audio_stream", RATES_HZ)
        self._given_id = given_id
        self._open = False

    def parse(self, message: Message) -> WireEvent:
        bounded(message)
        if not self._open:
            return self._started({} if isinstance(message, bytes) else _metadata(message))
        if isinstance(message, bytes):
            return Audio(LINEAR.decode(message))
        read = read_object(message)
        if read.get("event") == "dtmf":  # Sent by a dialplan with `uuid_audio_stream <uuid> send_text`.
            return Digit(read_digit(read, "dtmf"))
        return Ignored(str(read.get("event") or read.get("type"))[:40])

    def media(self, pcm: Pcm) -> bytes:
        return LINEAR.encode(pcm)

    def _started(self, metadata: Mapping[str, Any]) -> Started:
        rate_hz = read_number({"sampleRate": self.rate_hz, **metadata}, "sampleRate")
        self.rate_hz = self.playout_rate_hz = checked_rate(rate_hz, "mod_audio_stream", RATES_HZ)
        call_sid = optional_text(metadata, "callSid") or self._given_id
        if not call_sid:
            raise ProtocolError("neither the metadata's 'callSid' nor the URL's 'call' names the call")
        self._open = True
        return Started(
            call_sid,
            call_sid,
            parameters=flat(metadata),
            caller=optional_text(metadata, "from"),
            called=optional_text(metadata, "to"),
        )


def _metadata(message: str) -> dict[str, Any]:
    """Whatever text the command was given; an object is read, other text is kept whole."""
    text = text_of(message).strip()
    return read_object(text) if text.startswith("{") else {"metadata": text}
