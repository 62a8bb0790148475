"""Telnyx media streaming: its JSON messages, its TeXML, its webhook signatures and its hang-up request. Pure.

Source: Telnyx's "Stream call media over WebSocket" (AsyncAPI), "TeXML <Stream>", "Webhook signing".
The caller's encoding is told by `start` and need not be the one that we send (asked for in TeXML). Media frames may
come out of order; `media.chunk` numbers them. Unverified on a live trunk: the byte order of L16 (RTP's is taken).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from voicebot.core.audio import Pcm
from voicebot.errors import ConfigError, ProtocolError
from voicebot.transports.telephony.codecs import ALAW, LINEAR_NETWORK, MULAW, Codec
from voicebot.transports.telephony.reading import (
    UNSUPPORTED,
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
    shown,
)
from voicebot.transports.telephony.rest import XML, RestRequest
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

ENCODINGS: Mapping[str, tuple[Codec, tuple[int, ...]]] = {
    "PCMU": (MULAW, (8_000,)),
    "PCMA": (ALAW, (8_000,)),
    "L16": (LINEAR_NETWORK, (8_000, 16_000)),
}
"""By name: the codec and its rates."""
SIGNATURE_AGE_S = 300
"""Source: Telnyx's advice on webhook replay."""


class TelnyxWire(Wire):
    """One stream. We send `encoding`, by default mu-law; the caller's is read from `start`."""

    kind = "telnyx"

    def __init__(self, encoding: str = "PCMU") -> None:
        self._out = ENCODINGS[encoding][0]
        self._in = MULAW

    def parse(self, message: Message) -> WireEvent:
        read = read_object(message)
        name = read_text(read, "event")
        if name == "media":
            return self._media(read)
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
        payload = base64.b64encode(self._out.encode(pcm)).decode("ascii")
        return compact({"event": "media", "media": {"payload": payload}})

    def end(self, name: str) -> tuple[str]:
        return (compact({"event": "mark", "mark": {"name": name}}),)

    def clear(self) -> tuple[str]:
        return (compact({"event": "clear"}),)

    def _started(self, message: Mapping[str, Any]) -> Started:
        start = read_inner(message, "start")
        form = read_inner(start, "media_format")
        encoding, rate_hz = form.get("encoding"), read_number(form, "sample_rate")
        codec, rates = ENCODINGS.get(encoding, (MULAW, ())) if isinstance(encoding, str) else (MULAW, ())
        if rate_hz not in rates or read_number({"channels": 1, **form}, "channels") != 1:
            raise ProtocolError(
                f"media format {shown(form)}; PCMU or PCMA at 8000 Hz or L16 at 8000 or 16000 Hz, 1 channel, is "
                "supported: set the stream's codec",
                UNSUPPORTED,
            )
        self._in, self.rate_hz = codec, rate_hz
        return Started(
            stream_sid=read_id(message, "stream_id"),
            call_sid=read_id(start, "call_control_id"),
            account_sid=optional_text(start, "user_id"),
            parameters=read_parameters(start, "custom_parameters"),
            caller=optional_text(start, "from"),
            called=optional_text(start, "to"),
        )

    def _media(self, message: Mapping[str, Any]) -> WireEvent:
        media = read_inner(message, "media")
        if media.get("track", "inbound") not in ("inbound", "inbound_track"):
            return Ignored("media of another track")
        pcm = self._in.decode(read_payload(media))
        return Media(read_number(media, "chunk"), read_number(media, "timestamp"), pcm)


def texml(stream_url: str, encoding: str = "PCMU") -> str:
    """The answer to "what shall this call do": stream both ways to `stream_url` (wss://...)."""
    codec = quoteattr(encoding)
    return (
        f'{XML}<Response><Connect><Stream url={quoteattr(stream_url)} track="inbound_track" codec={codec} '
        f'bidirectionalMode="rtp" bidirectionalCodec={codec}/></Connect></Response>'
    )


def signature_matches(given: str, timestamp: str, body: bytes, public_key: str, now_s: float) -> bool:
    """Whether `telnyx-signature-ed25519` signs `timestamp|body`, and not longer ago than 5 minutes.

    Raises: ConfigError when `public_key` is not the base64 of 32 bytes.
    """
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key, validate=True))
    except ValueError as error:
        raise ConfigError(f"the Telnyx public key is not base64 of 32 bytes ({error}); copy it anew") from None
    if not (timestamp.isascii() and timestamp.isdigit() and abs(now_s - int(timestamp[:12])) <= SIGNATURE_AGE_S):
        return False
    try:
        key.verify(base64.b64decode(given, validate=True), timestamp.encode() + b"|" + body)
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def action(api: str, api_key: str, call_control_id: str, name: str, **body: str) -> RestRequest:
    """A call control command: "hangup", "transfer" (`to`) or "send_dtmf" (`digits`)."""
    url = f"{api}/v2/calls/{quote(call_control_id, safe='')}/actions/{name}"
    return RestRequest("POST", url, bearer=api_key, body=body)
