"""Carriers whose audio is binary and whose control is JSON: Vonage, jambonz, FreeSWITCH's two modules.

Sources: as in the vendors' wire files.
"""

from __future__ import annotations

import json
from typing import ClassVar

from voicebot.cli.carriers.base import CALLED, CALLER, Carrier, Strict, linear
from voicebot.core.audio import Pcm
from voicebot.errors import ProtocolError
from voicebot.transports.telephony.codecs import LINEAR
from voicebot.transports.telephony.jambonz import SUBPROTOCOLS
from voicebot.transports.telephony.wire import Message


class BinaryCarrier(Carrier):
    """What they have in common: linear 16 bit audio both ways."""

    def media(self, pcm: Pcm) -> bytes:
        return LINEAR.encode(pcm)

    def receive(self, message: Message, now: float) -> list[Message]:
        if isinstance(message, bytes):
            self.playback.play(linear(message), now)
            return []
        return self._control(message, now)

    def _control(self, text: str, now: float) -> list[Message]:
        raise ProtocolError(f"the server sent {text[:80]!r} to a stream that takes audio only")


class VonageCarrier(BinaryCarrier):
    """Takes frames of 20 ms only, and holds 3,072 of them."""

    kind = "vonage"
    FRAMES = 3_072

    def __init__(self, rate_hz: int = 16_000, buffering_s: float = 0.0) -> None:
        super().__init__(rate_hz, buffering_s)

    def opening(self) -> list[Message]:
        first = {"event": "websocket:connected", "content-type": f"audio/l16;rate={self.rate_hz}"}
        return [json.dumps({**first, "call_uuid": self.call_id, "caller": CALLER, "called": CALLED, "menu": "7"})]

    def digit(self, digit: str) -> str:
        return json.dumps({"event": "websocket:dtmf", "digit": digit, "duration": 260})

    def receive(self, message: Message, now: float) -> list[Message]:
        frame = self.rate_hz // 50
        if isinstance(message, bytes) and len(message) != 2 * frame:
            raise ProtocolError(f"the server sent {len(message)} bytes; a frame at {self.rate_hz} Hz has {2 * frame}")
        if self.playback.left(now) > self.FRAMES * frame:
            raise ProtocolError(f"the server is {self.FRAMES} frames ahead; the rest would be lost")
        return super().receive(message, now)

    def _control(self, text: str, now: float) -> list[Message]:
        read = Strict.message(text)
        if read.get("action") == "clear":
            self.playback.clear(now)
            return [json.dumps({"event": "websocket:cleared"})]
        if read.get("action") == "notify":
            self.playback.mark(json.dumps(Strict.inner(read, "payload")))
            return self.due(now)
        raise ProtocolError(f"the server sent the action {read.get('action')!r}; clear and notify are known")

    def due(self, now: float) -> list[Message]:
        told = (json.loads(payload) for payload in self.playback.reached(now))
        return [json.dumps({"event": "websocket:notify", "payload": payload}) for payload in told]


class JambonzCarrier(BinaryCarrier):
    """Keeps 30 marks; `killAudio` drops the audio, `clearMarks` tells what became of the marks in it."""

    kind = "jambonz"
    subprotocols = (SUBPROTOCOLS["jambonz"],)
    MARKS = 30

    def __init__(self, rate_hz: int = 16_000, buffering_s: float = 0.0) -> None:
        super().__init__(rate_hz, buffering_s)
        self._killed: list[str] = []

    def opening(self) -> list[Message]:
        about = {"callSid": self.call_id, "direction": "inbound", "from": CALLER, "to": CALLED, "menu": "7"}
        return [json.dumps({**about, "sampleRate": self.rate_hz, "mixType": "mono"})]

    def digit(self, digit: str) -> str:
        return json.dumps({"event": "dtmf", "dtmf": digit, "duration": "1600"})

    def _control(self, text: str, now: float) -> list[Message]:
        read = Strict.message(text)
        kind = read.get("type")
        if kind == "killAudio":
            self._killed += self.playback.clear(now)
        elif kind == "clearMarks":
            cleared, self._killed = self._killed, []
            return [self._mark(name, "cleared") for name in cleared]
        elif kind == "mark":
            self.playback.mark(Strict.text(Strict.inner(read, "data"), "name"))
            return self.due(now)
        elif kind == "disconnect":
            self.hung_up = True
        elif kind == "transfer" and self.kind == "audio_fork":
            self.transferred = str(read.get("data"))
        else:
            raise ProtocolError(f"the server sent the command {kind!r}")
        return []

    def due(self, now: float) -> list[Message]:
        return [self._mark(name, "playout") for name in self.playback.reached(now)]

    def _mark(self, name: str, event: str) -> str:
        return json.dumps({"type": "mark", "data": {"name": name, "event": event}})


class AudioForkCarrier(JambonzCarrier):
    """FreeSWITCH's mod_audio_fork: no DTMF; the metadata is what the dialplan gave it."""

    kind = "audio_fork"
    subprotocols = (SUBPROTOCOLS["audio_fork"],)
    presses = False

    def __init__(self, rate_hz: int = 8_000, buffering_s: float = 0.0) -> None:
        super().__init__(rate_hz, buffering_s)


class AudioStreamCarrier(BinaryCarrier):
    """FreeSWITCH's mod_audio_stream: plays what comes and says nothing; DTMF if the dialplan sends it on as text."""

    kind = "audio_stream"
    presses: ClassVar[bool] = True

    def opening(self) -> list[Message]:
        about = {"callSid": self.call_id, "sampleRate": self.rate_hz, "from": CALLER, "to": CALLED, "menu": "7"}
        return [json.dumps(about)]

    def digit(self, digit: str) -> str:
        return json.dumps({"event": "dtmf", "dtmf": digit})
