"""What every telephony vendor's wire can say, so that one socket shell serves them all.

A vendor's file turns its messages into these events and makes its messages from PCM. It is pure: no socket, clock or
task. PCM here is at the wire's own rates; the shell resamples what the caller says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from voicebot.core.audio import Pcm

Message = str | bytes
"""One message: WebSocket text, WebSocket binary, or a whole AudioSocket frame."""


@dataclass(frozen=True, slots=True)
class Connected:
    """The socket's first message; says nothing about a call yet."""


@dataclass(frozen=True, slots=True)
class Started:
    """The call's media begins. `call_sid`: the vendor's name of the call; `caller`, `called`: the two numbers."""

    stream_sid: str
    call_sid: str
    account_sid: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    caller: str = ""
    called: str = ""


@dataclass(frozen=True, slots=True)
class Media:
    """The caller's audio. `chunk` counts from 1; `timestamp_ms` from the stream's start; `pcm`: int16[n], wire rate."""

    chunk: int
    timestamp_ms: int
    pcm: Pcm


@dataclass(frozen=True, slots=True)
class Audio:
    """The caller's next audio on a wire that keeps order by itself. `pcm`: int16[n], wire rate."""

    pcm: Pcm


@dataclass(frozen=True, slots=True)
class Lost:
    """The far side left out this much of the caller's audio here."""

    ms: int


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


WireEvent = Connected | Started | Media | Audio | Lost | Digit | Marked | Stopped | Ignored


class Wire:
    """One stream's codec: messages in, events out; PCM in, messages out. What a vendor lacks is the empty answer here.

    A stretch is audio without a pause: `begin`, then `media` for each piece, then `end`.
    """

    kind = ""
    """Short name for traces and metrics."""
    rate_hz = 8_000
    """Of the caller's audio. This and `playout_rate_hz` are final once `Started` was returned."""
    playout_rate_hz = 8_000
    """Of our audio."""
    packet_s = 0.02
    """Least audio that one message should hold."""
    pads = False
    """Whether a shorter one is filled up with silence, which the caller hears."""
    lead_s = 0.1
    """How much audio the far end should hold, so that jitter is not heard."""
    clears = True
    """Whether the far end can drop what it has not played."""
    pauses = False
    """Whether the far end can stop playing, keep what it holds, and go on."""
    sends_silence = False
    """Whether the far end wants silence when there is nothing to play."""
    transfers = False
    """Whether `transfer` can hand the caller over."""
    sends_digits = False
    """Whether `digits` can play DTMF to the caller's line."""
    waits_for_stop = False
    """Whether our goodbye is to be answered by the far side's own before the socket closes."""

    def parse(self, message: Message) -> WireEvent:
        """One message. Raises: ProtocolError for anything that the vendor's protocol forbids."""
        raise NotImplementedError

    def answers(self) -> Sequence[Message]:
        """What the protocol itself must say now; asked for after every `parse`, and then forgotten."""
        return ()

    def begin(self) -> Sequence[Message]:
        """What goes before a stretch."""
        return ()

    def media(self, pcm: Pcm) -> Message:
        """The message that plays `pcm`. Valid after `Started`."""
        raise NotImplementedError

    def end(self, name: str) -> Sequence[Message]:
        """What goes after a stretch; asks for `Marked(name)` when playback gets here, where the vendor can tell."""
        return ()

    def clear(self) -> Sequence[Message]:
        """What drops all audio not played yet."""
        return ()

    def pause(self) -> Sequence[Message]:
        """What stops playing and keeps the audio."""
        return ()

    def resume(self) -> Sequence[Message]:
        """What goes on after `pause`."""
        return ()

    def digits(self, digits: str) -> Sequence[Message]:
        """What plays these DTMF keys to the caller's line."""
        return ()

    def transfer(self, target: str) -> Sequence[Message]:
        """What hands the caller over to `target`, a telephone number or SIP address."""
        return ()

    def goodbye(self, reason: str) -> Sequence[Message]:
        """What ends the call from our side."""
        return ()
