"""The settings of the doors for clients of other people's protocols. See `config.py`."""

from __future__ import annotations

from pydantic import Field

from voicebot.config_brain import Section


class ApiConfig(Section):
    """[api]: the doors for clients that speak OpenAI's protocols, /v1/..."""

    keys_env: str = Field(default="VOICEBOT_API_KEYS", pattern=r"^[A-Za-z_]\w*$")
    """Environment variable with the keys that are let in, comma between them; without any, only this machine is."""


class WyomingConfig(Section):
    """[wyoming]: speech and talk for Home Assistant, over TCP. Needs the extra "wyoming"."""

    host: str = "127.0.0.1"
    """Address to listen on. The protocol knows no keys: whoever reaches the port may use it."""
    port: int = Field(default=0, ge=0, le=65535)
    """10300 is usual; 0 leaves the service off."""
    max_connections: int = Field(default=32, ge=1, le=1_000)
