"""The settings of the doors for clients of other people's protocols. See `config.py`."""

from __future__ import annotations

from pydantic import Field

from voicebot.config_brain import Section


class ApiConfig(Section):
    """[api]: the doors for clients that speak OpenAI's protocols, /v1/..."""

    keys_env: str = Field(default="VOICEBOT_API_KEYS", pattern=r"^[A-Za-z_]\w*$")
    """Environment variable with the keys that are let in, comma between them; without any, only this machine is."""
