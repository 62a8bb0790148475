"""JSON from a stranger: an object of bounded depth whose texts can be written anywhere. Pure."""

from __future__ import annotations

import json
from typing import Any

from voicebot.transports.realtime.refusals import Refused

DEPTH_LIMIT = 64
"""Objects and lists within each other."""


def read_object(text: str | bytes) -> dict[str, Any]:
    """Raises: Refused. Halves of surrogate pairs, which UTF-8 cannot hold, are replaced."""
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        raise Refused("the message is not JSON", "invalid_json") from None
    if not isinstance(read, dict):
        raise Refused("the message is not a JSON object", "invalid_json")
    if _is_deeper(read, DEPTH_LIMIT):
        raise Refused(f"the message is nested more than {DEPTH_LIMIT} deep", "invalid_json")
    escape = "\\u" if isinstance(text, str) else b"\\u"
    whole: dict[str, Any] = _whole(read) if escape in text else read  # type: ignore[operator]
    return whole


def _is_deeper(value: Any, than: int) -> bool:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return than == 0 or any(_is_deeper(part, than - 1) for part in parts)


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_whole(key): _whole(part) for key, part in value.items()}
    return [_whole(part) for part in value] if isinstance(value, list) else value
