"""Reading what a vendor sent: every value checked, every fault a ProtocolError that names it."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from voicebot.errors import ProtocolError
from voicebot.transports.telephony.wire import Message

MESSAGE_LIMIT = 64 * 1024
"""Characters or bytes of a message that we read; vendors' are a few hundred."""
NUMBER_LIMIT = 2**53
DIGITS = frozenset("0123456789*#ABCD")
PARAMETERS_LIMIT = 64
PARAMETER_CHARS = 2_000
ID_CHARS = 256
UNSUPPORTED = 1003
"""Close code for a kind of data that we cannot take. Source: RFC 6455 section 7.4.1."""
INVALID_PAYLOAD = 1007
"""Close code for data that is not what it says it is. Source: RFC 6455 section 7.4.1."""
TOO_LONG = 1009
"""Close code. Source: RFC 6455 section 7.4.1."""


def text_of(message: Message) -> str:
    """The text of a message on a wire that knows no other."""
    if isinstance(message, bytes):
        raise ProtocolError("a binary message; this protocol is JSON text", UNSUPPORTED)
    return message


def bounded(message: Message) -> None:
    """Raises: ProtocolError for a message that nobody sends."""
    if len(message) > MESSAGE_LIMIT:
        unit = "bytes" if isinstance(message, bytes) else "characters"
        raise ProtocolError(f"a message of {len(message)} {unit}; the limit is {MESSAGE_LIMIT}", TOO_LONG)


def read_object(message: Message) -> dict[str, Any]:
    """The JSON object that a text message is."""
    text = text_of(message)
    bounded(text)
    try:
        read = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"a message is not JSON: {error}", INVALID_PAYLOAD) from None
    if not isinstance(read, dict):
        raise ProtocolError(f"a message is a JSON {type(read).__name__}, not an object", INVALID_PAYLOAD)
    return read


def read_inner(message: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The object `name` within a message."""
    value = message.get(name)
    if not isinstance(value, dict):
        kind = message.get("event") or message.get("type")
        raise ProtocolError(f"a {shown(kind)} message without its {name!r} object")
    return value


def read_text(within: Mapping[str, Any], name: str) -> str:
    """A text that is there and not empty."""
    value = within.get(name)
    if not isinstance(value, str) or not value:
        raise ProtocolError(f"{name!r} is {shown(value)}, not a text")
    return value


def read_id(within: Mapping[str, Any], name: str) -> str:
    """A vendor's name of a call or stream: it comes back in every message of ours, so it is short."""
    value = read_text(within, name)
    if len(value) > ID_CHARS:
        raise ProtocolError(f"{name!r} has {len(value)} characters; the limit is {ID_CHARS}")
    return value


def read_number(within: Mapping[str, Any], name: str) -> int:
    """A whole number >= 0, written as a text ("7") or as JSON would (7)."""
    value = within.get(name)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 16:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < NUMBER_LIMIT:
        raise ProtocolError(f"{name!r} is {shown(value)}, not a number")
    return value


def read_digit(within: Mapping[str, Any], name: str = "digit") -> str:
    """A DTMF key."""
    digit = read_text(within, name).upper()
    if digit not in DIGITS:
        raise ProtocolError(f"DTMF digit {digit[:20]!r} is none of 0-9 * # A-D")
    return digit


def read_payload(media: Mapping[str, Any]) -> bytes:
    """The bytes of a base64 payload."""
    try:
        return base64.b64decode(read_text(media, "payload"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProtocolError(f"a media payload is not base64: {error}", INVALID_PAYLOAD) from None


def read_parameters(within: Mapping[str, Any], name: str) -> dict[str, str]:
    """Custom parameters as texts: at most 64 of 2,000 characters; none where the vendor sent none."""
    given = within.get(name) or {}
    if not isinstance(given, dict):
        raise ProtocolError(f"{name!r} is {shown(given)}, not an object")
    return flat(given)


def flat(given: Mapping[str, Any]) -> dict[str, str]:
    """The first 64 entries as texts of at most 2,000 characters."""
    pairs = list(given.items())[:PARAMETERS_LIMIT]
    return {str(key)[:PARAMETER_CHARS]: str(value)[:PARAMETER_CHARS] for key, value in pairs}


def optional_text(within: Mapping[str, Any], name: str) -> str:
    """A text, or "" where there is none."""
    value = within.get(name)
    return value[:PARAMETER_CHARS] if isinstance(value, str) else ""


def shown(value: Any) -> str:
    """A value for an error message."""
    return "missing" if value is None else repr(value)[:60]


def compact(message: Mapping[str, Any]) -> str:
    """A message to send, as JSON without spaces."""
    return json.dumps(message, separators=(",", ":"))
