"""Asterisk's two ways, and Genesys AudioHook.

Sources: as in the vendors' wire files. An Asterisk of 22.7 or later is played, in either form of control.
"""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from voicebot.cli.carriers.base import CALLED, CALLER, Carrier, Strict, linear
from voicebot.core.audio import Pcm, mulaw_decode, mulaw_encode
from voicebot.errors import ProtocolError
from voicebot.transports.telephony import audiohook, audiosocket
from voicebot.transports.telephony.codecs import LINEAR
from voicebot.transports.telephony.wire import Message

MESSAGE_BYTES = 65_500
"""Longer ones make Asterisk hang up."""


class AsteriskCarrier(Carrier):
    """chan_websocket, mu-law at 8 kHz or slin16. Media outside of buffering must be whole frames."""

    kind = "asterisk"
    subprotocols = ("media",)

    def __init__(self, rate_hz: int = 16_000, buffering_s: float = 0.0, plain: bool = False) -> None:
        super().__init__(rate_hz, buffering_s)
        self._plain = plain
        self._format = "ulaw" if rate_hz == 8_000 else "slin16"
        self._buffering = False
        self._report_drained = False

    def opening(self) -> list[Message]:
        frame = self.rate_hz // 50 * (1 if self._format == "ulaw" else 2)
        about = {"connection_id": f"c{self.call_id[:8]}", "channel": "WebSocket/bot", "channel_id": self.call_id}
        about |= {"format": self._format, "optimal_frame_size": str(frame), "ptime": "20"}
        extra = {} if self._plain else {"channel_variables": {"menu": "7"}}
        return [self._event("MEDIA_START", **about, **extra)]

    def media(self, pcm: Pcm) -> bytes:
        return mulaw_encode(pcm) if self._format == "ulaw" else LINEAR.encode(pcm)

    def digit(self, digit: str) -> str:
        return self._event("DTMF_END", digit=digit)

    def receive(self, message: Message, now: float) -> list[Message]:
        if len(message) > MESSAGE_BYTES:
            raise ProtocolError(f"the server sent {len(message)} bytes at once; Asterisk hangs up at {MESSAGE_BYTES}")
        if isinstance(message, bytes):
            return self._media(message, now)
        if self._plain == message.startswith("{"):
            raise ProtocolError(f"the server sent {message[:40]!r}, the other form of control")
        name, _, argument = message.partition(" ")
        if not self._plain:
            read = Strict.message(message)
            name, argument = Strict.text(read, "command"), str(read.get("correlation_id", ""))
        return self._command(name, argument, now)

    def due(self, now: float) -> list[Message]:
        told: list[Message] = [
            self._event("MEDIA_MARK_PROCESSED", correlation_id=n) for n in self.playback.reached(now)
        ]
        if self._report_drained and not self.playback.left(now):
            self._report_drained = False
            told.append(self._event("QUEUE_DRAINED"))
        return told

    def _media(self, data: bytes, now: float) -> list[Message]:
        pcm = mulaw_decode(data) if self._format == "ulaw" else linear(data)
        if not self._buffering and len(pcm) % (self.rate_hz // 50):
            raise ProtocolError(f"{len(pcm)} samples outside of buffering are no whole frames")
        self.playback.play(pcm, now)
        return []

    def _command(self, name: str, argument: str, now: float) -> list[Message]:
        if name == "START_MEDIA_BUFFERING":
            self._buffering = True
        elif name == "STOP_MEDIA_BUFFERING":
            self._buffering = False
        elif name == "MARK_MEDIA":
            self.playback.mark(argument)
        elif name == "REPORT_QUEUE_DRAINED":
            self._report_drained = True
        elif name == "FLUSH_MEDIA":
            self._buffering = False
            self.playback.clear(now)
        elif name == "PAUSE_MEDIA":
            self.playback.pause(now)
        elif name == "CONTINUE_MEDIA":
            self.playback.resume(now)
        elif name == "HANGUP":
            self.hung_up = True
        else:
            raise ProtocolError(f"the server sent the command {name!r}")
        return self.due(now)

    def _event(self, name: str, **fields: Any) -> str:
        if self._plain:
            return " ".join([name, *(f"{key}:{value}" for key, value in fields.items())])
        return json.dumps({"event": name, **fields})


class AudioSocketCarrier(Carrier):
    """AudioSocket: plays each message as it comes, and acknowledges nothing. `call_id` is its UUID."""

    kind = "audiosocket"

    def __init__(self, rate_hz: int = 8_000, buffering_s: float = 0.0, name: str = "") -> None:
        """`name`: the UUID that it calls with; one of its own if ""."""
        super().__init__(rate_hz, buffering_s)
        self.call_id = name or str(uuid.uuid4())
        self._kind = next(kind for kind, rate in audiosocket.AUDIO_RATES_HZ.items() if rate == rate_hz)

    def opening(self) -> list[Message]:
        return [audiosocket.frame(audiosocket.IDENTITY, uuid.UUID(self.call_id).bytes)]

    def media(self, pcm: Pcm) -> bytes:
        return audiosocket.frame(self._kind, LINEAR.encode(pcm))

    def digit(self, digit: str) -> bytes:
        return audiosocket.frame(audiosocket.DTMF, digit.encode())

    def stop(self) -> list[Message]:
        return [audiosocket.frame(audiosocket.TERMINATE)]

    def receive(self, message: Message, now: float) -> list[Message]:
        assert isinstance(message, bytes)
        if message[0] == audiosocket.TERMINATE:
            self.hung_up = True
        elif message[0] == self._kind:
            self.playback.play(linear(message[audiosocket.HEADER_BYTES :]), now)
        else:
            raise ProtocolError(f"the server sent a message of type {message[0]:#04x}")
        return []


class AudioHookCarrier(Carrier):
    """Genesys AudioHook: offers one and two channels, numbers its messages, and checks the server's numbers."""

    kind = "audiohook"

    def __init__(self, rate_hz: int = 8_000, buffering_s: float = 0.0) -> None:
        super().__init__(rate_hz, buffering_s)
        self.call_id = str(uuid.uuid4())
        self._session = str(uuid.uuid4())
        self._seq = self._server_seq = 0
        self._channels = 1
        self._opened = False

    def opening(self) -> list[Message]:
        offered = [
            {"type": "audio", "format": "PCMU", "channels": channels, "rate": self.rate_hz}
            for channels in (["external", "internal"], ["external"], ["internal"])
        ]
        about = {
            "organizationId": str(uuid.uuid4()),
            "conversationId": self.call_id,
            "participant": {"id": str(uuid.uuid4()), "ani": CALLER, "aniName": "", "dnis": CALLED},
            "media": offered,
            "language": "en-US",
            "inputVariables": {"menu": "7"},
        }
        return [self._message("open", about)]

    def media(self, pcm: Pcm) -> bytes:
        return mulaw_encode(pcm)

    def digit(self, digit: str) -> str:
        return self._message("dtmf", {"digit": digit})

    def stop(self) -> list[Message]:
        return [self._message("close", {"reason": "end"})]

    def receive(self, message: Message, now: float) -> list[Message]:
        if isinstance(message, bytes):
            self.playback.play(mulaw_decode(message), now)
            return []
        read = Strict.message(message)
        self._check_numbers(read)
        kind, parameters = read.get("type"), Strict.inner(read, "parameters")
        if kind == "opened" and len(parameters.get("media", ())) == 1:
            self._opened = True
        elif kind == "event":
            if any(entity.get("type") == "barge_in" for entity in parameters.get("entities", ())):
                self.playback.clear(now)
        elif kind == "disconnect":
            self.hung_up = True
            self.transferred = str((parameters.get("outputVariables") or {}).get("transfer", ""))
            return self.stop()
        elif kind not in ("pong", "closed", "updated"):
            raise ProtocolError(f"the server sent {kind!r}")
        return []

    def headers(self, url: str, env: Mapping[str, str]) -> dict[str, str]:
        key, secret = env.get("AUDIOHOOK_API_KEY", ""), env.get("AUDIOHOOK_CLIENT_SECRET", "")
        headers = {
            "audiohook-organization-id": str(uuid.uuid4()),
            "audiohook-session-id": self._session,
            "audiohook-correlation-id": str(uuid.uuid4()),
            "x-api-key": key,
        }
        if not (key and secret):
            return headers if key else {}
        parts = urlsplit(url)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        values = {"@request-target": target, "@authority": parts.netloc, **headers}
        listed = " ".join(f'"{name}"' for name in values)
        params = f'({listed});keyid="{key}";nonce="{uuid.uuid4()}";alg="hmac-sha256";created={int(time.time())}'
        signed = audiohook.signature(base64.b64decode(secret), values, params)
        given = base64.b64encode(signed).decode("ascii")
        return {**headers, "signature-input": f"sig1={params}", "signature": f"sig1=:{given}:"}

    def _check_numbers(self, message: Mapping[str, Any]) -> None:
        self._server_seq += 1
        told = (message.get("version"), message.get("id"), message.get("seq"))
        if told != ("2", self._session, self._server_seq):
            raise ProtocolError(f"the server's message has {told}; expected ('2', this session, {self._server_seq})")

    def _message(self, kind: str, parameters: Mapping[str, Any]) -> str:
        self._seq += 1
        base = {"version": "2", "id": self._session, "type": kind, "seq": self._seq, "serverseq": self._server_seq}
        return json.dumps({**base, "position": "PT0S", "parameters": parameters})
