"""jambonz's `listen` verb and FreeSWITCH's mod_audio_fork, on which it stands: binary audio, JSON commands. Pure.

Source: jambonz "listen" (bidirectional streaming, `mark`, `clearMarks`, `passDtmf`), drachtio-freeswitch-modules.
The first message is JSON with the call's attributes; then come binary frames of linear 16 bit audio, little-endian.
A returned mark says `playout` or `cleared`. mod_audio_fork's metadata is whatever its command was given, so there the
rate is told by the metadata's `sampleRate`, or is 8 kHz. Unverified on a live system: `disconnect` without data.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
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
    read_number,
    read_object,
    read_text,
    shown,
)
from voicebot.transports.telephony.wire import (
    Audio,
    Digit,
    Ignored,
    Marked,
    Message,
    Started,
    Wire,
    WireEvent,
)

RATES_HZ = frozenset({8_000, 16_000, 24_000, 32_000, 48_000, 64_000})
SUBPROTOCOLS: Mapping[str, str] = {"jambonz": "audio.jambonz.org", "audio_fork": "audio.drachtio.org"}
"""By kind. Must be echoed, or the far side leaves."""
SIGNATURE_AGE_S = 300


class ForkWire(Wire):
    """One stream. `kind`: "jambonz" or "audio_fork"; `given_id` names a call whose metadata does not."""

    def __init__(self, kind: str = "jambonz", given_id: str = "") -> None:
        self.kind = kind
        self.transfers = kind == "audio_fork"
        self._given_id = given_id
        self._open = False

    def parse(self, message: Message) -> WireEvent:
        if isinstance(message, bytes):
            bounded(message)
            return Audio(LINEAR.decode(message))
        read = read_object(message)
        if not self._open:
            return self._started(read)
        return _event(read)

    def media(self, pcm: Pcm) -> bytes:
        return LINEAR.encode(pcm)

    def end(self, name: str) -> tuple[str]:
        return (compact({"type": "mark", "data": {"name": name}}),)

    def clear(self) -> tuple[str, ...]:
        return (compact({"type": "killAudio"}), compact({"type": "clearMarks"}))

    def transfer(self, target: str) -> Sequence[str]:
        """Only mod_audio_fork has it: an event for the dialplan or ESL to act on."""
        return (compact({"type": "transfer", "data": {"target": target}}),) if self.transfers else ()

    def goodbye(self, reason: str) -> tuple[str]:
        return (compact({"type": "disconnect"}),)

    def _started(self, metadata: Mapping[str, Any]) -> Started:
        rate_hz = checked_rate(read_number({"sampleRate": 8_000, **metadata}, "sampleRate"), self.kind, RATES_HZ)
        if metadata.get("mixType", "mono") != "mono":
            raise ProtocolError(f"mixType {shown(metadata['mixType'])}; set it to mono", UNSUPPORTED)
        self._open = True
        self.rate_hz = self.playout_rate_hz = rate_hz
        call_sid = optional_text(metadata, "callSid") or self._given_id
        if not call_sid:
            raise ProtocolError("the metadata does not name the call: 'callSid' is missing")
        return Started(
            stream_sid=call_sid,
            call_sid=call_sid,
            account_sid=optional_text(metadata, "accountSid"),
            parameters=flat(metadata),
            caller=optional_text(metadata, "from"),
            called=optional_text(metadata, "to"),
        )


def _event(message: Mapping[str, Any]) -> WireEvent:
    if message.get("event") == "dtmf":
        return Digit(read_digit(message, "dtmf"))
    if message.get("type") == "mark":
        mark = read_inner(message, "data")
        name = read_text(mark, "name")
        return Ignored("a cleared mark") if mark.get("event") == "cleared" else Marked(name)
    return Ignored(str(message.get("event") or message.get("type"))[:40])


def webhook_fault(header: str, secret: str, body: bytes, now_s: float) -> str:
    """Why a webhook is not signed by `secret`, in words; "" if it is. `header`: Jambonz-Signature, "t=...,v1=..."."""
    pairs = [part.strip().partition("=") for part in header.split(",", 8)]
    stamp = next((value for key, _, value in pairs if key == "t"), "")
    if not (stamp.isascii() and stamp.isdigit() and abs(now_s - int(stamp[:12])) <= SIGNATURE_AGE_S):
        return "the Jambonz-Signature header is missing or too old"
    signed = hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest().encode()
    given = [value.encode() for key, _, value in pairs if key == "v1"]
    if not any(hmac.compare_digest(one, signed) for one in given):
        return "the Jambonz-Signature header does not sign this request"
    return ""


def listen_verbs(stream_url: str, rate_hz: int) -> list[dict[str, Any]]:
    """The answer to jambonz's call hook: listen both ways, then hang up."""
    both = {"enabled": True, "streaming": True, "sampleRate": rate_hz}
    listen = {
        "verb": "listen",
        "url": stream_url,
        "sampleRate": rate_hz,
        "mixType": "mono",
        "passDtmf": True,
        "bidirectionalAudio": both,
    }
    return [{"verb": "answer"}, listen, {"verb": "hangup"}]
