"""Settings of the telephone bridges: `[telephony]` and a section for each vendor. Secrets come from the environment."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from voicebot.config_brain import Section

HTTP = r"^(https?://[^/\s]+/?)?$"


class TwilioConfig(Section):
    """Twilio Media Streams. Without the auth token only this machine may ask for TwiML."""

    auth_token_env: str = "TWILIO_AUTH_TOKEN"
    """Name of the environment variable that holds the auth token; here and below."""
    account_sid: str = ""
    """For ending and transferring calls; "" takes the one that each call names."""
    api_url: str = Field(default="https://api.twilio.com", pattern=HTTP)


class TelnyxConfig(Section):
    """Telnyx media streaming. `encoding`: of what is sent; the caller's is told by each call."""

    public_key_env: str = "TELNYX_PUBLIC_KEY"
    """Of webhook signatures."""
    api_key_env: str = "TELNYX_API_KEY"
    encoding: Literal["PCMU", "PCMA"] = "PCMU"
    api_url: str = Field(default="https://api.telnyx.com", pattern=HTTP)


class PlivoConfig(Section):
    """Plivo audio streaming."""

    auth_token_env: str = "PLIVO_AUTH_TOKEN"
    auth_id: str = ""
    """"" takes the one that each call names."""
    rate_hz: Literal[8000, 16000] = 16000
    """8000: mu-law."""
    api_url: str = Field(default="https://api.plivo.com", pattern=HTTP)


class VonageConfig(Section):
    """Vonage Voice. The application's key is needed for transfers and for sending DTMF only."""

    signature_secret_env: str = "VONAGE_SIGNATURE_SECRET"
    application_id: str = ""
    private_key_env: str = "VONAGE_PRIVATE_KEY"
    rate_hz: Literal[8000, 16000, 24000] = 16000
    api_url: str = Field(default="https://api.nexmo.com", pattern=HTTP)


class ExotelConfig(Section):
    """Exotel's Voicebot applet."""

    rate_hz: Literal[8000, 16000, 24000] = 8000


class JambonzConfig(Section):
    """jambonz's `listen` verb."""

    webhook_secret_env: str = "JAMBONZ_WEBHOOK_SECRET"
    rate_hz: Literal[8000, 16000, 24000] = 16000


class AudioHookConfig(Section):
    """Genesys Cloud AudioHook: the API key and the client secret of the integration."""

    api_key_env: str = "AUDIOHOOK_API_KEY"
    client_secret_env: str = "AUDIOHOOK_CLIENT_SECRET"


class AudioStreamConfig(Section):
    """FreeSWITCH's mod_audio_stream. `rate_hz`: of calls whose metadata does not say."""

    rate_hz: Literal[8000, 16000] = 8000


class AsteriskConfig(Section):
    """Asterisk's chan_websocket."""

    url: str = Field(default="", pattern=r"^(wss?://[^/\s]+/?)?$")
    """Asterisk's HTTP server, for calls that we are to fetch from it (`WebSocket/INCOMING`)."""


class AudioSocketConfig(Section):
    """Asterisk's AudioSocket: plain TCP without any encryption, so keep it on this machine or in a VPN."""

    port: int | None = Field(default=None, ge=0, le=65535)
    """None: off; 0: any free one."""
    host: str = "127.0.0.1"
    rate_hz: Literal[8000, 12000, 16000, 24000, 32000, 44100, 48000] = 8000


class TelephonyConfig(Section):
    """What the bridges share."""

    public_url: str = Field(default="", pattern=HTTP)
    """How vendors reach this server, e.g. "https://bot.example.com". Set: being on this machine opens nothing."""
    secret_env: str = "TELEPHONY_SECRET"
    """Signs media URLs, and is the same for all processes behind one name; unset: a random one, for this process."""
    token_s: float = Field(default=60.0, gt=0, le=86_400)
    """How long a media URL may be used, once."""
    twilio: TwilioConfig = TwilioConfig()
    telnyx: TelnyxConfig = TelnyxConfig()
    plivo: PlivoConfig = PlivoConfig()
    vonage: VonageConfig = VonageConfig()
    exotel: ExotelConfig = ExotelConfig()
    jambonz: JambonzConfig = JambonzConfig()
    audiohook: AudioHookConfig = AudioHookConfig()
    audio_stream: AudioStreamConfig = AudioStreamConfig()
    asterisk: AsteriskConfig = AsteriskConfig()
    audiosocket: AudioSocketConfig = AudioSocketConfig()
