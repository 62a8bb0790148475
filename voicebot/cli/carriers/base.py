"""A carrier's side of a telephone call, without I/O: what it sends, plays and echoes. One subclass a vendor.

`now` is any monotonic clock in seconds, passed to every method that needs it. What our server may not send is a
ProtocolError here, as a vendor's debugger would have it.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from voicebot.cli.recording import Recording
from voicebot.core.audio import EMPTY, Pcm
from voicebot.errors import ProtocolError
from voicebot.transports.telephony.wire import Message

CALLER, CALLED = "+15550100", "+15550199"
MARKS_LIMIT = 10_000
"""Marks waiting at once; a server that leaves more is broken."""


class Playback:
    """The far end's buffer: plays what comes in order, in real time, and knows where each mark lies."""

    def __init__(self, rate_hz: int, buffering_s: float = 0.0) -> None:
        """`buffering_s`: how long sound that finds the buffer empty waits before it plays."""
        self.heard = Recording(rate_hz)
        self.cleared_s: list[float] = []
        """When each clear came."""
        self._buffering_s = buffering_s
        self._marks: deque[tuple[int, str]] = deque()
        self._queued = 0
        self._paused: Pcm | None = None

    def play(self, pcm: Pcm, now: float) -> None:
        self._queued += len(pcm)
        if self._paused is not None:
            self._paused = np.concatenate((self._paused, pcm))
        elif self.heard.stop_s >= now:
            self.heard.add(self.heard.stop_s, pcm)
        else:
            self.heard.add(now + self._buffering_s, pcm)

    def left(self, now: float) -> int:
        """Samples that have not played."""
        if self._paused is not None:
            return len(self._paused)
        return max(0, round((self.heard.stop_s - now) * self.heard.rate_hz)) if self._queued else 0

    def mark(self, name: str) -> None:
        if len(self._marks) >= MARKS_LIMIT:
            raise ProtocolError(f"the server has {MARKS_LIMIT} marks waiting; the limit")
        self._marks.append((self._queued, name))

    def reached(self, now: float) -> list[str]:
        """The marks that have been played up to by now, each once."""
        played = self._queued - self.left(now)
        names = []
        while self._marks and self._marks[0][0] <= played:
            names.append(self._marks.popleft()[1])
        return names

    def clear(self, now: float) -> list[str]:
        """Drop what has not played; the marks that waited in it."""
        waiting = [name for _, name in self._marks]
        self._marks.clear()
        self._paused = None
        self.heard.cut(now)
        self.cleared_s.append(now)
        return waiting

    def pause(self, now: float) -> None:
        self._paused = self.heard.cut(now) if self._paused is None else self._paused
        self.cleared_s.append(now)

    def resume(self, now: float) -> None:
        rest, self._paused = self._paused, None
        if rest is not None and len(rest):
            self.heard.add(now, rest)


class Carrier:
    """One call. It speaks at `rate_hz`, 20 ms at a time, and hears at `playback.heard.rate_hz`."""

    kind: ClassVar[str]
    subprotocols: ClassVar[Sequence[str]] = ()
    presses: ClassVar[bool] = True
    """Whether a key that the caller presses comes through the stream."""

    def __init__(self, rate_hz: int = 8_000, buffering_s: float = 0.0) -> None:
        self.rate_hz = rate_hz
        self.playback = Playback(rate_hz, buffering_s)
        self.call_id = secrets.token_hex(16)
        """What the server's API knows the call by."""
        self.hung_up = False
        """Whether the server has ended the call within the stream."""
        self.digits = ""
        """DTMF that the server has played into the line."""
        self.transferred = ""
        """Whom the server has handed the call to within the stream."""

    @property
    def heard(self) -> Recording:
        return self.playback.heard

    def opening(self) -> list[Message]:
        """What is sent first."""
        raise NotImplementedError

    def media(self, pcm: Pcm) -> Message:
        """The caller's next 20 ms: int16[rate_hz / 50]."""
        raise NotImplementedError

    def digit(self, digit: str) -> Message:
        """A key that the caller presses."""
        raise NotImplementedError

    def stop(self) -> list[Message]:
        """The caller has hung up; what is said before the socket closes."""
        return []

    def receive(self, message: Message, now: float) -> list[Message]:
        """Take one message from the server; what goes back at once. Raises: ProtocolError."""
        raise NotImplementedError

    def due(self, now: float) -> list[Message]:
        """What is to be told by now: marks that have been reached, and the like."""
        return []

    def headers(self, url: str, env: Mapping[str, str]) -> dict[str, str]:
        """The upgrade request's, with the vendor's signature where `env` has its secret."""
        return {}


class Strict:
    """Reads what a server sends, and names what a vendor would refuse."""

    @staticmethod
    def message(text: Message) -> dict[str, Any]:
        """The JSON object that a text message is."""
        try:
            message = json.loads(text)
        except ValueError as error:
            raise ProtocolError(f"the server sent {text[:80]!r}, which is not JSON: {error}") from None
        if not isinstance(message, dict):
            raise ProtocolError(f"the server sent {text[:80]!r}, which is not an object")
        return message

    @staticmethod
    def inner(message: Mapping[str, Any], name: str) -> dict[str, Any]:
        inner = message.get(name)
        if not isinstance(inner, dict):
            raise ProtocolError(f"the server's message has no {name!r}: {str(message)[:80]}")
        return inner

    @staticmethod
    def text(within: Mapping[str, Any], name: str) -> str:
        value = within.get(name)
        if not isinstance(value, str) or not value:
            raise ProtocolError(f"the server's message has no {name!r}: {str(within)[:80]}")
        return value

    @staticmethod
    def payload(media: Mapping[str, Any]) -> bytes:
        payload = media.get("payload")
        if not isinstance(payload, str):
            raise ProtocolError(f"the server's media has no payload: {str(media)[:80]}")
        try:
            return base64.b64decode(payload, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ProtocolError(f"the server's media payload is not base64: {error}") from None


def linear(data: bytes) -> Pcm:
    """Little-endian 16 bit samples. Raises: ProtocolError."""
    if len(data) % 2:
        raise ProtocolError(f"the server sent {len(data)} bytes of 16 bit audio")
    return np.frombuffer(data, dtype="<i2").astype(np.int16) if data else EMPTY


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
