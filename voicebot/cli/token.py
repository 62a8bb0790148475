"""`voicebot token VENDOR`: what an exchange without an answer document needs to bring a call here."""

from __future__ import annotations

import os

from voicebot.config import Config
from voicebot.errors import ConfigError
from voicebot.telephony.access import Access
from voicebot.telephony.vendors_pbx import VENDORS

NAMES = (*(vendor.name for vendor in VENDORS), "audiosocket")


def credential(config: Config, vendor: str, password: bool) -> str:
    """A media URL for one call (AudioSocket: a UUID), or the vendor's password. Raises: ConfigError."""
    if vendor not in NAMES:
        raise ConfigError(f"no vendor {vendor!r}; there are {', '.join(NAMES)}")
    access = Access(config.telephony, os.environ)
    if not access.has_secret:
        raise ConfigError(
            f"set {config.telephony.secret_env} in the environment, here and for the server, to the same 16 or more "
            "random characters, e.g. those of `openssl rand -hex 32`"
        )
    if password:
        return access.password(vendor)
    if vendor == "audiosocket":
        return str(access.mint_uuid())
    given, _, host = config.telephony.public_url.rstrip("/").partition("://")
    scheme = "wss" if given == "https" else "ws"
    return f"{scheme}://{host or f'{config.server.host}:{config.server.port}'}/telephony/{vendor}/{access.mint(vendor)}"
