"""Items of a Realtime conversation: what a client may add, and how each is shown."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from voicebot.core.history import Line, ToolUse
from voicebot.transports.realtime.refusals import Refused, refused

ITEMS_LIMIT = 2_000
"""Items that a session keeps; the oldest beyond can no longer be retrieved, truncated or deleted."""
WORDS_LIMIT = 32 * 1024
"""Characters of one item."""
Status = Literal["in_progress", "completed", "incomplete"]
Role = Literal["user", "assistant", "system"]


@dataclass(slots=True)
class Item:
    """One item. `turn`: of the call's history that holds its words, 0 for none (yet); `reply`: that speaks it."""

    id: str
    kind: Literal["message", "function_call", "function_call_output"]
    role: Role = "user"
    text: str = ""
    """Of a message its words; of a call its arguments, of an output its output, both as JSON text."""
    spoken: bool = False
    """Whether the words are a transcript of sound."""
    status: Status = "completed"
    call_id: str = ""
    name: str = ""
    turn: int = 0
    reply: int = 0
    sent_samples: int = 0
    """Of its sound, at the rate of "audio/pcm"."""

    def shown(self) -> dict[str, Any]:
        """As the protocol has it."""
        common = {"id": self.id, "object": "realtime.item", "type": self.kind}
        if self.kind == "function_call_output":
            return common | {"call_id": self.call_id, "output": self.text}
        if self.kind == "function_call":
            called = {"call_id": self.call_id, "name": self.name, "arguments": self.text}
            return common | {"status": self.status, **called}
        return common | {"status": self.status, "role": self.role, "content": [self.part()]}

    def part(self) -> dict[str, Any]:
        """A message's one content part."""
        way = "output" if self.role == "assistant" else "input"
        if self.spoken:
            return {"type": f"{way}_audio", "transcript": self.text}
        return {"type": f"{way}_text", "text": self.text}


@dataclass(slots=True)
class Items:
    """A conversation's items in order, at most ITEMS_LIMIT."""

    _items: dict[str, Item] = field(default_factory=dict)

    @property
    def last_id(self) -> str | None:
        return next(reversed(self._items), None)

    def add(self, item: Item) -> str | None:
        """Append; the id of the one before. Raises: Refused for an id that is taken."""
        if item.id in self._items:
            raise Refused(f"an item with the id '{item.id}' is there already", "item_already_exists", "item.id")
        before = self.last_id
        self._items[item.id] = item
        if len(self._items) > ITEMS_LIMIT:
            del self._items[next(iter(self._items))]
        return before

    def before(self, item: Item) -> str | None:
        """The id of the item before this one."""
        earlier = None
        for item_id in self._items:
            if item_id == item.id:
                return earlier
            earlier = item_id
        return None

    def find(self, item_id: Any, param: str = "item_id") -> Item:
        """Raises: Refused."""
        item = self._items.get(item_id) if isinstance(item_id, str) else None
        if item is None:
            raise Refused(f"no item {str(item_id)[:80]!r} in the conversation", "item_not_found", param)
        return item

    def remove(self, item: Item) -> None:
        del self._items[item.id]

    def call(self, call_id: str) -> Item | None:
        """The function call of this id."""
        return self._of_call("function_call", call_id)

    def output(self, call_id: str) -> Item | None:
        """The output of that function call."""
        return self._of_call("function_call_output", call_id)

    def _of_call(self, kind: str, call_id: str) -> Item | None:
        found = (item for item in self._items.values() if item.kind == kind and item.call_id == call_id)
        return next(found, None)

    def system_words(self) -> list[str]:
        """Instructions that the client has put into the conversation."""
        return [item.text for item in self._items.values() if item.kind == "message" and item.role == "system"]


class _Content(BaseModel):
    model_config = ConfigDict(extra="ignore")
    type: Literal["input_text", "output_text", "text", "input_audio", "output_audio", "audio"]
    text: str | None = Field(None, max_length=WORDS_LIMIT)
    transcript: str | None = Field(None, max_length=WORDS_LIMIT)


class _Given(BaseModel):
    model_config = ConfigDict(extra="ignore")
    id: str | None = Field(None, min_length=1, max_length=64)
    type: Literal["message", "function_call", "function_call_output"]
    role: Role | None = None
    content: list[_Content] | None = Field(None, max_length=32)
    call_id: str | None = Field(None, min_length=1, max_length=64)
    name: str | None = Field(None, min_length=1, max_length=64)
    arguments: str | None = Field(None, max_length=WORDS_LIMIT)
    output: str | None = Field(None, max_length=WORDS_LIMIT)


def read_item(given: Any, new_id: str, param: str = "item") -> Item:
    """What a client has sent; `new_id` where it names none. Raises: Refused."""
    try:
        read = _Given.model_validate(given)
    except ValidationError as error:
        raise refused(error, param) from None
    item_id = read.id or new_id
    if read.type == "function_call":
        _need(param, call_id=read.call_id, name=read.name, arguments=read.arguments)
        arguments_of(str(read.arguments), f"{param}.arguments")
        return Item(item_id, "function_call", call_id=str(read.call_id), name=str(read.name), text=str(read.arguments))
    if read.type == "function_call_output":
        _need(param, call_id=read.call_id, output=read.output)
        return Item(item_id, "function_call_output", call_id=str(read.call_id), text=str(read.output))
    _need(param, role=read.role, content=read.content)
    return Item(item_id, "message", read.role or "user", _words(read.content or [], param))


def _need(param: str, **fields: object) -> None:
    for name, value in fields.items():
        if value is None:
            where = f"{param}.{name}"
            raise Refused(f"missing required parameter: '{where}'", "missing_required_parameter", where)


def _words(content: list[_Content], param: str) -> str:
    words = []
    for at, part in enumerate(content):
        text = part.text if part.text is not None else part.transcript
        if text is None:
            where = f"{param}.content[{at}]"
            advice = "send its text or transcript, or the sound itself by input_audio_buffer.append"
            raise Refused(f"'{where}' has no words: {advice}", "unsupported_content", where)
        words.append(text)
    return " ".join(words).strip()


def arguments_of(text: str, param: str) -> dict[str, Any]:
    """Raises: Refused for what is no JSON object."""
    try:
        read = json.loads(text or "{}")
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict):
        raise Refused(f"'{param}' is not a JSON object: {text[:80]!r}", "invalid_value", param)
    return read


def value_of(output: str) -> dict[str, Any]:
    """A tool's output as its result in the history: an object as it is, anything else under `output`."""
    try:
        read = json.loads(output)
    except (ValueError, RecursionError):
        read = output
    return read if isinstance(read, dict) else {"output": read}


def lines_of(items: list[Item]) -> tuple[Line, ...]:
    """Items as the lines of a prompt; a call without its output, and the other way round, is left out."""
    outputs = {item.call_id: item.text for item in items if item.kind == "function_call_output"}
    lines: list[Line] = []
    for item in items:
        if item.kind == "message" and item.role != "system" and item.text:
            lines.append(Line("user" if item.role == "user" else "assistant", item.text, turn=item.turn))
        elif item.kind == "function_call" and item.call_id in outputs:
            value = value_of(outputs[item.call_id])
            use = ToolUse(item.call_id, item.name, arguments_of(item.text, "arguments"), value)
            lines += [Line("assistant", tool=use, turn=item.turn), Line("tool", tool=use, turn=item.turn)]
    return tuple(lines)
