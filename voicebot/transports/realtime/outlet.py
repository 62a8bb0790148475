"""Server events on their way out: numbered, and under their old names for clients of the beta protocol."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from voicebot.transports.realtime.refusals import error_event
from voicebot.transports.realtime.session_object import shown_to_beta

_BETA_NAMES = {
    "response.output_audio.delta": "response.audio.delta",
    "response.output_audio.done": "response.audio.done",
    "response.output_audio_transcript.delta": "response.audio_transcript.delta",
    "response.output_audio_transcript.done": "response.audio_transcript.done",
    "response.output_text.delta": "response.text.delta",
    "response.output_text.done": "response.text.done",
    "conversation.item.added": "conversation.item.created",
}
_BETA_PARTS = {"output_audio": "audio", "output_text": "text"}
Send = Callable[..., None]


class Outlet:
    """Puts events in `sink`. `seed` makes its ids unlike those of other sessions."""

    def __init__(self, sink: Callable[[dict[str, Any]], None], seed: str, beta: bool) -> None:
        self._sink = sink
        self._seed = seed
        self._beta = beta
        self._count = itertools.count(1)

    def new_id(self, kind: str) -> str:
        """E.g. "item_5f0c2a000007"."""
        return f"{kind}_{self._seed}{next(self._count):06x}"

    def send(self, kind: str, **fields: Any) -> None:
        """One server event of this type."""
        event = {"type": kind, "event_id": self.new_id("event"), **fields}
        if self._beta:
            if kind == "conversation.item.done":
                return
            event = _for_beta(event)
        self._sink(event)

    def error(
        self, message: str, code: str, param: str = "", event_id: str | None = None, kind: str = "invalid_request_error"
    ) -> None:
        """An `error` event; `event_id`: of the client's event that caused it."""
        self._sink({"event_id": self.new_id("event"), **error_event(message, kind, code, param, event_id)})


def _for_beta(event: dict[str, Any]) -> dict[str, Any]:
    """A client's own objects in it (tools, arguments) stay as they are."""
    named = event | {"type": _BETA_NAMES.get(event["type"], event["type"])}
    if "session" in event:
        named["session"] = shown_to_beta(event["session"])
    if "item" in event:
        named["item"] = _item_for_beta(event["item"])
    if "response" in event:
        response = dict(event["response"])
        spoken = response.pop("output_modalities") == ["audio"]
        response["modalities"] = ["audio", "text"] if spoken else ["text"]
        response["output"] = [_item_for_beta(item) for item in response["output"]]
        named["response"] = response
    return named


def _item_for_beta(item: dict[str, Any]) -> dict[str, Any]:
    if "content" not in item:
        return item
    parts = [part | {"type": _BETA_PARTS.get(part["type"], part["type"])} for part in item["content"]]
    return item | {"content": parts}
