"""Vonage Voice's WebSocket endpoint: binary audio, JSON actions, and the NCCO that connects a call to it. Pure.

Source: Vonage's "WebSockets in the Vonage Voice API" and "NCCO reference, connect". Audio is linear 16 bit,
little-endian, in frames of 20 ms both ways; up to 3,072 frames (60 s) wait at the far end. The `headers` of the NCCO
come back in the first message. The call ends when the socket closes and the NCCO has no further action.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from voicebot.core.audio import Pcm
from voicebot.errors import ConfigError, ProtocolError
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
from voicebot.transports.telephony.rest import RestRequest
from voicebot.transports.telephony.wire import Audio, Digit, Ignored, Marked, Message, Started, Wire, WireEvent

RATES_HZ = frozenset({8_000, 16_000, 24_000})
SIGNATURE_AGE_S = 300
TOKEN_CHARS = 4_000
CALL_HEADER = "call_uuid"
"""The NCCO's header in which we send ourselves the call's name."""
CALLER_HEADER, CALLED_HEADER = "caller", "called"


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
        return Started(
            call_sid,
            call_sid,
            parameters=flat(headers),
            caller=optional_text(message, CALLER_HEADER),
            called=optional_text(message, CALLED_HEADER),
        )


def _rate(content_type: str) -> int:
    kind, _, rate = content_type.replace(" ", "").partition(";rate=")
    if kind != "audio/l16" or not (rate.isascii() and rate.isdigit() and len(rate) <= 6):
        raise ProtocolError(f"content-type {shown(content_type)}; only audio/l16;rate=... is supported", UNSUPPORTED)
    return int(rate)


def ncco(
    stream_url: str, rate_hz: int, call_uuid: str = "", caller: str = "", called: str = ""
) -> list[dict[str, Any]]:
    """The answer to "what shall this call do": connect it to `stream_url` (wss://...)."""
    headers = {CALL_HEADER: call_uuid, CALLER_HEADER: caller, CALLED_HEADER: called}
    endpoint = {
        "type": "websocket",
        "uri": stream_url,
        "content-type": f"audio/l16;rate={rate_hz}",
        "headers": {key: value for key, value in headers.items() if value},
    }
    return [{"action": "connect", "endpoint": [endpoint]}]


def webhook_fault(authorization: str, secret: str, body: bytes, now_s: float) -> str:
    """Why a webhook is not signed by `secret`, in words; "" if it is. `authorization`: that header, "Bearer JWT"."""
    kind, _, token = authorization.partition(" ")
    parts = token.strip().split(".")
    if kind.lower() != "bearer" or len(parts) != 3 or len(token) > TOKEN_CHARS:
        return "there is no signed Authorization header; turn signed webhooks on"
    head, claims = (_claims(part) for part in parts[:2])
    signed = hmac.new(secret.encode(), f"{parts[0]}.{parts[1]}".encode(), hashlib.sha256).digest()
    if head.get("alg") != "HS256" or not hmac.compare_digest(_unpadded(signed), parts[2].encode()):
        return "the Authorization header is not signed by our signature secret"
    issued = claims.get("iat")
    if not isinstance(issued, int | float) or abs(now_s - issued) > SIGNATURE_AGE_S:
        return "the signature is too old"
    given = claims.get("payload_hash")
    if body and not (isinstance(given, str) and hmac.compare_digest(given.encode(), _sha256(body).encode())):
        return "the signature is of another body"
    return ""


def application_token(application_id: str, private_key: str, now_s: float, token_id: str) -> str:
    """The JWT that opens Vonage's call control. `private_key`: PEM of the application. Raises: ConfigError."""
    try:
        key = load_pem_private_key(private_key.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"Vonage's private key is no PEM of an RSA key ({error}); copy the whole file") from None
    if not isinstance(key, RSAPrivateKey):
        raise ConfigError("Vonage's private key is no RSA key; take the one that the application was made with")
    claims = {"application_id": application_id, "iat": int(now_s), "exp": int(now_s) + 60, "jti": token_id}
    signed = b".".join(_unpadded(compact(part).encode()) for part in ({"alg": "RS256", "typ": "JWT"}, claims))
    return (signed + b"." + _unpadded(key.sign(signed, PKCS1v15(), SHA256()))).decode()


def transfer(api: str, bearer: str, call_uuid: str, target: str, from_number: str) -> RestRequest:
    """Hands the caller over; Vonage then closes the socket."""
    if target.startswith("sip:"):
        endpoint = {"type": "sip", "uri": target}
    else:
        endpoint = {"type": "phone", "number": target.lstrip("+")}
    connect = {"action": "connect", "endpoint": [endpoint]} | ({"from": from_number} if from_number else {})
    body = {"action": "transfer", "destination": {"type": "ncco", "ncco": [connect]}}
    return RestRequest("PUT", _call_url(api, call_uuid), bearer=bearer, body=body)


def send_digits(api: str, bearer: str, call_uuid: str, digits: str) -> RestRequest:
    """Plays DTMF into the caller's line."""
    return RestRequest("PUT", _call_url(api, call_uuid) + "/dtmf", bearer=bearer, body={"digits": digits})


def _call_url(api: str, call_uuid: str) -> str:
    return f"{api}/v1/calls/{quote(call_uuid, safe='')}"


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _unpadded(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def _claims(part: str) -> dict[str, Any]:
    """A JWT's part; {} where it is none."""
    try:
        read = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}
