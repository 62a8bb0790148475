"""Exotel's Voicebot applet: its JSON messages. Pure.

Source: Exotel AgentStream's "WebSocket protocol" and "Working with the Stream and Voicebot applet". Audio is linear
16 bit, little-endian; what we send must be 3,200 to 100,000 bytes a message, in multiples of 320. There is no request
signature: the applet's URL carries our token, or Basic credentials; a call ends when the socket closes.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from voicebot.core.audio import Pcm, silence
from voicebot.transports.telephony.codecs import LINEAR, checked_rate
from voicebot.transports.telephony.reading import (
    compact,
    optional_text,
    read_digit,
    read_id,
    read_inner,
    read_number,
    read_object,
    read_parameters,
    read_payload,
    read_text,
)
from voicebot.transports.telephony.wire import (
    Connected,
    Digit,
    Ignored,
    Marked,
    Media,
    Message,
    Started,
    Stopped,
    Wire,
    WireEvent,
)

RATES_HZ = frozenset({8_000, 16_000, 24_000})
PAYLOAD_BYTES = 3_200
"""Least of a message."""
PAYLOAD_STEP_BYTES = 320


class ExotelWire(Wire):
    """One stream, at the rate that `start` tells."""

    kind = "exotel"
    packet_s = 0.2
    pads = True
    lead_s = 0.3

    def __init__(self) -> None:
        self._stream_sid = ""

    def parse(self, message: Message) -> WireEvent:
        read = read_object(message)
        name = read_text(read, "event")
        if name == "media":
            media = read_inner(read, "media")
            pcm = LINEAR.decode(read_payload(media))
            return Media(read_number(media, "chunk"), read_number(media, "timestamp"), pcm)
        if name == "start":
            return self._started(read)
        if name == "mark":
            return Marked(read_text(read_inner(read, "mark"), "name"))
        if name == "dtmf":
            return Digit(read_digit(read_inner(read, "dtmf")))
        if name == "connected":
            return Connected()
        return Stopped() if name == "stop" else Ignored(name[:40])

    def media(self, pcm: Pcm) -> str:
        least = max(PAYLOAD_BYTES, -(-len(pcm) * 2 // PAYLOAD_STEP_BYTES) * PAYLOAD_STEP_BYTES)
        padded = np.concatenate((pcm, silence(least // 2 - len(pcm))))
        payload = base64.b64encode(LINEAR.encode(padded)).decode("ascii")
        return self._message("media", media={"payload": payload})

    def end(self, name: str) -> tuple[str]:
        return (self._message("mark", mark={"name": name}),)

    def clear(self) -> tuple[str]:
        return (self._message("clear"),)

    def _message(self, event: str, **rest: Any) -> str:
        return compact({"event": event, "stream_sid": self._stream_sid, **rest})

    def _started(self, message: Mapping[str, Any]) -> Started:
        start = read_inner(message, "start")
        form = read_inner(start, "media_format")
        rate_hz = checked_rate(read_number(form, "sample_rate"), "Exotel", RATES_HZ)
        self.rate_hz = self.playout_rate_hz = rate_hz
        self.packet_s = PAYLOAD_BYTES / 2 / rate_hz
        self._stream_sid = read_id(start if "stream_sid" in start else message, "stream_sid")
        return Started(
            stream_sid=self._stream_sid,
            call_sid=read_id(start, "call_sid"),
            account_sid=optional_text(start, "account_sid"),
            parameters=read_parameters(start, "custom_parameters"),
            caller=optional_text(start, "from"),
            called=optional_text(start, "to"),
        )
