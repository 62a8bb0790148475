"""A model's raw text, as it streams, into speech, tool calls and what is dropped.

Recognised: Hermes and Qwen `<tool_call>{json}</tool_call>`; Llama 3 `{"name": ..., "parameters": ...}` as the whole
reply, with or without `<|python_tag|>` before it; `<think>...</think>`, which is dropped; stop strings, at which the
reply ends. Nothing of a marker is ever spoken, and ordinary text waits only while it may still be the start of one.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from voicebot.engines.base import TextDelta, ToolCall
from voicebot.errors import EngineBadOutput

TOOL_OPEN, TOOL_CLOSE = "<tool_call>", "</tool_call>"
THINK_OPEN, THINK_CLOSE = "<think>", "</think>"
PYTHON_TAG = "<|python_tag|>"

_BARE_CALL = ("{", '"name"')
"""The tokens that a Llama 3 tool call without a tag begins with; white space may stand between them."""
_Mode = Literal["text", "think", "tool", "json", "stopped"]


def held_back(text: str, markers: Sequence[str]) -> int:
    """How many characters at the end of `text` may be the beginning of a marker."""
    longest = max((len(marker) for marker in markers), default=0)
    for size in range(min(len(text), longest - 1), 0, -1):
        if any(marker.startswith(text[-size:]) for marker in markers):
            return size
    return 0


def parse_call(text: str, call_id: str) -> ToolCall:
    """One tool call from its JSON. Raises: EngineBadOutput."""
    try:
        return call_from(json.loads(text), call_id)
    except json.JSONDecodeError as error:
        raise EngineBadOutput(f"the model's tool call is not JSON ({error}): {text[:200]!r}") from error


def call_from(value: Any, call_id: str) -> ToolCall:
    """A parsed `{"name", "arguments" or "parameters"}` object; arguments may be JSON text. Raises: EngineBadOutput."""
    fields = value if isinstance(value, dict) else {}
    name = fields.get("name")
    arguments = fields.get("arguments", fields.get("parameters", {}))
    if isinstance(arguments, str):
        arguments = parse_arguments(arguments)
    if not isinstance(name, str) or not name or not isinstance(arguments, dict):
        raise EngineBadOutput(f"the model's tool call lacks a name or an arguments object: {str(value)[:200]!r}")
    return ToolCall(call_id, name, arguments)


def parse_arguments(text: str) -> Any:
    """Arguments given as JSON text; "" is none. Raises: EngineBadOutput."""
    try:
        return json.loads(text) if text.strip() else {}
    except json.JSONDecodeError as error:
        raise EngineBadOutput(f"the model's tool arguments are not JSON ({error}): {text[:200]!r}") from error


class ReplyParser:
    """Feed it the raw text piece by piece; it yields what may be spoken and the tool calls, in order."""

    def __init__(self, *, tools: bool, stop: Sequence[str] = (), thinking: bool = False) -> None:
        """`tools`: a bare JSON object may be a call. `thinking`: the prompt has already opened `<think>`."""
        self._bare_calls = tools
        self._stop = tuple(marker for marker in stop if marker)
        self._markers = (TOOL_OPEN, THINK_OPEN, PYTHON_TAG, *self._stop)
        self._mode: _Mode = "think" if thinking else "text"
        self._text = ""
        self._at_start = True
        self._call_numbers = itertools.count(1)
        self.calls = 0
        """Tool calls so far."""

    @property
    def stopped(self) -> bool:
        """A stop string was met; nothing more will come."""
        return self._mode == "stopped"

    def feed(self, text: str) -> Iterator[TextDelta | ToolCall]:
        """Raises: EngineBadOutput for a closed tool call that does not parse."""
        self._text += text
        while self._text:
            before = (self._mode, len(self._text))
            yield from self._advance()
            if before == (self._mode, len(self._text)):
                return

    def finish(self) -> Iterator[TextDelta | ToolCall]:
        """The model has ended. Raises: EngineBadOutput for a tool call that is cut short or does not parse."""
        if self._mode == "tool":
            yield self._call(self._text)
        elif self._mode == "json" or (self._mode == "text" and self._may_be_bare_call() == "yes"):
            yield from self._calls(self._text)
        elif self._mode == "text":
            yield from self._speak(self._text.rstrip())
        self._text = ""

    def _advance(self) -> Iterator[TextDelta | ToolCall]:
        """One step: consume as much as the mode can decide on."""
        if self._mode == "text":
            yield from self._advance_text()
        elif self._mode == "think":
            _, closed, rest = self._text.partition(THINK_CLOSE)
            keep = held_back(self._text, [THINK_CLOSE])
            self._text = rest if closed else self._text[len(self._text) - keep :]
            self._mode = "text" if closed else "think"
        elif self._mode == "tool" and TOOL_CLOSE in self._text:
            call, _, self._text = self._text.partition(TOOL_CLOSE)
            self._mode = "text"
            yield self._call(call)
        elif self._mode == "stopped":
            self._text = ""

    def _advance_text(self) -> Iterator[TextDelta | ToolCall]:
        if self._at_start:
            self._text = self._text.lstrip()
            verdict = self._may_be_bare_call()
            if verdict != "no":
                self._mode = "json" if verdict == "yes" else "text"
                return
        found = [(at, marker) for marker in self._markers if (at := self._text.find(marker)) >= 0]
        if found:
            at, marker = min(found)
            spoken, self._text = self._text[:at], self._text[at + len(marker) :]
            yield from self._speak(spoken.rstrip())
            self._mode = self._mode_after(marker)
        else:
            cut = len(self._text) - held_back(self._text, self._markers)
            cut = len(self._text[:cut].rstrip())  # white space goes out with what follows it
            spoken, self._text = self._text[:cut], self._text[cut:]
            yield from self._speak(spoken)

    def _mode_after(self, marker: str) -> _Mode:
        modes: dict[str, _Mode] = {TOOL_OPEN: "tool", THINK_OPEN: "think", PYTHON_TAG: "json"}
        return modes.get(marker, "stopped")

    def _may_be_bare_call(self) -> Literal["yes", "no", "maybe"]:
        """Whether the reply begins with `{ "name"`; "maybe" while too little of it is here."""
        if not self._bare_calls or not self._at_start:
            return "no"
        left = self._text
        for token in _BARE_CALL:
            left = left.lstrip()
            if not left.startswith(token):
                return "maybe" if token.startswith(left) else "no"
            left = left[len(token) :]
        return "yes"

    def _speak(self, text: str) -> Iterator[TextDelta]:
        if text:
            self._at_start = False
            yield TextDelta(text)

    def _call(self, text: str) -> ToolCall:
        call = parse_call(text, self._next_id())
        self._at_start = True  # white space between calls is not speech
        return call

    def _calls(self, text: str) -> Iterator[ToolCall]:
        """One or several objects, separated by white space or semicolons."""
        decoder = json.JSONDecoder()
        rest = text.strip()
        while rest:
            try:
                value, end = decoder.raw_decode(rest)
            except json.JSONDecodeError as error:
                raise EngineBadOutput(f"the model's tool call is not JSON ({error}): {rest[:200]!r}") from error
            yield call_from(value, self._next_id())
            rest = re.sub(r"^[\s;]+", "", rest[end:])

    def _next_id(self) -> str:
        self.calls += 1
        return f"call_{next(self._call_numbers)}"
