"""One response of the Realtime protocol, as events in their order:

response.created
  output_item.added, conversation.item.added, content_part.added       the message, with its first word or sound
    (transcript.delta | audio.delta | text.delta)*
  output_item.added ... arguments.delta, arguments.done ... item.done  each function call, whole
  audio.done, transcript.done, content_part.done, output_item.done, conversation.item.done
response.done                                                          exactly once, and nothing after it
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from voicebot.transports.realtime.items import Item, Items, Status

Outcome = Literal["completed", "cancelled", "failed", "incomplete"]


@dataclass(slots=True)
class Response:
    """`items`: of the conversation that it joins, None out of band. `reply`: of the call's machine, 0 for a text."""

    id: str
    spoken: bool
    send: Callable[..., None]
    new_id: Callable[[str], str]
    items: Items | None
    shown_as: dict[str, Any]
    """What is always the same of its object: modalities, metadata, audio format, limit."""
    reply: int = 0
    text: str = ""
    """Sent so far."""
    output: list[Item] = field(default_factory=list)
    message: Item | None = None
    over: bool = False

    def created(self) -> None:
        self.send("response.created", response=self.shown("in_progress"))

    def write(self, text: str) -> None:
        """All of its words so far; what is new of them goes out. Words that were taken back cannot be: ignored."""
        if self.over or not text.startswith(self.text) or text == self.text:
            return
        delta, self.text = text[len(self.text) :], text
        kind = "response.output_audio_transcript.delta" if self.spoken else "response.output_text.delta"
        self.send(kind, **self._part_of(self._begun()), delta=delta)

    def sound(self, encoded: bytes, samples: int) -> None:
        """The next of its sound, in the client's format; `samples` at 24 kHz."""
        if self.over:
            return
        message = self._begun()
        message.sent_samples += samples
        delta = base64.b64encode(encoded).decode()
        self.send("response.output_audio.delta", **self._part_of(message), delta=delta)

    def call(self, call_id: str, name: str, arguments: str) -> Item:
        """The client shall run this function."""
        item = Item(self.new_id("item"), "function_call", status="in_progress", call_id=call_id, name=name)
        at = self._add(item)
        of = {"response_id": self.id, "item_id": item.id, "output_index": at, "call_id": call_id}
        self.send("response.function_call_arguments.delta", **of, delta=arguments)
        self.send("response.function_call_arguments.done", **of, name=name, arguments=arguments)
        item.text = arguments
        self._done(item, "completed")
        return item

    def finish(
        self, outcome: Outcome, reason: str = "", heard: str | None = None, usage: dict[str, Any] | None = None
    ) -> None:
        """The end. `heard`: the part of a spoken one's words that the caller heard, where it was cut."""
        if self.over:
            return
        if self.message is not None:
            self._end_message(self.message, "completed" if outcome == "completed" else "incomplete", heard)
        self.over = True
        self.send("response.done", response=self.shown(outcome, reason, usage))

    def shown(self, status: str, reason: str = "", usage: dict[str, Any] | None = None) -> dict[str, Any]:
        """The response object."""
        details: dict[str, Any] | None = None
        if status == "failed":
            details = {"type": "failed", "error": {"type": "server_error", "code": reason or None}}
        elif status in ("cancelled", "incomplete"):
            details = {"type": status, "reason": reason}
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": status,
            "status_details": details,
            "output": [item.shown() for item in self.output] if status != "in_progress" else [],
            "usage": usage,
            **self.shown_as,
        }

    def _begun(self) -> Item:
        if self.message is None:
            self.message = Item(self.new_id("item"), "message", "assistant", spoken=self.spoken, status="in_progress")
            self.message.reply = self.reply
            self._add(self.message, content=[])
            self.send("response.content_part.added", **self._part_of(self.message), part=_named(self.message.part()))
        return self.message

    def _add(self, item: Item, **instead: Any) -> int:
        """Announce an item; its place in the output. `instead`: fields of it that are not there yet."""
        self.output.append(item)
        at, shown = len(self.output) - 1, item.shown() | instead
        self.send("response.output_item.added", response_id=self.id, output_index=at, item=shown)
        if self.items is not None:
            before = self.items.add(item)
            self.send("conversation.item.added", previous_item_id=before, item=shown)
        return at

    def _end_message(self, message: Item, status: Status, heard: str | None) -> None:
        of = self._part_of(message)
        message.text = self.text
        if self.spoken:
            self.send("response.output_audio.done", **of)
            self.send("response.output_audio_transcript.done", **of, transcript=self.text)
        else:
            self.send("response.output_text.done", **of, text=self.text)
        self.send("response.content_part.done", **of, part=_named(message.part()))
        message.text = self.text if heard is None else heard
        self._done(message, status)

    def _done(self, item: Item, status: Status) -> None:
        item.status = status
        at = self.output.index(item)
        self.send("response.output_item.done", response_id=self.id, output_index=at, item=item.shown())
        if self.items is not None:
            self.send("conversation.item.done", previous_item_id=self.items.before(item), item=item.shown())

    def _part_of(self, message: Item) -> dict[str, Any]:
        at = self.output.index(message)
        return {"response_id": self.id, "item_id": message.id, "output_index": at, "content_index": 0}


def _named(part: dict[str, Any]) -> dict[str, Any]:
    """A content part as the part events have it: "audio" and "text", unlike within items."""
    return part | {"type": part["type"].removeprefix("output_")}
