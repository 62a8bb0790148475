"""The telephone bridges' doors: answer documents, media sockets, tokens, and calls that we fetch from Asterisk.

    ws    /telephony/VENDOR[/TOKEN]      one call's media
    http  /telephony/VENDOR/answer       the document that sends a call to such a socket (TwiML, TeXML, NCCO, ...)
    http  /telephony/VENDOR/token        a media URL, for exchanges that have no answer document
    http  /telephony/asterisk/connect    fetch a call that waits in Asterisk (`WebSocket/INCOMING`)
    http  /telephony/plivo/transfer/...  whom Plivo shall dial

Who may come in: a vendor's signature must be right wherever its secret is set, and is then enough. Without one it takes
a token, the vendor's password, or being on this machine; see `access.py`. Refusals are logged without tokens.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable, Mapping
from urllib.parse import quote

from fastapi import APIRouter, Request, Response, WebSocket
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, PlainTextResponse
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake
from websockets.typing import Subprotocol

from voicebot.direct_socket import direct
from voicebot.errors import ProtocolError
from voicebot.http_api import read_body
from voicebot.service import VoiceServer
from voicebot.telephony.access import Access, Grant, Refused
from voicebot.telephony.calls import carry
from voicebot.telephony.vendor import Asked, Vendor, xml
from voicebot.telephony.vendors_pbx import VENDORS, Asterisk
from voicebot.transports.sockets import DialledSocket

log = logging.getLogger(__name__)
CONNECT_S = 5.0
CONNECTION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,127}", re.ASCII)
NEEDED = (
    "use the URL with a token that /telephony/{0}/answer or `voicebot token {0}` gives, the password of "
    "`voicebot token {0} --password`, or set the vendor's secret"
)


class Doors:
    """One server's. Thread: the loop."""

    def __init__(self, server: VoiceServer, access: Access, env: Mapping[str, str]) -> None:
        """Raises: ConfigError, for secrets that cannot be used."""
        self._server = server
        self._access = access
        config = server.config.telephony
        self._vendors = {kind.name: kind(config, env) for kind in VENDORS}

    def router(self) -> APIRouter:
        router = APIRouter(tags=["telephony"])

        @router.get("/telephony/{vendor}/answer")
        @router.post("/telephony/{vendor}/answer")
        async def answer(vendor: str, request: Request) -> Response:
            """What a call of this vendor shall do: come to a media socket with a token of its own."""
            return await self._answer(self._find(vendor), request)

        @router.post("/telephony/{vendor}/token")
        async def token(vendor: str, request: Request) -> Response:
            """A media URL for one call; for `audiosocket` its UUID. As JSON, or alone with `Accept: text/plain`."""
            return self._token(vendor, request)

        @router.post("/telephony/asterisk/connect")
        async def fetch(request: Request, connection_id: str) -> Response:
            """Take the call that Asterisk holds under this MEDIA_WEBSOCKET_CONNECTION_ID."""
            return await self._fetch(request, connection_id)

        @router.get("/telephony/plivo/transfer/{token}")
        @router.post("/telephony/plivo/transfer/{token}")
        async def transfer(token: str, to: str, request: Request) -> Response:
            """The XML that dials `to`, which the token is bound to."""
            self._admit(lambda: self._redeem_transfer(token, to), "plivo", request)
            return xml(self._find("plivo").transfer_document(to))

        @router.websocket("/telephony/{vendor}")
        async def media(vendor: str, socket: WebSocket) -> None:
            await self._media(vendor, "", socket)

        @router.websocket("/telephony/{vendor}/{token}")
        async def media_with_token(vendor: str, token: str, socket: WebSocket) -> None:
            await self._media(vendor, token, socket)

        return router

    # ---- what they do

    async def _answer(self, vendor: Vendor, request: Request) -> Response:
        asked = Asked(request.method, self._url(request, "https"), _headers(request), await read_body(request))
        self._admit(lambda: self._webhook(vendor, request, asked), vendor.name, request)
        token = self._access.mint(vendor.name, asked.get(*vendor.call_fields) if vendor.call_fields else "")
        document = vendor.answer(f"{self._access.public_url(request, 'wss')}/telephony/{vendor.name}/{token}", asked)
        if document is None:
            raise HTTPException(404, f"{vendor.name} has no answer document; see /telephony/{vendor.name}/token")
        return document

    def _token(self, name: str, request: Request) -> Response:
        if name != "audiosocket":
            self._find(name)
        self._admit(lambda: self._known(name, request), name, request)
        if name == "audiosocket":
            given = {"uuid": str(self._access.mint_uuid())}
        else:
            url = f"{self._access.public_url(request, 'wss')}/telephony/{name}/{self._access.mint(name)}"
            given = {"url": url}
        if "text/plain" in request.headers.get("accept", ""):
            return PlainTextResponse(next(iter(given.values())))
        return JSONResponse(given | {"seconds": self._server.config.telephony.token_s})

    async def _media(self, name: str, token: str, socket: WebSocket) -> None:
        vendor = self._vendors.get(name)
        if vendor is None:
            await _refuse(socket, 404, f"no vendor {name[:40]!r}; there are {', '.join(self._vendors)}")
            return
        try:
            grant = self._upgrade(vendor, token, socket)
            wire = vendor.wire(dict(socket.query_params), uuid.uuid4().hex)
        except (Refused, ProtocolError) as error:
            log.warning("a %s socket from %s was refused: %s", name, _peer(socket), error)
            await _refuse(socket, 403 if isinstance(error, Refused) else 400, str(error))
            return
        if vendor.subprotocol and vendor.subprotocol not in socket.scope["subprotocols"]:
            await _refuse(socket, 400, f"the subprotocol {vendor.subprotocol!r} must be asked for")
            return
        await socket.accept(vendor.subprotocol or None)
        await carry(self._server, self._access, vendor, direct(socket), wire, grant, self._document_url(socket))

    async def _fetch(self, request: Request, connection_id: str) -> Response:
        self._admit(lambda: self._known("asterisk", request), "asterisk", request)
        if not CONNECTION_ID.fullmatch(connection_id):
            raise HTTPException(400, f"connection_id {connection_id[:40]!r} is none of Asterisk's")
        base = self._server.config.telephony.asterisk.url.rstrip("/")
        if not base:
            raise HTTPException(409, "set telephony.asterisk.url to Asterisk's HTTP server, e.g. ws://127.0.0.1:8088")
        url = f"{base}/media/{connection_id}"
        try:
            connection = await connect(
                url,
                subprotocols=[Subprotocol(Asterisk.subprotocol)],
                open_timeout=CONNECT_S,
                compression=None,
                proxy=None,
            )
        except (OSError, TimeoutError, InvalidHandshake) as error:
            raise HTTPException(502, f"Asterisk does not answer at {base}: {error or type(error).__name__}") from None
        vendor = self._find("asterisk")
        wire = vendor.wire(dict(request.query_params), "")
        work = carry(self._server, self._access, vendor, DialledSocket(connection), wire, Grant(), lambda _target: "")
        self._server.spawn(work, f"fetched {connection_id}")
        return JSONResponse({"connection_id": connection_id}, 202)

    # ---- who may

    def _webhook(self, vendor: Vendor, request: Request, asked: Asked) -> None:
        """Raises: Refused."""
        fault = vendor.webhook_fault(asked, time.time())
        if fault:
            raise Refused(fault)
        if fault is None:
            self._known(vendor.name, request)

    def _upgrade(self, vendor: Vendor, token: str, socket: WebSocket) -> Grant:
        """Raises: Refused."""
        asked = Asked("GET", self._url(socket, "wss"), _headers(socket))
        fault = vendor.upgrade_fault(asked, time.time())
        if fault:
            raise Refused(fault)
        if token:
            return self._access.redeem(vendor.name, token)
        if fault is None:
            self._known(vendor.name, socket)
        return Grant()

    def _known(self, name: str, connection: HTTPConnection) -> None:
        """Raises: Refused."""
        header = self._vendors[name].password_header if name in self._vendors else ""
        if not (self._access.has_password(name, connection, header) or self._access.on_this_machine(connection)):
            raise Refused(NEEDED.format(name))

    def _redeem_transfer(self, token: str, target: str) -> None:
        """Raises: Refused."""
        grant = self._access.redeem("plivo transfer", token)
        if not self._access.fits("plivo transfer", grant, target):
            raise Refused("the token is for another target")

    def _document_url(self, connection: HTTPConnection) -> Callable[[str], str]:
        public = self._access.public_url(connection, "https")

        def url(target: str) -> str:
            token = self._access.mint("plivo transfer", target)
            return f"{public}/telephony/plivo/transfer/{token}?to={quote(target, safe='')}"

        return url

    def _admit(self, check: Callable[[], None], name: str, request: Request) -> None:
        """Raises: HTTPException 403."""
        try:
            check()
        except Refused as error:
            log.warning("a request for %s from %s was refused: %s", name, _peer(request), error)
            raise HTTPException(403, str(error)) from None

    def _find(self, name: str) -> Vendor:
        """Raises: HTTPException 404."""
        if name not in self._vendors:
            raise HTTPException(404, f"no vendor {name[:40]!r}; there are {', '.join(self._vendors)}")
        return self._vendors[name]

    def _url(self, connection: HTTPConnection, scheme: str) -> str:
        """The request's URL as the vendor has signed it."""
        query = connection.scope["query_string"].decode("latin-1")
        path = (connection.scope.get("raw_path") or connection.scope["path"].encode()).decode("latin-1")
        return f"{self._access.public_url(connection, scheme)}{path}{'?' * bool(query)}{query}"


def _headers(connection: HTTPConnection) -> dict[str, str]:
    return {name.lower(): value for name, value in connection.headers.items()}


def _peer(connection: HTTPConnection) -> str:
    return connection.client.host if connection.client else "?"


async def _refuse(socket: WebSocket, status: int, words: str) -> None:
    """An HTTP answer in place of the upgrade."""
    await socket.send_denial_response(JSONResponse({"error": words}, status))
