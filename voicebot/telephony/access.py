"""Who may bring a call: whoever holds a token, a vendor's password or a vendor's signature, or is on this machine.

Rules:
1. A token is good for one vendor, once, for `token_s`, and, where its maker knew the call, for that call only. It says
   nothing of the call in clear. "Once" is kept per process; the rest holds wherever the secret is the same.
2. A vendor's password is derived from the secret, so it opens that vendor's door only, and the secret itself is never
   given away.
3. "On this machine" means: the peer and the name that it asks for are loopback, no proxy says that it stands between,
   no web page asks, and no public URL is set.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.requests import HTTPConnection

from voicebot.config_telephony import TelephonyConfig
from voicebot.errors import ConfigError, VoicebotError
from voicebot.near import on_this_machine

SECRET_CHARS = 16
"""Fewest of a secret."""
TOKEN_CHARS = 48
NONCE_BYTES, BOUND_BYTES, MAC_BYTES = 8, 8, 16
STAMP_BYTES = 4
ANY_CALL = bytes(BOUND_BYTES)
USED_LIMIT = 100_000
"""Used tokens that are remembered until they expire; beyond, no more are taken: nobody has so many calls a minute."""
PRUNE_AT = 256
"""Used tokens from which on the expired ones are looked for; doubled when most are not."""


class Refused(VoicebotError):
    """Whoever asks may not come in; the message says why and what would help."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What lets a call in. `bound`: which call it is for, ANY_CALL for any."""

    bound: bytes = ANY_CALL


class Access:
    """One server's. `wall_clock`: seconds since 1970, the same on all machines."""

    def __init__(
        self, config: TelephonyConfig, env: Mapping[str, str], wall_clock: Callable[[], float] = time.time
    ) -> None:
        """Raises: ConfigError, for a secret that can be guessed."""
        given = env.get(config.secret_env, "")
        if given and len(given) < SECRET_CHARS:
            raise ConfigError(
                f"{config.secret_env} has {len(given)} characters; give it at least {SECRET_CHARS} random ones"
            )
        self.has_secret = bool(given)
        self._secret = given.encode() or secrets.token_bytes(32)
        self._config = config
        self._clock = wall_clock
        self._used: dict[bytes, int] = {}
        self._prune_at = PRUNE_AT

    # ---- tokens

    def mint(self, vendor: str, call_sid: str = "") -> str:
        """A token for one call of this vendor, for this very one if `call_sid` is given."""
        stamp = int(self._clock() + self._config.token_s).to_bytes(STAMP_BYTES, "big")
        body = stamp + os.urandom(NONCE_BYTES) + (self._bound(vendor, call_sid) if call_sid else ANY_CALL)
        return base64.urlsafe_b64encode(body + self._mac(f"token {vendor}", body)[:MAC_BYTES]).decode("ascii")

    def redeem(self, vendor: str, token: str) -> Grant:
        """Use a token up. Raises: Refused."""
        try:
            raw = base64.b64decode(token, altchars=b"-_", validate=True) if len(token) == TOKEN_CHARS else b""
        except (binascii.Error, ValueError):
            raw = b""
        body, mac = raw[:-MAC_BYTES], raw[-MAC_BYTES:]
        if not raw or not hmac.compare_digest(mac, self._mac(f"token {vendor}", body)[:MAC_BYTES]):
            raise Refused("the token in the URL is not one of ours; ask the answer URL or `voicebot token` for one")
        self._use_up(body[: STAMP_BYTES + NONCE_BYTES], body)
        return Grant(body[-BOUND_BYTES:])

    def mint_uuid(self) -> uuid.UUID:
        """A token in the form of the only name that an AudioSocket call has."""
        body = int(self._clock() + self._config.token_s).to_bytes(STAMP_BYTES, "big") + os.urandom(4)
        return uuid.UUID(bytes=body + self._mac("uuid", body)[:8])

    def redeem_uuid(self, name: uuid.UUID) -> bool:
        """Use it up; False if it is none, too old, or was used."""
        body, mac = name.bytes[:8], name.bytes[8:]
        if not hmac.compare_digest(mac, self._mac("uuid", body)[:8]):
            return False
        try:
            self._use_up(body, body)
        except Refused:
            return False
        return True

    def fits(self, vendor: str, grant: Grant, call_sid: str) -> bool:
        """Whether the grant lets this call in."""
        return grant.bound == ANY_CALL or hmac.compare_digest(grant.bound, self._bound(vendor, call_sid))

    def _use_up(self, nonce: bytes, body: bytes) -> None:
        now = self._clock()
        expiry = int.from_bytes(body[:STAMP_BYTES], "big")
        if now > expiry:
            raise Refused(f"the token expired {now - expiry:.0f} s ago; telephony.token_s says how long one is good")
        if len(self._used) >= self._prune_at:
            self._used = {old: until for old, until in self._used.items() if until >= now}
            self._prune_at = max(PRUNE_AT, 2 * len(self._used))
        if nonce in self._used or len(self._used) >= USED_LIMIT:
            raise Refused("the token was used before; each is for one call")
        self._used[nonce] = expiry

    # ---- passwords

    def password(self, vendor: str) -> str:
        """The password with which this vendor's calls may come in for good, where its settings know no token."""
        return base64.urlsafe_b64encode(self._mac(f"password {vendor}", b"")).decode("ascii")[:32]

    def has_password(self, vendor: str, connection: HTTPConnection, header: str = "") -> bool:
        """Whether the request has it, as basic auth (any user name), as bearer, or in the vendor's own `header`."""
        kind, _, given = connection.headers.get("authorization", "").partition(" ")
        if header and header in connection.headers:
            given = connection.headers[header]
        elif kind.lower() == "basic":
            try:
                given = base64.b64decode(given, validate=True).decode().partition(":")[2]
            except ValueError:
                return False
        elif kind.lower() != "bearer":
            return False
        return hmac.compare_digest(given.encode(), self.password(vendor).encode())

    # ---- places

    def on_this_machine(self, connection: HTTPConnection) -> bool:
        """Rule 3."""
        alone = not self._config.public_url and "origin" not in connection.headers
        return alone and on_this_machine(connection)

    def public_url(self, connection: HTTPConnection, scheme: str) -> str:
        """`scheme`://host as the vendor sees us ("https", "wss"). A public URL in plain http stays plain."""
        given, _, host = self._config.public_url.rstrip("/").partition("://")
        if not host:
            host = connection.headers.get("host", "localhost")
            given = "http" if self.on_this_machine(connection) else "https"
        if given == "http":
            scheme = {"wss": "ws", "https": "http"}[scheme]
        return f"{scheme}://{host}"

    def _bound(self, vendor: str, call_sid: str) -> bytes:
        return self._mac(f"call {vendor}", call_sid.encode())[:BOUND_BYTES]

    def _mac(self, purpose: str, body: bytes) -> bytes:
        return hmac.new(self._secret, purpose.encode() + b"\0" + body, hashlib.sha256).digest()
