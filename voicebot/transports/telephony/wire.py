"""What every telephony vendor's wire can say, so that one socket shell serves them all.

A vendor's file turns its text messages into these events and makes its text messages from PCM. It is pure: no socket,
clock or task. PCM here is at the wire's own rate; the shell resamples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from voicebot.core.audio import Pcm


@dataclass(frozen=True, slots=True)
class Connected:
    """The socket's first message; says nothing about a call yet."""


@dataclass(frozen=True, slots=True)
class Started:
    """The call's media begins. `call_sid`: the vendor's name of the call."""

    stream_sid: str
    call_sid: str
    account_sid: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Media:
    """The caller's audio. `chunk` counts from 1; `timestamp_ms` from the stream's start; `pcm`: int16[n], wire rate."""

    chunk: int
    timestamp_ms: int
    pcm: Pcm


@dataclass(frozen=True, slots=True)
class Digit:
    """A DTMF key: one of 0-9 * # A-D."""

    digit: str


@dataclass(frozen=True, slots=True)
class Marked:
    """Playback reached a mark of ours, or a `clear` gave it back unplayed."""

    name: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """The far side ended the stream."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """A message type that we do not know or need. `event`: its name."""

    event: str


WireEvent = Connected | Started | Media | Digit | Marked | Stopped | Ignored


class Wire(Protocol):
    """One stream's codec: text in, events out; PCM in, text out."""

    kind: str
    """Short name for traces and metrics."""
    rate_hz: int
    """Of the PCM in both directions."""

    def parse(self, text: str) -> WireEvent:
        """One message. Raises: ProtocolError for anything that the vendor's protocol forbids."""
        ...

    def media(self, pcm: Pcm) -> str:
        """The message that plays `pcm`. Valid after `Started`."""
        ...

    def mark(self, name: str) -> str:
        """The message that asks to be told when playback gets here."""
        ...

    def clear(self) -> str:
        """The message that drops all audio not played yet."""
        ...
