"""What the page may say on the data channel, and how often. Pure. See docs/events.md."""

from __future__ import annotations

import json
from dataclasses import dataclass

from voicebot.errors import ProtocolError

MESSAGE_LIMIT = 64 * 1024
TEXT_LIMIT = 2000
"""Characters of a typed turn that count; the rest is cut."""
DIGITS = frozenset("0123456789*#ABCD")


@dataclass(frozen=True, slots=True)
class Typed:
    """A turn that the caller typed, not empty."""

    text: str


@dataclass(frozen=True, slots=True)
class Key:
    """One of 0-9 * # A-D."""

    digit: str


@dataclass(frozen=True, slots=True)
class CancelErrand:
    """The caller does not want the expert's answer any more. `errand`: its number, from the `errand` event."""

    errand: int


@dataclass(frozen=True, slots=True)
class HangUp:
    """The caller wants to end the call."""


def parse(message: str | bytes) -> Typed | Key | CancelErrand | HangUp:
    """One message. Raises: ProtocolError, in words that can be shown on the page."""
    if isinstance(message, bytes):
        raise ProtocolError("binary messages are not understood; send JSON text")
    if len(message) > MESSAGE_LIMIT:
        raise ProtocolError(f"a message of {len(message)} characters; the limit is {MESSAGE_LIMIT}")
    try:
        fields = json.loads(message)
    except (ValueError, RecursionError):
        raise ProtocolError("a message is not JSON") from None
    if not isinstance(fields, dict):
        raise ProtocolError("a message is not a JSON object")
    kind, text, digit = fields.get("type"), fields.get("text"), fields.get("digit")
    if kind == "text" and isinstance(text, str) and text.strip():
        return Typed(text.strip()[:TEXT_LIMIT])
    if kind == "digit" and isinstance(digit, str) and digit.upper() in DIGITS:
        return Key(digit.upper())
    if kind == "cancel_errand" and type(fields.get("errand")) is int:
        return CancelErrand(fields["errand"])
    if kind == "hang_up":
        return HangUp()
    raise ProtocolError(f"a message of type {str(kind)[:40]!r} is unknown or lacks its field")


class Allowance:
    """A token bucket: `burst` at once, `per_s` in the long run."""

    def __init__(self, per_s: float, burst: int) -> None:
        self._per_s, self._burst = per_s, burst
        self._left, self._at = float(burst), 0.0

    def take(self, now: float) -> bool:
        """Whether one more is allowed at `now` seconds of a monotonic clock."""
        self._left = min(self._burst, self._left + (now - self._at) * self._per_s)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
