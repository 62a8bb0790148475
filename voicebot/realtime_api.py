"""The doors of the Realtime protocol: the WebSocket, and ephemeral keys for browsers. See docs/realtime.md."""

from __future__ import annotations

import secrets
import time
from email.parser import BytesParser
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response, WebSocket
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from voicebot.api_errors import ApiError, read_json
from voicebot.api_keys import Keys, Unauthorized
from voicebot.calls import Unavailable
from voicebot.chat_messages import HYBRID
from voicebot.errors import ProtocolError
from voicebot.http_api import read_body
from voicebot.realtime_session import RealtimeSession
from voicebot.service import VoiceServer, turn_settings
from voicebot.transports.realtime.protocol import RealtimeProtocol
from voicebot.transports.realtime.reading import read_object
from voicebot.transports.realtime.refusals import Refused, refused
from voicebot.transports.realtime.session_object import About, shown
from voicebot.transports.realtime.settings import SessionSettings, first_settings, updated
from voicebot.transports.realtime.socket import POLICY_VIOLATION, RealtimeTransport
from voicebot.transports.realtime.webrtc import RealtimeWebRtcTransport

TRY_AGAIN_LATER = 1013
"""Source: IANA's registry of WebSocket close codes."""
PATH = "/v1/realtime"
BODY_LIMIT = 256 * 1024
SECRET = {
    "requestBody": {
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "expires_after": {
                            "type": "object",
                            "properties": {
                                "anchor": {"const": "created_at"},
                                "seconds": {"type": "integer", "minimum": 10, "maximum": 7200, "default": 600},
                            },
                        },
                        "session": {"type": "object", "description": "As in session.update; see docs/realtime.md."},
                    },
                }
            }
        }
    }
}
"""For /docs, which knows no `$defs`."""
OFFER = {"requestBody": {"content": {"application/sdp": {"schema": {"type": "string"}}}}}


class ExpiresAfter(BaseModel):
    """How long a key holds."""

    anchor: Literal["created_at"] = "created_at"
    seconds: Annotated[int, Field(ge=10, le=7200)] = 600


class SecretRequest(BaseModel):
    """What `client_secrets` takes."""

    model_config = ConfigDict(extra="forbid")
    expires_after: ExpiresAfter = ExpiresAfter()
    session: dict[str, Any] = Field(default_factory=dict)


def realtime_routes(server: VoiceServer, keys: Keys) -> APIRouter:
    """The WebSocket and the maker of ephemeral keys."""
    router = APIRouter(tags=["realtime"])

    @router.websocket(PATH)
    async def realtime(socket: WebSocket) -> None:
        """One session."""
        try:
            ephemeral = keys.check_realtime(socket)
        except Unauthorized as error:
            await socket.close(POLICY_VIOLATION, str(error))
            return
        offered = [name.strip() for name in socket.headers.get("sec-websocket-protocol", "").split(",")]
        await socket.accept(subprotocol="realtime" if "realtime" in offered else None)
        beta = "realtime=v1" in socket.headers.get("openai-beta", "") or "openai-beta.realtime-v1" in offered
        try:
            with server.calls.slot() as slot:
                transport = RealtimeTransport(
                    socket,
                    protocol_for(server, socket.query_params.get("model", ""), beta),
                    ephemeral.session if ephemeral else None,
                )
                record = await server.begin(slot, transport, kind=RealtimeSession)
        except Unavailable as error:
            await socket.close(TRY_AGAIN_LATER, str(error))
            return
        await record.over.wait()

    @router.post(f"{PATH}/calls", status_code=201, response_class=Response, openapi_extra=OFFER)
    @router.post(PATH, status_code=201, response_class=Response, include_in_schema=False)
    async def call(request: Request) -> Response:
        """Begin a session over WebRTC: an SDP offer, alone or with a session object, is answered by an SDP answer."""
        ephemeral = keys.check_realtime(request)
        sdp, session = _offered(request.headers.get("content-type", ""), await read_body(request, BODY_LIMIT))
        session = session or (ephemeral.session if ephemeral else {})
        _valid(session)
        session = {"model": request.query_params.get("model", ""), **session}
        try:
            answer_sdp, call_id = await _begin(server, sdp, session)
        except ProtocolError as error:
            raise ApiError(str(error), 400, "invalid_sdp", "sdp") from None
        except Unavailable as error:
            raise ApiError(str(error), 503, error.reason) from None
        place = {"Location": f"{PATH}/calls/{call_id}"}
        return Response(answer_sdp, 201, place, media_type="application/sdp")

    @router.post(f"{PATH}/calls/{{call_id}}/hangup")
    async def hang_up(request: Request, call_id: str) -> Response:
        """End a session that was begun at /calls."""
        keys.check(request)
        if not server.calls.hang_up(call_id, "the client hung up"):
            raise ApiError(f"no call {call_id[:60]!r} is going on", 404, "call_not_found", "call_id")
        return Response()

    @router.post(f"{PATH}/client_secrets", openapi_extra=SECRET)
    async def client_secrets(request: Request) -> JSONResponse:
        """Make an ephemeral key for a browser, with the settings of its session."""
        keys.check(request)
        asked = await _asked(request)
        settings = _valid(asked.session)
        made = keys.make_ephemeral(asked.expires_after.seconds, asked.session)
        session = shown(settings, about(server), f"sess_{secrets.token_hex(8)}", made.expires_at_s)
        return JSONResponse({"value": made.value, "expires_at": made.expires_at_s, "session": session})

    return router


async def _begin(server: VoiceServer, sdp: str, session: dict[str, Any]) -> tuple[str, str]:
    """A WebRTC session: our SDP answer and the call's id. Raises: ProtocolError, Unavailable."""
    with server.calls.slot() as slot:
        protocol = protocol_for(server, str(session.get("model", "")), over_webrtc=True)
        transport = await RealtimeWebRtcTransport.answer_with(sdp, protocol, session, server.ice_servers)
        try:
            record = await server.begin(slot, transport, kind=RealtimeSession)
        except BaseException:
            await transport.shut()
            raise
    return transport.answer_sdp, record.call_id


def _valid(session: Any) -> SessionSettings:
    """Raises: ApiError."""
    try:
        return updated(first_settings(), session)
    except Refused as error:
        raise ApiError(str(error), 400, error.code, error.param) from None


def _offered(content_type: str, body: bytes) -> tuple[str, dict[str, Any]]:
    """The SDP offer, and the session object if one came with it. Raises: ApiError."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/sdp":
        return body.decode(errors="replace"), {}
    if kind != "multipart/form-data":
        raise ApiError("send the offer as application/sdp, or sdp and session as multipart/form-data", 415)
    form = BytesParser().parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    fields: dict[str, str] = {}
    for part in form.walk():
        name, content = part.get_param("name", header="content-disposition"), part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes):
            fields[name] = content.decode(errors="replace")
    if "sdp" not in fields:
        raise ApiError("the form has no field 'sdp'", 400, "missing_required_parameter", "sdp")
    try:
        return fields["sdp"], read_object(fields.get("session") or "{}")
    except Refused as error:
        raise ApiError(f"the field 'session': {error}", 400, error.code, "session") from None


async def _asked(request: Request) -> SecretRequest:
    """Raises: ApiError."""
    try:
        return SecretRequest.model_validate(await read_json(request, BODY_LIMIT))
    except ValidationError as error:
        fault = refused(error, "")
        raise ApiError(str(fault), 400, fault.code, fault.param) from None


def about(server: VoiceServer, model: str = "") -> About:
    """What a session object shows of us. `model`: that a client asked for; only a member's name makes a difference."""
    member = model if model in [member.name for member in server.fleet] else ""
    return About(member or HYBRID, server.models["tts"], server.models["stt"], member)


def protocol_for(
    server: VoiceServer, model: str = "", beta: bool = False, over_webrtc: bool = False
) -> RealtimeProtocol:
    """A new session's."""
    expires_at_s = round(time.time() + server.config.server.call_limit_s)
    own = turn_settings(server.config)
    return RealtimeProtocol(about(server, model), own, secrets.token_hex(4), expires_at_s, beta, over_webrtc)
