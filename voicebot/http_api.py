"""The HTTP routes beside the telephone's: offers, accounts of calls, health, metrics, and the page itself.

Errors are `{"error": "..."}` in words. Transcripts and traces are for clients on this machine unless
`server.api_remote` is set. See docs/events.md.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from voicebot.calls import CallRecord, Unavailable
from voicebot.errors import ConfigError, ProtocolError
from voicebot.near import is_own_page, on_this_machine
from voicebot.service import VoiceServer
from voicebot.transports.webrtc import WebRtcTransport

BODY_LIMIT = 64 * 1024
CSP = (
    "default-src 'self'; connect-src 'self'; media-src 'self' blob:; img-src 'self' data:; style-src 'self'; "
    "script-src 'self'"
)
_PACKAGE = Path(__file__).resolve().parent


def add_routes(app: FastAPI, server: VoiceServer) -> None:
    """Hang everything of this file on `app`; the page last, because it takes every other path."""
    app.include_router(_public(server))
    app.include_router(_private(server))
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ProtocolError, _bad_request)
    app.add_exception_handler(ConfigError, _not_set_up)
    app.add_exception_handler(Unavailable, _unavailable)
    app.add_middleware(PageHeaders)
    for web in (_PACKAGE / "web", _PACKAGE.parent / "web"):
        if (web / "index.html").is_file():
            app.mount("/", StaticFiles(directory=web, html=True), name="page")
            return


def _public(server: VoiceServer) -> APIRouter:
    router = APIRouter()

    @router.get("/healthz")
    async def health() -> JSONResponse:
        """Ready only after every engine is loaded and has done a dummy turn."""
        status = {"status": server.status} | ({"error": server.error} if server.error else {})
        return JSONResponse(status, 200 if server.status == "ready" else 503)

    @router.get("/metrics")
    async def metrics() -> Response:
        """Prometheus' text format."""
        return Response(server.metrics.render(), media_type="text/plain; version=0.0.4")

    @router.get("/api/info")
    async def info() -> dict[str, Any]:
        """What answers here, and the ICE servers that the page shall use."""
        servers = [ice.model_dump(exclude_none=True) for ice in server.config.webrtc.ice_servers]
        return {"type": "call", **server.info, "ice_servers": servers}

    @router.post("/api/offer")
    async def offer(request: Request) -> dict[str, str]:
        """Begin a WebRTC call: `{"sdp", "type": "offer"}` -> `{"sdp", "type": "answer", "call_id"}`."""
        with server.calls.slot() as slot:
            transport = await WebRtcTransport.answer(await _offered_sdp(request), server.ice_servers)
            try:
                record = await server.begin(slot, transport)
            except BaseException:
                await transport.shut()
                raise
        return {"sdp": transport.answer_sdp, "type": "answer", "call_id": record.call_id}

    return router


def _private(server: VoiceServer) -> APIRouter:
    router = APIRouter()

    def find(request: Request, call_id: str) -> CallRecord:
        here = not server.config.telephony.public_url and on_this_machine(request) and is_own_page(request)
        if not (server.config.server.api_remote or here):
            raise HTTPException(403, "transcripts are for clients on this machine; set server.api_remote to change it")
        record = server.calls.find(call_id)
        if record is None:
            raise HTTPException(404, f"no call {call_id[:60]!r} among the last ones")
        return record

    @router.get("/api/calls/{call_id}")
    async def account(request: Request, call_id: str) -> dict[str, Any]:
        """A call's turns so far, by call id or the vendor's call SID."""
        return find(request, call_id).account()

    @router.get("/api/calls/{call_id}/trace")
    async def trace(request: Request, call_id: str) -> FileResponse:
        """A call's trace so far, as JSON lines."""
        record = find(request, call_id)
        await server.flush_traces()
        if not await asyncio.to_thread(Path(record.trace).is_file):
            raise HTTPException(404, f"the trace of call {record.call_id} has been deleted (trace.keep)")
        return FileResponse(record.trace, media_type="application/x-ndjson")

    return router


async def read_body(request: Request, limit: int = BODY_LIMIT) -> bytes:
    """The request's body. Raises: HTTPException 413 as soon as it is longer than `limit`."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > limit:
            raise HTTPException(413, f"the request body is longer than {limit} bytes")
    return body


async def _offered_sdp(request: Request) -> str:
    """Raises: HTTPException 413 or 415; ProtocolError."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(415, "send the offer as application/json")
    try:
        offer = json.loads(await read_body(request))
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"the offer is not JSON: {error}") from None
    if not isinstance(offer, dict) or offer.get("type") != "offer" or not isinstance(offer.get("sdp"), str):
        raise ProtocolError('the offer must be {"type": "offer", "sdp": "..."}')
    return str(offer["sdp"])


async def _http_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _bad_request(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": str(error)}, 400)


async def _not_set_up(_request: Request, error: Exception) -> JSONResponse:
    """Something that only this request needs is missing here."""
    return JSONResponse({"error": str(error)}, 503)


async def _unavailable(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Unavailable)
    return JSONResponse({"error": str(error)}, 503, {"Retry-After": str(error.retry_s)})


class PageHeaders:
    """Nothing is cached, and the page may load from nowhere else. The API's own documentation page may."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Cache-Control"] = "no-cache"
                headers["X-Content-Type-Options"] = "nosniff"
                if not scope["path"].startswith("/docs"):
                    headers["Content-Security-Policy"] = CSP
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)
