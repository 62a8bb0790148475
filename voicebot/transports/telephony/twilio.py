"""Twilio Media Streams: its JSON messages, its TwiML, and its request signatures. Pure.

Source: Twilio's "Media Streams - WebSocket messages", "TwiML <Stream>" and "Security - validating requests".
Numbers in its messages are strings; audio is base64 mu-law, 8 kHz mono, normally 160 bytes for 20 ms.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit
from xml.sax.saxutils import quoteattr

from voicebot.core.audio import Pcm
from voicebot.errors import ProtocolError
from voicebot.transports.telephony.codecs import MULAW
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
)
from voicebot.transports.telephony.rest import XML, RestRequest, dial_xml
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

RATE_HZ = 8000


class TwilioWire(Wire):
    """One Twilio stream. Its messages carry the stream's id, which `Started` tells."""

    kind = "twilio"

    def __init__(self) -> None:
        self._stream_sid = ""

    def parse(self, message: Message) -> WireEvent:
        read = read_object(message)
        name = read_text(read, "event")
        if name == "media":
            return _media(read)
        if name == "start":
            started = _started(read)
            self._stream_sid = started.stream_sid
            return started
        if name == "mark":
            return Marked(read_text(read_inner(read, "mark"), "name"))
        if name == "dtmf":
            return Digit(read_digit(read_inner(read, "dtmf")))
        if name == "connected":
            return Connected()
        return Stopped() if name == "stop" else Ignored(name[:40])

    def media(self, pcm: Pcm) -> str:
        payload = base64.b64encode(MULAW.encode(pcm)).decode("ascii")
        return self._message("media", media={"payload": payload})

    def end(self, name: str) -> tuple[str]:
        return (self._message("mark", mark={"name": name}),)

    def clear(self) -> tuple[str]:
        return (self._message("clear"),)

    def _message(self, event: str, **rest: Any) -> str:
        return compact({"event": event, "streamSid": self._stream_sid, **rest})


def _started(message: Mapping[str, Any]) -> Started:
    start = read_inner(message, "start")
    form = read_inner(start, "mediaFormat")
    told = (form.get("encoding"), str(form.get("sampleRate")), str(form.get("channels", 1)))
    if told != ("audio/x-mulaw", str(RATE_HZ), "1"):
        raise ProtocolError(
            f"media format {told}; only audio/x-mulaw, 8000 Hz, 1 channel is supported",
            UNSUPPORTED,
        )
    parameters = read_parameters(start, "customParameters")
    return Started(
        stream_sid=read_id(start if "streamSid" in start else message, "streamSid"),
        call_sid=read_id(start, "callSid"),
        account_sid=optional_text(start, "accountSid"),
        parameters=parameters,
        caller=parameters.get("caller", ""),
        called=parameters.get("called", ""),
    )


def _media(message: Mapping[str, Any]) -> WireEvent:
    media = read_inner(message, "media")
    if media.get("track", "inbound") != "inbound":
        return Ignored("media of another track")
    pcm = MULAW.decode(read_payload(media))
    return Media(read_number(media, "chunk"), read_number(media, "timestamp"), pcm)


def twiml(stream_url: str, parameters: Mapping[str, str]) -> str:
    """The answer to "what shall this call do": stream both ways to `stream_url` (wss://...).

    `parameters` come back in the start message; the URL's query would not.
    """
    inner = "".join(f"<Parameter name={quoteattr(k)} value={quoteattr(v)}/>" for k, v in parameters.items())
    return f"{XML}<Response><Connect><Stream url={quoteattr(stream_url)}>{inner}</Stream></Connect></Response>"


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


def hang_up(api: str, account_sid: str, auth_token: str, call_sid: str) -> RestRequest:
    """Ends the call: closing the stream would only let Twilio go on to the next verb."""
    return _change(api, account_sid, auth_token, call_sid, {"Status": "completed"})


def transfer(api: str, account_sid: str, auth_token: str, call_sid: str, target: str) -> RestRequest:
    """Hands the caller over; Twilio then ends the stream."""
    return _change(api, account_sid, auth_token, call_sid, {"Twiml": dial_xml(target)})


def _change(api: str, account_sid: str, auth_token: str, call_sid: str, form: Mapping[str, str]) -> RestRequest:
    account, call = quote(account_sid, safe=""), quote(call_sid, safe="")
    url = f"{api}/2010-04-01/Accounts/{account}/Calls/{call}.json"
    return RestRequest("POST", url, user=(account_sid, auth_token), form=form)
