"""Vonage Voice's WebSocket endpoint: binary audio, JSON actions, and the NCCO that connects a call to it. Pure.

Source: Vonage's "WebSockets in the Vonage Voice API" and "NCCO reference, connect". Audio is linear 16 bit,
little-endian, in frames of 20 ms both ways; up to 3,072 frames (60 s) wait at the far end. The `headers` of the NCCO
come back in the first message. The call ends when the socket closes and the NCCO has no further action.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from voicebot.core.audio import Pcm
from voicebot.errors import ProtocolError
from voicebot.transports.telephony.codecs import LINEAR, checked_rate
from voicebot.transports.telephony.reading import (
    UNSUPPORTED,
    bounded,
    compact,
    flat,
    optional_text,
    read_digit,
    read_inner,
    read_object,
    read_text,
    shown,
)
from voicebot.transports.telephony.wire import Audio, Digit, Ignored, Marked, Message, Started, Wire, WireEvent

RATES_HZ = frozenset({8_000, 16_000, 24_000})
CALL_HEADER = "call_uuid"
"""The NCCO's header in which we send ourselves the call's name."""
CALLER_HEADER = "caller"


class VonageWire(Wire):
    """One stream. `given_id` names a call whose NCCO did not come from us."""

    kind = "vonage"

    def __init__(self, given_id: str = "") -> None:
        self._given_id = given_id

    def parse(self, message: Message) -> WireEvent:
        if isinstance(message, bytes):
            bounded(message)
            return Audio(LINEAR.decode(message))
        read = read_object(message)
        name = read_text(read, "event")
        if name == "websocket:connected":
            return self._started(read)
        if name == "websocket:dtmf":
            return Digit(read_digit(read))
        if name == "websocket:notify":
            return Marked(read_text(read_inner(read, "payload"), "mark"))
        return Ignored(name[:40])

    def media(self, pcm: Pcm) -> bytes:
        return LINEAR.encode(pcm)

    def end(self, name: str) -> tuple[str]:
        return (compact({"action": "notify", "payload": {"mark": name}}),)

    def clear(self) -> tuple[str]:
        return (compact({"action": "clear"}),)

    def _started(self, message: Mapping[str, Any]) -> Started:
        rate_hz = checked_rate(_rate(read_text(message, "content-type")), "Vonage", RATES_HZ)
        self.rate_hz = self.playout_rate_hz = rate_hz
        call_sid = optional_text(message, CALL_HEADER) or self._given_id
        if not call_sid:
            raise ProtocolError(f"the first message does not name the call: header {CALL_HEADER!r} is missing")
        headers = {key: value for key, value in message.items() if key not in ("event", "content-type")}
        return Started(call_sid, call_sid, parameters=flat(headers), caller=optional_text(message, CALLER_HEADER))


def _rate(content_type: str) -> int:
    kind, _, rate = content_type.replace(" ", "").partition(";rate=")
    if kind != "audio/l16" or not (rate.isascii() and rate.isdigit() and len(rate) <= 6):
        raise ProtocolError(f"content-type {shown(content_type)}; only audio/l16;rate=... is supported", UNSUPPORTED)
    return int(rate)


def ncco(stream_url: str, rate_hz: int, call_uuid: str = "", caller: str = "") -> list[dict[str, Any]]:
    """The answer to "what shall this call do": connect it to `stream_url` (wss://...)."""
    headers = {CALL_HEADER: call_uuid, CALLER_HEADER: caller}
    endpoint = {
        "type": "websocket",
        "uri": stream_url,
        "content-type": f"audio/l16;rate={rate_hz}",
        "headers": {key: value for key, value in headers.items() if value},
    }
    return [{"action": "connect", "endpoint": [endpoint]}]
