"""Errors of the /v1 doors in OpenAI's form: {"error": {"message", "type", "param", "code"}}."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from voicebot.api_keys import Unauthorized
from voicebot.errors import VoicebotError
from voicebot.http_api import read_body
from voicebot.transports.realtime.reading import read_object
from voicebot.transports.realtime.refusals import Refused


class ApiError(VoicebotError):
    """A request to a /v1 door that is refused or failed."""

    def __init__(self, message: str, status: int = 400, code: str = "", param: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param


async def read_json(request: Request, limit: int) -> dict[str, Any]:
    """The JSON object that a request's body is; {} for none. Raises: ApiError."""
    try:
        body = await read_body(request, limit)
        return read_object(body) if body else {}
    except HTTPException as error:
        raise ApiError(error.detail, error.status_code, "too_long") from None
    except Refused as error:
        raise ApiError(str(error), 400, error.code, error.param) from None


def error_body(message: str, status: int, code: str = "", param: str = "") -> dict[str, dict[str, str | None]]:
    """The body of an error, or the last event of a stream that failed."""
    kind = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}.get(status)
    kind = kind or ("server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param or None, "code": code or None}}


def add_error_handlers(app: FastAPI) -> None:
    """Both kinds of refusal."""
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(Unauthorized, _unauthorized)


async def _api_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)
    return JSONResponse(error_body(str(error), error.status, error.code, error.param), error.status)


async def _unauthorized(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse(error_body(str(error), 401, "invalid_api_key"), 401, {"WWW-Authenticate": "Bearer"})
