"""Why a client's event is refused, in the form of OpenAI's `error` event."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from voicebot.errors import ProtocolError


class Refused(ProtocolError):
    """One event of the client's cannot be carried out; the call goes on. `param`: the field at fault, "" for none."""

    def __init__(self, message: str, code: str = "invalid_value", param: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.param = param


def refused(error: ValidationError, within: str) -> Refused:
    """The first fault of a validation. `within`: the field whose parts were validated, e.g. "session"."""
    fault = error.errors(include_url=False)[0]
    parts = [str(part) for part in fault["loc"] if part not in ("server_vad", "semantic_vad")]
    param = ".".join(part for part in [within, *parts] if part)
    if fault["type"] == "extra_forbidden":
        return Refused(f"unknown parameter: '{param}'", "unknown_parameter", param)
    if fault["type"] == "missing":
        return Refused(f"missing required parameter: '{param}'", "missing_required_parameter", param)
    given = repr(fault["input"])
    shown = given if len(given) <= 80 else f"{given[:80]}..."
    said = str(fault["ctx"]["error"]) if fault["type"] == "value_error" else fault["msg"]
    return Refused(f"invalid value for '{param}': {shown}: {said}", "invalid_value", param)


def error_event(message: str, kind: str, code: str, param: str, event_id: str | None) -> dict[str, Any]:
    """`event_id`: of the client's event that caused it, None where the client gave none."""
    fault = {"type": kind, "code": code or None, "message": message, "param": param or None, "event_id": event_id}
    return {"type": "error", "error": fault}
