"""Anthropic's stream of a message, event by event, as its documentation shows it."""

from __future__ import annotations

import json
from typing import Any


def _event(kind: str, **fields: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n"


def word(text: str, index: int = 0) -> str:
    return _event("content_block_delta", index=index, delta={"type": "text_delta", "text": text})


def _stop(reason: str = "end_turn") -> str:
    delta = {"stop_reason": reason, "stop_sequence": None}
    return _event("message_delta", delta=delta, usage={"output_tokens": 3}) + _event("message_stop")


_USAGE = {"input_tokens": 4, "cache_read_input_tokens": 6, "cache_creation_input_tokens": 2, "output_tokens": 1}
_MESSAGE = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None,
            "stop_sequence": None, "usage": _USAGE}  # fmt: skip
_START = _event("message_start", message=_MESSAGE)
_BLOCK = _event("content_block_start", index=0, content_block={"type": "text", "text": ""})
BEGIN = _START + _BLOCK + _event("ping")
END = _event("content_block_stop", index=0) + _stop()


def _call(arguments: str) -> list[str]:
    """A tool call cut into pieces, after a word."""
    half = len(arguments) // 2
    block = {"type": "tool_use", "id": "call_9", "name": "set_timer", "input": {}}
    pieces = [{"type": "input_json_delta", "partial_json": part} for part in ("", arguments[:half], arguments[half:])]
    deltas = [_event("content_block_delta", index=0, delta=piece) for piece in pieces]
    return [_START, _event("content_block_start", index=0, content_block=block), *deltas, _stop("tool_use")]


REPLIES: dict[str, list[str]] = {
    "text": [BEGIN, word("It is"), word(" ten"), END],
    "long": [BEGIN, *[word("word ")] * 3, _stop("max_tokens")],
    "tool": _call('{"minutes": 10}'),
    "broken-tool": _call('{"minutes": '),
    "cut": [BEGIN, word("It is")],
    "garbage": ["event: message_start\ndata: {nonsense\n\n"],
    "overloaded": [BEGIN, _event("error", error={"type": "overloaded_error", "message": "hello there"})],
}
