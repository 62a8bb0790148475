"""The exchanges that people run themselves, and Genesys Cloud: jambonz, FreeSWITCH, Asterisk, AudioHook."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.responses import JSONResponse, Response

from voicebot.config_telephony import TelephonyConfig
from voicebot.errors import ConfigError
from voicebot.telephony.vendor import Asked, Vendor
from voicebot.telephony.vendors_cloud import Exotel, Plivo, Telnyx, Twilio, Vonage
from voicebot.transports.telephony import audiohook, jambonz
from voicebot.transports.telephony.asterisk import AsteriskWire
from voicebot.transports.telephony.audio_stream import AudioStreamWire
from voicebot.transports.telephony.reading import read_number
from voicebot.transports.telephony.wire import Wire


class Jambonz(Vendor):
    """Signs its webhooks; its media sockets have our token, or the password as `wsAuth`."""

    name = "jambonz"
    subprotocol = jambonz.SUBPROTOCOLS["jambonz"]
    call_fields = ("call_sid",)

    def wire(self, query: Mapping[str, str], given_id: str) -> Wire:
        return jambonz.ForkWire("jambonz", given_id)

    def answer(self, stream_url: str, asked: Asked) -> Response:
        return JSONResponse(jambonz.listen_verbs(stream_url, self._config.jambonz.rate_hz))

    def webhook_fault(self, asked: Asked, now_s: float) -> str | None:
        secret = self.secret(self._config.jambonz.webhook_secret_env)
        if not secret:
            return None
        return jambonz.webhook_fault(asked.headers.get("jambonz-signature", ""), secret, asked.body, now_s)


class AudioFork(Vendor):
    """FreeSWITCH with drachtio's mod_audio_fork."""

    name = "audio_fork"
    subprotocol = jambonz.SUBPROTOCOLS["audio_fork"]

    def wire(self, query: Mapping[str, str], given_id: str) -> Wire:
        return jambonz.ForkWire("audio_fork", query.get("call") or given_id)


class AudioStream(Vendor):
    """FreeSWITCH with mod_audio_stream."""

    name = "audio_stream"

    def wire(self, query: Mapping[str, str], given_id: str) -> Wire:
        rate_hz = read_number({"rate": self._config.audio_stream.rate_hz, **query}, "rate")
        return AudioStreamWire(rate_hz, query.get("call") or given_id)


class Asterisk(Vendor):
    """chan_websocket calling us; its settings hold the password."""

    name = "asterisk"
    subprotocol = "media"

    def wire(self, query: Mapping[str, str], given_id: str) -> Wire:
        return AsteriskWire(query)


class AudioHook(Vendor):
    """Genesys Cloud: an API key, and a signature of the upgrade request where the integration has a client secret."""

    name = "audiohook"

    def __init__(self, config: TelephonyConfig, env: Mapping[str, str]) -> None:
        super().__init__(config, env)
        self._key = self.secret(config.audiohook.api_key_env)
        given = self.secret(config.audiohook.client_secret_env)
        try:
            self._client_secret = base64.b64decode(given, validate=True)
        except (binascii.Error, ValueError):
            raise ConfigError(
                f"{config.audiohook.client_secret_env} is not base64; copy it anew from Genesys"
            ) from None

    def wire(self, query: Mapping[str, str], given_id: str) -> Wire:
        return audiohook.AudioHookWire()

    def upgrade_fault(self, asked: Asked, now_s: float) -> str | None:
        if not self._key:
            return None
        if not self._client_secret:
            return audiohook.key_fault(asked.headers, self._key)
        parts = urlsplit(asked.url)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        return audiohook.signature_fault(asked.headers, target, parts.netloc, self._key, self._client_secret, now_s)


VENDORS: tuple[type[Vendor], ...] = (
    Twilio, Telnyx, Plivo, Vonage, Exotel, Jambonz, AudioFork, AudioStream, Asterisk, AudioHook,
)  # fmt: skip
"""Those that come through a WebSocket; AudioSocket has a door of its own."""
