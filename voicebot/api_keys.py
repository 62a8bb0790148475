"""Who may use the doors for OpenAI's clients: keys from the environment, and ephemeral ones made from them.

Rules:
1. With keys set, everybody needs one. Without, only clients on this machine are let in, and of web pages only our own:
   a page from elsewhere in a browser on this machine is somebody else.
2. An ephemeral key opens the Realtime doors only, until it expires, with the session settings that it was made with.
"""

from __future__ import annotations

import hmac
import os
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import HTTPConnection

from voicebot.near import is_own_page, on_this_machine

EPHEMERAL_LIMIT = 10_000
"""Ephemeral keys that are remembered; the oldest beyond are forgotten."""
SUBPROTOCOL_KEY = "openai-insecure-api-key."
"""How a browser, which cannot set headers on a WebSocket, sends its key. Source: OpenAI's Realtime guide."""


class Unauthorized(Exception):
    """The client has no key, or a wrong one. The message says what to do."""


@dataclass(frozen=True, slots=True)
class Ephemeral:
    """A key that is soon over. `expires_at_s`: Unix time."""

    value: str
    expires_at_s: int
    session: dict[str, Any]


@dataclass(slots=True)
class Keys:
    """One server's. `env`: the variable that holds the lasting ones."""

    env: str
    now: Callable[[], float] = time.time
    _ephemeral: OrderedDict[str, Ephemeral] = field(default_factory=OrderedDict)

    def make_ephemeral(self, seconds: int, session: dict[str, Any]) -> Ephemeral:
        """A new key that holds for `seconds`."""
        made = Ephemeral(f"ek_{secrets.token_hex(16)}", round(self.now()) + seconds, session)
        self._ephemeral[made.value] = made
        if len(self._ephemeral) > EPHEMERAL_LIMIT:
            self._ephemeral.popitem(last=False)
        return made

    def check(self, connection: HTTPConnection) -> None:
        """A door for lasting keys. Raises: Unauthorized."""
        self._check(connection, given_key(connection))

    def check_realtime(self, connection: HTTPConnection) -> Ephemeral | None:
        """A door for both; the ephemeral key that was used. Raises: Unauthorized."""
        given = given_key(connection)
        found = self._ephemeral.get(given)
        if found is not None:
            if found.expires_at_s <= self.now():
                raise Unauthorized("the ephemeral key has expired; make a new one at /v1/realtime/client_secrets")
            return found
        self._check(connection, given)
        return None

    def _check(self, connection: HTTPConnection, given: str) -> None:
        keys = [key.strip() for key in os.environ.get(self.env, "").split(",") if key.strip()]
        if any(hmac.compare_digest(given.encode(), key.encode()) for key in keys):
            return
        if keys:
            raise Unauthorized("the API key is wrong or missing; send it as Authorization: Bearer KEY")
        if not (on_this_machine(connection) and is_own_page(connection)):
            raise Unauthorized(f"without keys in {self.env}, only clients on the server's own machine are let in")


def given_key(connection: HTTPConnection) -> str:
    """The key that a client has sent, "" for none."""
    scheme, _, key = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return key.strip()
    offered = [name.strip() for name in connection.headers.get("sec-websocket-protocol", "").split(",")]
    sent = (name.removeprefix(SUBPROTOCOL_KEY) for name in offered if name.startswith(SUBPROTOCOL_KEY))
    return next(sent, "")
