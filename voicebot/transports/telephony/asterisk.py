"""Asterisk's chan_websocket: media in binary frames, control in text, as JSON or as plain words. Pure.

Source: Asterisk's "WebSocket channel driver" page (20.16, 21.11, 22.6, 23.0; JSON and marks from 20.18, 22.8, 23.2).
The first message, MEDIA_START, tells the form of control and the codec. A stretch of audio stands between
START_MEDIA_BUFFERING and STOP_MEDIA_BUFFERING, so its pieces may have any size. After it come a mark and a request to
be told when the queue has drained: old releases know only the latter. A drained queue proves something only if
nothing was sent or flushed since it was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from voicebot.core.audio import Pcm
from voicebot.errors import ProtocolError
from voicebot.transports.telephony.codecs import ALAW, LINEAR, MULAW, Codec
from voicebot.transports.telephony.reading import (
    UNSUPPORTED,
    bounded,
    compact,
    flat,
    optional_text,
    read_digit,
    read_id,
    read_object,
    read_parameters,
    read_text,
    shown,
)
from voicebot.transports.telephony.wire import Audio, Digit, Ignored, Marked, Message, Started, Wire, WireEvent

FORMATS: Mapping[str, tuple[Codec, int]] = {
    "ulaw": (MULAW, 8_000),
    "alaw": (ALAW, 8_000),
    "slin": (LINEAR, 8_000),
    "slin12": (LINEAR, 12_000),
    "slin16": (LINEAR, 16_000),
    "slin24": (LINEAR, 24_000),
    "slin32": (LINEAR, 32_000),
    "slin44": (LINEAR, 44_100),
    "slin48": (LINEAR, 48_000),
}
"""By Asterisk's name: codec and rate in Hz."""


class AsteriskWire(Wire):
    """One channel. `parameters` are those of the URL (`v(...)` in the dial string)."""

    kind = "asterisk"
    pauses = True

    def __init__(self, parameters: Mapping[str, str] | None = None) -> None:
        self._parameters = dict(parameters or {})
        self._json = True
        self._codec = MULAW
        self._asked = ""
        """The mark that the next QUEUE_DRAINED stands for."""
        self._asked_before = 0
        """QUEUE_DRAINED still to come that prove nothing."""

    def parse(self, message: Message) -> WireEvent:
        bounded(message)
        if isinstance(message, bytes):
            return Audio(self._codec.decode(message))
        self._json = message.lstrip().startswith("{")
        read = read_object(message) if self._json else _plain(message)
        name = read_text(read, "event")
        if name == "MEDIA_START":
            return self._started(read)
        if name == "DTMF_END":
            return Digit(read_digit(read))
        if name == "MEDIA_MARK_PROCESSED":
            return Marked(read_text(read, "correlation_id"))
        return self._drained() if name == "QUEUE_DRAINED" else Ignored(name[:40])

    def media(self, pcm: Pcm) -> bytes:
        return self._codec.encode(pcm)

    def begin(self) -> tuple[str]:
        self._disprove()
        return (self._command("START_MEDIA_BUFFERING"),)

    def end(self, name: str) -> tuple[str, ...]:
        self._asked = name
        return (
            self._command("STOP_MEDIA_BUFFERING"),
            self._command("MARK_MEDIA", name),
            self._command("REPORT_QUEUE_DRAINED"),
        )

    def clear(self) -> tuple[str]:
        self._disprove()
        return (self._command("FLUSH_MEDIA"),)

    def pause(self) -> tuple[str]:
        self._disprove()
        return (self._command("PAUSE_MEDIA"),)

    def resume(self) -> tuple[str]:
        return (self._command("CONTINUE_MEDIA"),)

    def goodbye(self, reason: str) -> tuple[str]:
        return (self._command("HANGUP"),)

    def _disprove(self) -> None:
        """What was asked for before will be answered all the same, but then about something else."""
        self._asked_before += bool(self._asked)
        self._asked = ""

    def _drained(self) -> WireEvent:
        if self._asked_before:
            self._asked_before -= 1
            return Ignored("QUEUE_DRAINED of before")
        name, self._asked = self._asked, ""
        return Marked(name) if name else Ignored("QUEUE_DRAINED unasked")

    def _command(self, name: str, correlation_id: str = "") -> str:
        if not self._json:
            return f"{name} {correlation_id}".strip()
        named = {"correlation_id": correlation_id} if correlation_id else {}
        return compact({"command": name, **named})

    def _started(self, message: Mapping[str, Any]) -> Started:
        name = optional_text(message, "format") or self._parameters.get("format", "")
        if name not in FORMATS:
            known = ", ".join(FORMATS)
            raise ProtocolError(
                f"format {shown(name)}; set c(...) to one of {known}, and v(format=...) where Asterisk tells none",
                UNSUPPORTED,
            )
        self._codec, self.rate_hz = FORMATS[name]
        self.playout_rate_hz = self.rate_hz
        connection = read_id(message, "connection_id")
        return Started(
            stream_sid=connection,
            call_sid=optional_text(message, "channel_id") or connection,
            account_sid=optional_text(message, "channel"),
            parameters={**read_parameters(message, "channel_variables"), **flat(self._parameters)},
            caller=self._parameters.get("caller", ""),
            called=self._parameters.get("called", ""),
        )


def _plain(text: str) -> dict[str, Any]:
    """`NAME key:value key:value`, or `NAME id`."""
    name, *words = text.split()[:64] or [""]
    pairs = dict(word.split(":", 1) for word in words if ":" in word)
    bare = [word for word in words if ":" not in word]
    if name == "MEDIA_MARK_PROCESSED" and "correlation_id" not in pairs:  # Our names have a colon in them.
        pairs = {"correlation_id": words[-1]} if words else {}
    return {"event": name, **({"correlation_id": bare[0]} if bare else {}), **pairs}
