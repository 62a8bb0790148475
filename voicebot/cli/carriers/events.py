"""Carriers whose streams are JSON events with audio as base64: Twilio, Telnyx, Plivo, Exotel.

    rules  1. Media is buffered in order of arrival and played in real time.
           2. A mark comes back when the media before it has played; at once if nothing is waiting.
           3. A clear drops what has not played. Twilio and Telnyx then return all waiting marks; Plivo returns none.

Sources: as in the vendors' wire files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from voicebot.cli.carriers.base import CALLED, CALLER, Carrier, Strict, encoded, linear
from voicebot.core.audio import Pcm, mulaw_decode, mulaw_encode
from voicebot.errors import ProtocolError
from voicebot.transports.telephony import twilio
from voicebot.transports.telephony.codecs import LINEAR
from voicebot.transports.telephony.wire import Message


class EventCarrier(Carrier):
    """What the four have in common, with Twilio's names."""

    stream_field: ClassVar[str] = "streamSid"
    """Where messages name the stream; "" where the server's need not."""
    number_field: ClassVar[str] = "sequenceNumber"
    media_event: ClassVar[str] = "media"
    mark_event: ClassVar[str] = "mark"
    clear_event: ClassVar[str] = "clear"
    marks_survive_clear: ClassVar[bool] = True

    def __init__(self, rate_hz: int = 8_000, buffering_s: float = 0.0) -> None:
        super().__init__(rate_hz, buffering_s)
        self.stream_id = f"stream-{self.call_id[:12]}"
        self.call_id = f"call-{self.call_id}"
        self._sequence = self._chunk = 0

    def media(self, pcm: Pcm) -> str:
        self._chunk += 1
        media = {
            "track": "inbound",
            "chunk": str(self._chunk),
            "timestamp": str((self._chunk - 1) * 20),
            "payload": encoded(self._encode(pcm)),
        }
        return self._message("media", media=media)

    def digit(self, digit: str) -> str:
        return self._message("dtmf", dtmf={"track": "inbound_track", "digit": digit})

    def stop(self) -> list[Message]:
        return [self._message("stop", stop={"callSid": self.call_id})]

    def receive(self, message: Message, now: float) -> list[Message]:
        read = Strict.message(message)
        event = read.get("event")
        if event == self.media_event:
            self._named(read)
            self.playback.play(self._heard(Strict.inner(read, "media")), now)
            return []
        if event == self.mark_event:
            self._named(read)
            self.playback.mark(self._mark_name(read))
            return self.due(now)
        if event == self.clear_event:
            self._named(read)
            waiting = self.playback.clear(now)
            return [self._echo(name) for name in waiting] if self.marks_survive_clear else [self._cleared()]
        return self._other(read)

    def due(self, now: float) -> list[Message]:
        return [self._echo(name) for name in self.playback.reached(now)]

    def _encode(self, pcm: Pcm) -> bytes:
        return mulaw_encode(pcm)

    def _heard(self, media: Mapping[str, Any]) -> Pcm:
        return mulaw_decode(Strict.payload(media))

    def _mark_name(self, message: Mapping[str, Any]) -> str:
        return Strict.text(Strict.inner(message, "mark"), "name")

    def _echo(self, name: str) -> str:
        return self._message("mark", mark={"name": name})

    def _cleared(self) -> str:
        raise NotImplementedError

    def _other(self, message: Mapping[str, Any]) -> list[Message]:
        known = f"{self.media_event}, {self.mark_event} and {self.clear_event}"
        raise ProtocolError(f"the server sent the event {message.get('event')!r}; a stream takes {known}")

    def _named(self, message: Mapping[str, Any]) -> None:
        if self.stream_field and message.get(self.stream_field) != self.stream_id:
            raise ProtocolError(
                f"the server's message names the stream {message.get(self.stream_field)!r}, not this one"
            )

    def _message(self, event: str, **rest: Any) -> str:
        self._sequence += 1
        named = {self.stream_field: self.stream_id} if self.stream_field else {}
        return json.dumps({"event": event, self.number_field: str(self._sequence), **named, **rest})


class TwilioCarrier(EventCarrier):
    kind = "twilio"

    def opening(self) -> list[Message]:
        about = {
            "streamSid": self.stream_id,
            "accountSid": "AC" + self.call_id[-32:],
            "callSid": self.call_id,
            "tracks": ["inbound"],
            "customParameters": {"caller": CALLER, "called": CALLED, "menu": "7"},
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": self.rate_hz, "channels": 1},
        }
        connected = json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        return [connected, self._message("start", start=about)]

    def headers(self, url: str, env: Mapping[str, str]) -> dict[str, str]:
        token = env.get("TWILIO_AUTH_TOKEN", "")
        return {"X-Twilio-Signature": twilio.signature(token, url, {})} if token else {}


class TelnyxCarrier(EventCarrier):
    kind = "telnyx"
    stream_field = ""
    number_field = "sequence_number"

    def opening(self) -> list[Message]:
        about = {
            "user_id": "user",
            "call_control_id": self.call_id,
            "from": CALLER,
            "to": CALLED,
            "custom_parameters": {"menu": "7"},
            "media_format": {"encoding": "PCMU", "sample_rate": self.rate_hz, "channels": 1},
        }
        start = {"event": "start", "sequence_number": "1", "stream_id": self.stream_id, "start": about}
        return [json.dumps({"event": "connected", "version": "1.0.0"}), json.dumps(start)]


class PlivoCarrier(EventCarrier):
    """Speaks mu-law at 8 kHz and linear at 16 kHz."""

    kind = "plivo"
    stream_field = "streamId"
    media_event, mark_event, clear_event = "playAudio", "checkpoint", "clearAudio"
    marks_survive_clear = False

    def __init__(self, rate_hz: int = 16_000, buffering_s: float = 0.0) -> None:
        super().__init__(rate_hz, buffering_s)
        self._encoding = "audio/x-mulaw" if rate_hz == 8_000 else "audio/x-l16"

    def opening(self) -> list[Message]:
        about = {
            "callId": self.call_id,
            "streamId": self.stream_id,
            "accountId": "MA1",
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": self._encoding, "sampleRate": self.rate_hz},
        }
        numbers = f"caller={CALLER},called={CALLED},menu=7"
        return [self._message("start", start=about, extra_headers=numbers)]

    def _encode(self, pcm: Pcm) -> bytes:
        return mulaw_encode(pcm) if self.rate_hz == 8_000 else LINEAR.encode(pcm)

    def _heard(self, media: Mapping[str, Any]) -> Pcm:
        told = (media.get("contentType"), media.get("sampleRate"))
        if told != (self._encoding, self.rate_hz):
            raise ProtocolError(f"the server plays {told} on a stream of {self._encoding} at {self.rate_hz} Hz")
        data = Strict.payload(media)
        return mulaw_decode(data) if self.rate_hz == 8_000 else linear(data)

    def _named(self, message: Mapping[str, Any]) -> None:
        if message.get("event") != self.media_event:
            super()._named(message)

    def _mark_name(self, message: Mapping[str, Any]) -> str:
        return Strict.text(message, "name")

    def _echo(self, name: str) -> str:
        return self._message("playedStream", name=name)

    def _cleared(self) -> str:
        return self._message("clearedAudio")

    def _other(self, message: Mapping[str, Any]) -> list[Message]:
        if message.get("event") != "sendDTMF":
            return super()._other(message)
        self.digits += Strict.text(message, "dtmf")
        return []


class ExotelCarrier(EventCarrier):
    """Takes 3,200 to 100,000 bytes a message, in multiples of 320."""

    kind = "exotel"
    stream_field = "stream_sid"
    number_field = "sequence_number"

    def opening(self) -> list[Message]:
        about = {
            "stream_sid": self.stream_id,
            "call_sid": self.call_id,
            "account_sid": "exo1",
            "from": CALLER,
            "to": CALLED,
            "custom_parameters": {"menu": "7"},
            "media_format": {"encoding": "base64", "sample_rate": str(self.rate_hz), "bit_rate": "128kbps"},
        }
        return [json.dumps({"event": "connected"}), self._message("start", start=about)]

    def _encode(self, pcm: Pcm) -> bytes:
        return LINEAR.encode(pcm)

    def _heard(self, media: Mapping[str, Any]) -> Pcm:
        data = Strict.payload(media)
        if not 3_200 <= len(data) <= 100_000 or len(data) % 320:
            raise ProtocolError(
                f"the server's media has {len(data)} bytes; 3,200 to 100,000 in multiples of 320 are taken"
            )
        return linear(data)
