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
    named: dict[str, Any] = _renamed(event) | {"type": _BETA_NAMES.get(event["type"], event["type"])}
    if "session" in event:
        named["session"] = shown_to_beta(event["session"])
    if "response" in event:
        spoken = event["response"]["output_modalities"] == ["audio"]
        named["response"].pop("output_modalities")
        named["response"]["modalities"] = ["audio", "text"] if spoken else ["text"]
    return named


def _renamed(value: Any) -> Any:
    """Content parts under their old types, wherever they are."""
    if isinstance(value, dict):
        named = {key: _renamed(part) for key, part in value.items()}
        if named.get("type") in _BETA_PARTS and "event_id" not in named:
            named["type"] = _BETA_PARTS[named["type"]]
        return named
    return [_renamed(part) for part in value] if isinstance(value, list) else value
