"""Twilio's two doors: the TwiML that sends a call here, and the WebSocket that the call then comes through.

With an auth token in the environment both check Twilio's signature, and a call that we end is also ended by REST, since
closing the socket would only let Twilio go on to the next TwiML verb.
"""

from __future__ import annotations

import logging
import os
from urllib.parse import parse_qsl

import httpx
from fastapi import APIRouter, Request, Response, WebSocket
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from voicebot.calls import Unavailable
from voicebot.errors import ProtocolError
from voicebot.http_api import read_body
from voicebot.service import VoiceServer
from voicebot.transports.telephony import twilio
from voicebot.transports.telephony.socket import SocketTransport
from voicebot.transports.telephony.wire import Started

log = logging.getLogger(__name__)
STREAM_PATH = "/telephony/twilio"
VOICE_PATH = "/telephony/twilio/voice"
REST_TIMEOUT_S = 5.0
TRY_AGAIN_LATER = 1013
"""Source: IANA's registry of WebSocket close codes."""


def twilio_routes(server: VoiceServer) -> APIRouter:
    """Both doors."""
    router = APIRouter()

    @router.api_route(VOICE_PATH, methods=["GET", "POST"])
    async def voice(request: Request) -> Response:
        """TwiML: stream this call to us."""
        form = parse_qsl((await read_body(request)).decode(errors="replace"), keep_blank_values=True)
        query = f"?{request.url.query}" if request.url.query else ""
        _check_signature(server, request, "https", VOICE_PATH + query, dict(form))
        return Response(twilio.twiml(_public_url(server, request, "wss") + STREAM_PATH), media_type="application/xml")

    @router.websocket(STREAM_PATH)
    async def stream(socket: WebSocket) -> None:
        """One call."""
        try:
            _check_signature(server, socket, "wss", STREAM_PATH, {})
        except HTTPException as error:
            await socket.close(1008, error.detail)
            return
        await socket.accept()
        try:
            with server.calls.slot() as slot:
                transport = SocketTransport(socket, twilio.TwilioWire())
                try:
                    started = await transport.open()
                except ProtocolError as error:
                    transport.refuse(str(error), error.close_code)
                    await transport.shut()
                    return
                if started is None:
                    await transport.shut()
                    return
                record = await server.begin(slot, transport, alias=started.call_sid)
        except Unavailable as error:
            await socket.close(TRY_AGAIN_LATER, str(error))
            return
        await record.over.wait()
        if transport.ended_by_us:
            await _hang_up(server, started)

    return router


def _auth_token(server: VoiceServer) -> str:
    return os.environ.get(server.config.twilio.auth_token_env, "")


def _public_url(server: VoiceServer, connection: HTTPConnection, scheme: str) -> str:
    """`scheme`://host as Twilio sees us. A public URL with plain http (a test) stays plain."""
    public = server.config.twilio.public_url.rstrip("/")
    given, _, host = public.partition("://") if public else ("", "", connection.headers.get("host", "localhost"))
    if given == "http":
        scheme = {"wss": "ws", "https": "http"}[scheme]
    return f"{scheme}://{host}"


def _check_signature(
    server: VoiceServer, connection: HTTPConnection, scheme: str, path: str, params: dict[str, str]
) -> None:
    """Raises: HTTPException 403. Without an auth token nothing is checked."""
    token = _auth_token(server)
    given = connection.headers.get("x-twilio-signature", "")
    if token and not twilio.signature_matches(given, token, _public_url(server, connection, scheme) + path, params):
        raise HTTPException(403, "the X-Twilio-Signature header does not sign this request; check twilio.public_url")


async def _hang_up(server: VoiceServer, started: Started) -> None:
    token, account = _auth_token(server), server.config.twilio.account_sid or started.account_sid
    if not (token and account):
        return
    url, form = twilio.hang_up_request(account, started.call_sid)
    try:
        async with httpx.AsyncClient(timeout=REST_TIMEOUT_S) as client:
            response = await client.post(url, data=form, auth=(account, token))
    except httpx.HTTPError as error:
        log.warning("Twilio was not told to end call %s: %s", started.call_sid, error)
        return
    if response.status_code not in (200, 404):
        log.warning("Twilio did not end call %s: HTTP %d", started.call_sid, response.status_code)
