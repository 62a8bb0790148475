"""The carrier's side of Twilio Media Streams, without I/O: what Twilio would send, play and echo.

    rules  1. `media` is buffered in order of arrival and played at 8 kHz from a virtual clock.
           2. A `mark` comes back when the media before it has played; at once if nothing is waiting.
           3. `clear` drops what has not played and returns all waiting marks at once.

Source: Twilio's "Media Streams - WebSocket messages".
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from collections import deque
from typing import Any

from voicebot.cli.recording import Recording
from voicebot.core.audio import Pcm, mulaw_decode, mulaw_encode
from voicebot.errors import ProtocolError

RATE_HZ = 8000
FRAME_SAMPLES = 160
"""One message of caller's audio: 20 ms."""
MARKS_LIMIT = 10_000
"""Marks waiting at once; a server that leaves more is broken."""


class Carrier:
    """One stream. `now` is any monotonic clock in seconds, passed to every method that needs it."""

    def __init__(self) -> None:
        self.stream_sid = "MZ" + secrets.token_hex(16)
        self.call_sid = "CA" + secrets.token_hex(16)
        self.account_sid = "AC" + secrets.token_hex(16)
        self.heard = Recording(RATE_HZ)
        self.cleared_s: list[float] = []
        """When each `clear` came."""
        self._marks: deque[tuple[float, str]] = deque()
        self._sequence = 0
        self._chunk = 0

    def opening(self) -> list[str]:
        """The first two messages: connected, start."""
        about = {
            "streamSid": self.stream_sid,
            "accountSid": self.account_sid,
            "callSid": self.call_sid,
            "tracks": ["inbound"],
            "customParameters": {},
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": RATE_HZ, "channels": 1},
        }
        connected = json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        return [connected, self._message("start", start=about)]

    def media(self, pcm: Pcm) -> str:
        """The caller's next 20 ms: int16[160], 8 kHz."""
        self._chunk += 1
        return self._message(
            "media",
            media={
                "track": "inbound",
                "chunk": str(self._chunk),
                "timestamp": str((self._chunk - 1) * 1000 * FRAME_SAMPLES // RATE_HZ),
                "payload": base64.b64encode(mulaw_encode(pcm)).decode("ascii"),
            },
        )

    def digit(self, digit: str) -> str:
        return self._message("dtmf", dtmf={"track": "inbound_track", "digit": digit})

    def stop(self) -> str:
        return self._message("stop", stop={"accountSid": self.account_sid, "callSid": self.call_sid})

    def receive(self, text: str | bytes, now: float) -> list[str]:
        """Take one message from the server; what goes back at once. Raises: ProtocolError."""
        message = _object(text)
        event = message.get("event")
        if event not in ("media", "mark", "clear"):
            raise ProtocolError(f"the server sent the event {event!r}; a stream takes media, mark and clear")
        if message.get("streamSid") != self.stream_sid:
            raise ProtocolError(f"the server's {event} names the stream {message.get('streamSid')!r}, not this one")
        if event == "media":
            self.heard.add(max(now, self.heard.stop_s), mulaw_decode(_payload(message)))
            return []
        return self._clear(now) if event == "clear" else self._mark(_name(message), now)

    def due(self, now: float) -> list[str]:
        """The marks whose media has played by now."""
        names = []
        while self._marks and self._marks[0][0] <= now:
            names.append(self._marks.popleft()[1])
        return [self._echo(name) for name in names]

    def _mark(self, name: str, now: float) -> list[str]:
        if len(self._marks) >= MARKS_LIMIT:
            raise ProtocolError(f"the server has {MARKS_LIMIT} marks waiting; the limit")
        self._marks.append((max(now, self.heard.stop_s), name))
        return self.due(now)

    def _clear(self, now: float) -> list[str]:
        self.heard.cut(now)
        self.cleared_s.append(now)
        names = [name for _, name in self._marks]
        self._marks.clear()
        return [self._echo(name) for name in names]

    def _echo(self, name: str) -> str:
        return self._message("mark", mark={"name": name})

    def _message(self, event: str, **rest: Any) -> str:
        self._sequence += 1
        return json.dumps({"event": event, "sequenceNumber": str(self._sequence), "streamSid": self.stream_sid, **rest})


def _object(text: str | bytes) -> dict[str, Any]:
    try:
        message = json.loads(text)
    except ValueError as error:
        raise ProtocolError(f"the server sent {text[:80]!r}, which is not JSON: {error}") from None
    if not isinstance(message, dict):
        raise ProtocolError(f"the server sent {text[:80]!r}, which is not an object")
    return message


def _payload(message: dict[str, Any]) -> bytes:
    media = message.get("media")
    payload = media.get("payload") if isinstance(media, dict) else None
    if not isinstance(payload, str):
        raise ProtocolError(f"the server's media has no payload: {str(media)[:80]}")
    try:
        return base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProtocolError(f"the server's media payload is not base64: {error}") from None


def _name(message: dict[str, Any]) -> str:
    mark = message.get("mark")
    name = mark.get("name") if isinstance(mark, dict) else None
    if not isinstance(name, str):
        raise ProtocolError(f"the server's mark has no name: {str(mark)[:80]}")
    return name
