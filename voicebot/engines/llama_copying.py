"""Holds the arguments of a tool call to the caller's words, for models that were trained to copy them.

A small model finds the right words but may miswrite a rare one ("drestin" became "d chanin"). While it writes an
argument, only tokens are allowed that go on with a stretch of what the caller said, and the argument may end only where
a word ends. Rules:
1. An argument is one stretch of one of the caller's turns, or of two turns, one after the other ("fifteen" "minutes").
2. Words that a tool's schema gives as `examples` of an argument are allowed too.
3. Case does not count. Where nothing would be allowed, everything is.

A model says that it was trained so by `voicebot.arguments` = "copied" in its GGUF; others write arguments freely.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from voicebot.engines.llama_c import Logits

COPIED_KEY, COPIED = "voicebot.arguments", "copied"
TURNS = 4
"""Latest turns of the caller that an argument may come from."""
_OPEN = re.compile(rb'[{,]\s*"(\w+)":\s*"([^"\\]*)$')
"""The argument that is being written: its name, and what there is of it."""
_CLOSES = re.compile(rb'"(?:\s*[,}]|$)')
"""The end of an argument, not the beginning of another's name."""
_WORD_ENDS = re.compile(rb"$|\s|[.,!?;:]+(\s|$)|'s\b")


class Pieces:
    """The bytes of every token, and the tokens of some bytes. One per model."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self.pieces = pieces
        self.tokens: dict[bytes, list[int]] = {}
        for token, piece in enumerate(pieces):
            self.tokens.setdefault(piece.lower(), []).append(token)
        self.closing = [token for token, piece in enumerate(pieces) if _CLOSES.match(piece)]
        self.longest = max(map(len, pieces), default=0)


class Copying:
    """The state of one reply; a `llama_sampling.Restriction`. Pure."""

    def __init__(self, pieces: Pieces, turns: Sequence[str], examples: Mapping[str, Sequence[str]]) -> None:
        """`turns`: what the caller said, the latest last; `examples`: of an argument by its name."""
        self._pieces = pieces
        self._turns = [_source(turn) for turn in turns[-TURNS:]]
        self._examples = {key.encode(): [_source(word) for word in words] for key, words in examples.items()}
        self._text = b""

    def allows(self, token: int) -> bool:
        """Whether the reply may go on with this token."""
        found = self._argument()
        if found is None:
            return True
        key, written = found
        more, quote, after = self._pieces.pieces[token].lower().partition(b'"')
        if quote and not _CLOSES.match(quote + after):
            return False
        return any(not quote or _ends_word(rest) for rest in self._rests(key, written + more))

    def restrict(self, logits: Logits) -> Logits:
        """A copy with -inf for every token that is not allowed."""
        found = self._argument()
        allowed = sorted(self._next(*found)) if found is not None else []
        if not allowed:
            return logits
        kept: Logits = np.full_like(logits, -np.inf)
        kept[allowed] = logits[allowed]
        return kept

    def accept(self, token: int) -> None:
        """The reply goes on with `token`."""
        self._text += self._pieces.pieces[token]

    def close(self) -> None:
        """Nothing is held."""

    def _argument(self) -> tuple[bytes, bytes] | None:
        _, call, arguments = self._text.partition(b'"arguments"')
        found = _OPEN.search(arguments) if call else None
        return (found[1], found[2].lower()) if found else None

    def _next(self, key: bytes, written: bytes) -> Iterator[int]:
        """The tokens that may follow. The first may bring the space before its word, or leave it out."""
        for rest in self._rests(key, written):
            for more in (rest,) if written else (rest, b" " + rest):
                for size in range(1, min(len(more), self._pieces.longest) + 1):
                    yield from self._pieces.tokens.get(more[:size], ())
            if _ends_word(rest) and written.strip():
                yield from self._pieces.closing

    def _rests(self, key: bytes, written: bytes) -> Iterator[bytes]:
        """What may come after `written`, for each place that it may have been copied from."""
        written = written if written[:1].isspace() else b" " + written
        for source in self._examples.get(key, ()):
            if source.startswith(written):
                yield source[len(written) :]
        for turn in self._turns:
            for start in _starts(turn, written):
                rest = turn[start + len(written) :]
                yield rest
                if _ends_word(rest) and written.strip():
                    yield from (other[at:] for other in self._turns if other is not turn for at in _starts(other, b" "))
        yield from self._second(written)

    def _second(self, written: bytes) -> Iterator[bytes]:
        """The same where `written` is a stretch of one turn and the beginning of a stretch of another."""
        for cut in (at for at in range(1, len(written)) if written[at : at + 1] == b" "):
            first, second = written[:cut], written[cut:]
            for turn in self._turns:
                if any(_ends_word(turn[start + cut :]) for start in _starts(turn, first)):
                    for other in self._turns:
                        if other is not turn:
                            yield from (other[start + len(second) :] for start in _starts(other, second))


def examples_of(tools: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The `examples` in a `tools` list of the OpenAI chat format, by argument."""
    found: dict[str, list[str]] = {}
    for tool in tools:
        properties = tool.get("function", {}).get("parameters", {}).get("properties", {})
        for key, schema in properties.items():
            found.setdefault(key, []).extend(str(word) for word in schema.get("examples", ()))
    return found


def _source(text: str) -> bytes:
    """A turn as it is compared: each word after one space, lower case, plain apostrophes."""
    return "".join(f" {word}" for word in text.lower().replace("\u2019", "'").replace('"', " ").split()).encode()


def _starts(source: bytes, written: bytes) -> Iterator[int]:
    """Where `written`, which begins with a space, stands in the source."""
    at = source.find(written)
    while at >= 0:
        yield at
        at = source.find(written, at + 1)


def _ends_word(rest: bytes) -> bool:
    return _WORD_ENDS.match(rest) is not None
