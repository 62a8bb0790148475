"""Twilio Media Streams: its JSON messages, its TwiML, and its request signatures. Pure.

Source: Twilio's "Media Streams - WebSocket messages", "TwiML <Stream>" and "Security - validating requests".
Numbers in its messages are strings; audio is base64 mu-law, 8 kHz mono, normally 160 bytes for 20 ms.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit
from xml.sax.saxutils import quoteattr

from voicebot.core.audio import Pcm, mulaw_decode, mulaw_encode
from voicebot.errors import ProtocolError
from voicebot.transports.telephony.wire import (
    Connected,
    Digit,
    Ignored,
    Marked,
    Media,
    Started,
    Stopped,
    WireEvent,
)

RATE_HZ = 8000
MESSAGE_LIMIT = 64 * 1024
"""Characters of a message that we read; Twilio's are about 400."""
NUMBER_LIMIT = 2**53
DIGITS = frozenset("0123456789*#ABCD")
INVALID_PAYLOAD = 1007
"""Close code for text that is not what it says it is. Source: RFC 6455 section 7.4.1."""
UNSUPPORTED = 1003
"""Close code for audio of a kind that we cannot take. Source: RFC 6455 section 7.4.1."""


class TwilioWire:
    """One Twilio stream. Its messages carry the stream's id, which `Started` tells."""

    kind = "twilio"
    rate_hz = RATE_HZ

    def __init__(self) -> None:
        self._stream_sid = ""

    def parse(self, text: str) -> WireEvent:
        """One message from Twilio. Raises: ProtocolError."""
        message = _object(text)
        name = _text(message, "event")
        if name == "media":
            return _media(message)
        if name == "start":
            started = _started(message)
            self._stream_sid = started.stream_sid
            return started
        if name == "mark":
            return Marked(_text(_inner(message, "mark"), "name"))
        if name == "dtmf":
            return Digit(_digit(message))
        if name == "connected":
            return Connected()
        return Stopped() if name == "stop" else Ignored(name[:40])

    def media(self, pcm: Pcm) -> str:
        payload = base64.b64encode(mulaw_encode(pcm)).decode("ascii")
        return self._message("media", media={"payload": payload})

    def mark(self, name: str) -> str:
        return self._message("mark", mark={"name": name})

    def clear(self) -> str:
        return self._message("clear")

    def _message(self, event: str, **rest: Any) -> str:
        return json.dumps(
            {"event": event, "streamSid": self._stream_sid, **rest},
            separators=(",", ":"),
        )


def _object(text: str) -> dict[str, Any]:
    if len(text) > MESSAGE_LIMIT:
        raise ProtocolError(f"a message of {len(text)} characters; the limit is {MESSAGE_LIMIT}", 1009)
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"a message is not JSON: {error}", INVALID_PAYLOAD) from None
    if not isinstance(message, dict):
        raise ProtocolError(
            f"a message is a JSON {type(message).__name__}, not an object",
            INVALID_PAYLOAD,
        )
    return message


def _inner(message: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = message.get(name)
    if not isinstance(value, dict):
        raise ProtocolError(f"a {message.get('event')!r} message without its {name!r} object")
    return value


def _text(within: Mapping[str, Any], name: str) -> str:
    value = within.get(name)
    if not isinstance(value, str) or not value:
        raise ProtocolError(f"{name!r} is {_shown(value)}, not a text")
    return value


def _number(within: Mapping[str, Any], name: str) -> int:
    """A whole number >= 0, written as Twilio does ("7") or as JSON would (7)."""
    value = within.get(name)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 16:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < NUMBER_LIMIT:
        raise ProtocolError(f"{name!r} is {_shown(value)}, not a number")
    return value


def _shown(value: Any) -> str:
    return "missing" if value is None else repr(value)[:60]


def _started(message: Mapping[str, Any]) -> Started:
    start = _inner(message, "start")
    form = _inner(start, "mediaFormat")
    told = (
        form.get("encoding"),
        str(form.get("sampleRate")),
        str(form.get("channels", 1)),
    )
    if told != ("audio/x-mulaw", str(RATE_HZ), "1"):
        raise ProtocolError(
            f"media format {told}; only audio/x-mulaw, 8000 Hz, 1 channel is supported",
            UNSUPPORTED,
        )
    parameters = start.get("customParameters") or {}
    if not isinstance(parameters, dict):
        raise ProtocolError(f"'customParameters' is {_shown(parameters)}, not an object")
    return Started(
        stream_sid=_text(start if "streamSid" in start else message, "streamSid"),
        call_sid=_text(start, "callSid"),
        account_sid=str(start.get("accountSid") or ""),
        parameters={str(key): str(value) for key, value in parameters.items()},
    )


def _media(message: Mapping[str, Any]) -> WireEvent:
    media = _inner(message, "media")
    if media.get("track", "inbound") != "inbound":
        return Ignored("media of another track")
    return Media(
        _number(media, "chunk"),
        _number(media, "timestamp"),
        mulaw_decode(_payload(media)),
    )


def _payload(media: Mapping[str, Any]) -> bytes:
    """The mu-law bytes. An odd count cannot be whole frames of any length in milliseconds: something was cut."""
    try:
        payload = base64.b64decode(_text(media, "payload"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProtocolError(f"a media payload is not base64: {error}", INVALID_PAYLOAD) from None
    if not payload or len(payload) % 2:
        raise ProtocolError(
            f"a media payload of {len(payload)} mu-law bytes; whole frames of 160 are expected",
            INVALID_PAYLOAD,
        )
    return payload


def _digit(message: Mapping[str, Any]) -> str:
    digit = _text(_inner(message, "dtmf"), "digit").upper()
    if digit not in DIGITS:
        raise ProtocolError(f"DTMF digit {digit[:20]!r} is none of 0-9 * # A-D")
    return digit


def twiml(stream_url: str) -> str:
    """The answer to "what shall this call do": stream both ways to `stream_url` (wss://...)."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f"<Response><Connect><Stream url={quoteattr(stream_url)}/></Connect></Response>"
    )


def signature(auth_token: str, url: str, params: Mapping[str, str]) -> str:
    """X-Twilio-Signature of a request: base64 HMAC-SHA1 of the URL and its sorted POST parameters."""
    signed = url + "".join(key + params[key] for key in sorted(params))
    return base64.b64encode(hmac.new(auth_token.encode(), signed.encode(), hashlib.sha1).digest()).decode("ascii")


def signature_matches(given: str, auth_token: str, url: str, params: Mapping[str, str]) -> bool:
    """Whether `given` signs this request. Twilio is not consistent about writing a default port: either form counts."""
    forms = {url, _with_port(url), _without_port(url)}
    return any(hmac.compare_digest(given.encode(), signature(auth_token, form, params).encode()) for form in forms)


def _with_port(url: str) -> str:
    parts = urlsplit(url)
    default = 443 if parts.scheme in ("https", "wss") else 80
    return url if parts.port else urlunsplit(parts._replace(netloc=f"{parts.netloc}:{default}"))


def _without_port(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition(":")[0])) if parts.port else url


def hang_up_request(account_sid: str, call_sid: str) -> tuple[str, dict[str, str]]:
    """The REST request (POST, basic auth account_sid:auth_token) that ends a call: URL and form."""
    account, call = quote(account_sid, safe=""), quote(call_sid, safe="")
    url = f"https://api.twilio.com/2010-04-01/Accounts/{account}/Calls/{call}.json"
    return url, {"Status": "completed"}
