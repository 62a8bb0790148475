"""Plivo audio streaming: its JSON messages, its XML, its V3 request signatures and its hang-up request. Pure.

Source: Plivo's "Audio streaming" guide and the signature recipe of its Python SDK. After `clearAudio` Plivo does not
return the checkpoints that were waiting. Unverified on a live trunk: whether the stream's end is told by a `stop`
message (it is understood if it comes; the socket's end is the end anyway).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit
from xml.sax.saxutils import escape, quoteattr

from voicebot.core.audio import Pcm
from voicebot.errors import ProtocolError
from voicebot.transports.telephony.codecs import LINEAR, MULAW, Codec
from voicebot.transports.telephony.reading import (
    PARAMETERS_LIMIT,
    UNSUPPORTED,
    compact,
    flat,
    optional_text,
    read_digit,
    read_id,
    read_inner,
    read_number,
    read_object,
    read_payload,
    read_text,
    shown,
)
from voicebot.transports.telephony.rest import XML, RestRequest
from voicebot.transports.telephony.wire import (
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

FORMS: Mapping[tuple[str, int], Codec] = {
    ("audio/x-mulaw", 8_000): MULAW,
    ("audio/x-l16", 8_000): LINEAR,
    ("audio/x-l16", 16_000): LINEAR,
}


class PlivoWire(Wire):
    """One stream. We send in the form that the caller's audio comes in."""

    kind = "plivo"
    sends_digits = True

    def __init__(self) -> None:
        self._stream_id = ""
        self._content_type, self._codec = "audio/x-mulaw", MULAW

    def parse(self, message: Message) -> WireEvent:
        read = read_object(message)
        name = read_text(read, "event")
        if name == "media":
            return self._media(read)
        if name == "start":
            return self._started(read)
        if name == "playedStream":
            return Marked(read_text(read, "name"))
        if name == "dtmf":
            return Digit(read_digit(read_inner(read, "dtmf")))
        return Stopped() if name == "stop" else Ignored(name[:40])

    def media(self, pcm: Pcm) -> str:
        payload = base64.b64encode(self._codec.encode(pcm)).decode("ascii")
        form = {"contentType": self._content_type, "sampleRate": self.playout_rate_hz, "payload": payload}
        return compact({"event": "playAudio", "media": form})

    def end(self, name: str) -> tuple[str]:
        return (compact({"event": "checkpoint", "streamId": self._stream_id, "name": name}),)

    def clear(self) -> tuple[str]:
        return (compact({"event": "clearAudio", "streamId": self._stream_id}),)

    def digits(self, digits: str) -> tuple[str]:
        return (compact({"event": "sendDTMF", "dtmf": digits}),)

    def _started(self, message: Mapping[str, Any]) -> Started:
        start = read_inner(message, "start")
        form = read_inner(start, "mediaFormat")
        encoding, rate_hz = read_text(form, "encoding"), read_number(form, "sampleRate")
        codec = FORMS.get((encoding, rate_hz))
        if codec is None:
            raise ProtocolError(f"media format {shown(form)}; only {sorted(FORMS)} is supported", UNSUPPORTED)
        self._content_type, self._codec = encoding, codec
        self.rate_hz = self.playout_rate_hz = rate_hz
        self._stream_id = read_id(start, "streamId")
        parameters = _extra_headers(optional_text(message, "extra_headers"))
        return Started(
            stream_sid=self._stream_id,
            call_sid=read_id(start, "callId"),
            account_sid=optional_text(start, "accountId"),
            parameters=parameters,
            caller=parameters.get("caller", ""),
            called=parameters.get("called", ""),
        )

    def _media(self, message: Mapping[str, Any]) -> WireEvent:
        media = read_inner(message, "media")
        if media.get("track", "inbound") != "inbound":
            return Ignored("media of another track")
        pcm = self._codec.decode(read_payload(media))
        return Media(read_number(media, "chunk"), read_number(media, "timestamp"), pcm)


def _extra_headers(text: str) -> dict[str, str]:
    """`k=v,k=v`, as it was written in the XML; braces around it are known to come."""
    pairs = (pair.partition("=") for pair in text.strip("{} ").split(",", PARAMETERS_LIMIT) if "=" in pair)
    return flat({key.strip(): value.strip() for key, _, value in pairs})


def plivo_xml(stream_url: str, rate_hz: int, parameters: Mapping[str, str]) -> str:
    """The answer to "what shall this call do": stream both ways to `stream_url` (wss://...).

    `parameters` come back in the start message; only their letters and digits do.
    """
    kept = {key: re.sub(r"[^A-Za-z0-9]", "", value) for key, value in parameters.items()}
    headers = ",".join(f"{key}={value}" for key, value in kept.items() if value)
    content_type = "audio/x-mulaw;rate=8000" if rate_hz == 8_000 else f"audio/x-l16;rate={rate_hz}"
    return (
        f'{XML}<Response><Stream bidirectional="true" keepCallAlive="true" contentType={quoteattr(content_type)} '
        f"extraHeaders={quoteattr(headers)}>"
        f"{escape(stream_url)}</Stream></Response>"
    )


def signature(auth_token: str, method: str, url: str, nonce: str, params: Mapping[str, str]) -> str:
    """X-Plivo-Signature-V3: base64 HMAC-SHA256 of the URL with its query sorted, the parameters, and the nonce."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if method == "GET":
        query |= params
    sorted_query = "&".join(f"{key}={query[key]}" for key in sorted(query))
    signed = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
    posted = method != "GET" and bool(params)
    signed += f"?{sorted_query}" if sorted_query or posted else ""
    signed += "." if sorted_query and posted else ""
    signed += "".join(f"{key}{params[key]}" for key in sorted(params)) if posted else ""
    digest = hmac.new(auth_token.encode(), f"{signed}.{nonce}".encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode("ascii")


def signature_matches(
    given: str, auth_token: str, method: str, url: str, nonce: str, params: Mapping[str, str]
) -> bool:
    """Whether one of the signatures in `given` (comma between) signs this request."""
    right = signature(auth_token, method, url, nonce, params).encode()
    candidates: Sequence[str] = given.split(",", 8)
    return bool(nonce) and any(hmac.compare_digest(one.strip().encode(), right) for one in candidates)


def hang_up(api: str, auth_id: str, auth_token: str, call_uuid: str) -> RestRequest:
    """Ends the call, which closing the stream would not: its XML keeps it alive."""
    return RestRequest("DELETE", _call_url(api, auth_id, call_uuid), user=(auth_id, auth_token))


def transfer(api: str, auth_id: str, auth_token: str, call_uuid: str, document_url: str) -> RestRequest:
    """Has the call do what the XML at `document_url` says."""
    body = {"legs": "aleg", "aleg_url": document_url, "aleg_method": "POST"}
    return RestRequest("POST", _call_url(api, auth_id, call_uuid), user=(auth_id, auth_token), body=body)


def _call_url(api: str, auth_id: str, call_uuid: str) -> str:
    return f"{api}/v1/Account/{quote(auth_id, safe='')}/Call/{quote(call_uuid, safe='')}/"
