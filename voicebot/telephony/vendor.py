"""What the doors must know of a vendor: its checks, its answer document, and what its HTTP interface does to a call.

What a vendor lacks is the empty answer of `Vendor`. A check says None where it cannot tell (the vendor has none, or its
secret is not set), "" where the request is genuine, else what is wrong with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from starlette.responses import Response

from voicebot.config_telephony import TelephonyConfig
from voicebot.transports.telephony.rest import RestRequest
from voicebot.transports.telephony.wire import Started, Wire


@dataclass(frozen=True)
class Asked:
    """A request as its sender sees it. `url`: with our public name; header names are in small letters."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)

    @cached_property
    def form(self) -> dict[str, str]:
        """What was posted as a form."""
        if self.headers.get("content-type", "").startswith("application/json"):
            return {}
        return dict(parse_qsl(self.body.decode(errors="replace"), keep_blank_values=True, max_num_fields=200))

    @cached_property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.url.partition("?")[2], keep_blank_values=True, max_num_fields=200))

    def get(self, *names: str) -> str:
        """The first of these fields that is there, in the query, the form or the JSON body; "" if none is."""
        for name in names:
            for fields in (self.query, self.form, self._json):
                value = fields.get(name)
                if isinstance(value, str) and value:
                    return value
        return ""

    @cached_property
    def _json(self) -> dict[str, Any]:
        try:
            read = json.loads(self.body or b"{}")
        except (ValueError, RecursionError):
            return {}
        return read if isinstance(read, dict) else {}


class Vendor:
    """One vendor of one server."""

    name: ClassVar[str]
    subprotocol: ClassVar[str] = ""
    """What the WebSocket must agree on."""
    password_header: ClassVar[str] = ""
    """Where a media socket may have the vendor's password beside the usual places."""
    call_fields: ClassVar[Sequence[str]] = ()
    """Where a webhook names the call as its stream will be named; the media URL is then for that call only."""

    def __init__(self, config: TelephonyConfig, env: Mapping[str, str]) -> None:
        self._config = config
        self._env = env

    def wire(self, query: Mapping[str, str], given_id: str) -> Wire:
        """The codec of a new stream. `query`: of the media URL; `given_id`: for a call that has no name of its own.

        Raises: ProtocolError, for a query that makes no sense.
        """
        raise NotImplementedError

    def answer(self, stream_url: str, asked: Asked) -> Response | None:
        """The document that sends the call to `stream_url`; None: the vendor asks for none."""
        return None

    def webhook_fault(self, asked: Asked, now_s: float) -> str | None:
        """Whether the request for an answer is the vendor's."""
        return None

    def upgrade_fault(self, asked: Asked, now_s: float) -> str | None:
        """Whether the media socket is the vendor's."""
        return None

    def hang_up(self, started: Started) -> RestRequest | None:
        """What ends the call beside closing its socket."""
        return None

    def transfer(self, started: Started, target: str, document_url: str) -> RestRequest | None:
        """What hands the caller over. `document_url`: where we tell the vendor to dial `target`, if it must ask."""
        return None

    def send_digits(self, started: Started, digits: str) -> RestRequest | None:
        """What plays DTMF keys into the caller's line, where the stream itself cannot."""
        return None

    def transfer_document(self, target: str) -> str:
        """What is found at `document_url`; "" where the vendor does not ask."""
        return ""

    def secret(self, env_name: str) -> str:
        return self._env.get(env_name, "")


def xml(document: str) -> Response:
    return Response(document, media_type="application/xml")


def numbers(asked: Asked) -> dict[str, str]:
    """The two numbers of a webhook in the style of TwiML, as parameters of the stream."""
    told = {"caller": asked.get("From"), "called": asked.get("To")}
    return {name: number for name, number in told.items() if number}
