"""Personal details out of a prompt before it leaves, and back into the answer as it streams in.

    messages --find--> spans --Placeholders--> "<EMAIL_ADDRESS_1>" --> remote model --> Restorer --> the caller's words

Rules:
1. The same value has the same placeholder for a whole call, in whichever form it is said or written.
2. A value found once is taken out wherever it occurs, also where its shape alone would not give it away.
3. It fails closed: whatever goes wrong is `EgressDenied`, and the message says which kind of error, never which words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from voicebot.brain import redaction_presidio
from voicebot.brain.redaction_rules import addresses, births, emails, internet, numbers, people
from voicebot.brain.redaction_spoken import Run, Token, runs, tokens_of, written
from voicebot.core.labels import Label
from voicebot.engines.base import LlmChunk, Message, TextDelta, ToolCall
from voicebot.errors import EgressDenied

RANK = ("EMAIL_ADDRESS", "CREDIT_CARD", "IBAN_CODE", "US_SSN", "US_ITIN", "UK_NINO", "ADDRESS", "DATE_OF_BIRTH",
        "PHONE_NUMBER", "IP_ADDRESS", "MAC_ADDRESS", "CRYPTO", "PERSON", "NUMBER", "CODE", "SPELLED")  # fmt: skip
"""What a stretch is called that several finders found: the first of these."""
FOUND_KEPT = 512
"""Texts whose findings are remembered: a prompt repeats its history at every turn."""
KNOWN_LENGTH = 3
"""Shortest part of a known name that is taken out by itself."""
EXPLAINED = "Words such as <PERSON_1> stand for details that were taken out. Use them as they are, brackets included."


@dataclass(frozen=True, slots=True)
class Finding:
    """A personal detail: characters [start, stop) of the text."""

    kind: str
    start: int
    stop: int


class Finder:
    """Finds personal details in one text. Thread: any; about a millisecond for an utterance not seen before."""

    def __init__(self, recognise: Callable[[str], redaction_presidio.Spans] | None = None) -> None:
        """`recognise`: over written text; None loads Presidio (2 s, 100 MB). Raises: ImportError without it."""
        self._recognise = redaction_presidio.load() if recognise is None else recognise
        self.find = lru_cache(FOUND_KEPT)(self._find)

    def _find(self, text: str) -> tuple[Finding, ...]:
        """In order, none overlapping."""
        tokens = tokens_of(text)
        said = runs(tokens)
        own = [*emails(tokens), *addresses(tokens, said), *births(tokens), *numbers(tokens, said)]
        own += [*people(tokens), *internet(tokens, said)]
        found = [Finding(kind, tokens[first].start, tokens[stop - 1].stop) for kind, first, stop in own]
        long = [run for run in said if len(run.written) > 1]
        forms = written(text, [(*_place(tokens, run), _form(text, tokens, run)) for run in long])
        found += [Finding(kind, *forms.source(start, stop)) for kind, start, stop in self._recognise(forms.text)]
        return tuple(_merged(found))


def _place(tokens: Sequence[Token], run: Run) -> tuple[int, int]:
    return tokens[run.first].start, tokens[run.stop - 1].stop


def _form(text: str, tokens: Sequence[Token], run: Run) -> str:
    """A run in writing. One that is written already keeps its punctuation, by which recognisers know its kind."""
    if any(len(token.word) > 1 and token.word.isalpha() for token in tokens[run.first : run.stop]):
        return run.written.upper()
    start, stop = _place(tokens, run)
    return (
        text[start:stop] if any(len(token.word) > 1 for token in tokens[run.first : run.stop]) else run.written.upper()
    )


def _merged(found: list[Finding]) -> list[Finding]:
    """Stretches that touch become one, named by the most telling of them."""
    merged: list[Finding] = []
    for finding in sorted(found, key=lambda f: (f.start, -f.stop)):
        if merged and finding.start < merged[-1].stop:
            last = merged[-1]
            kind = min(last.kind, finding.kind, key=_rank)
            merged[-1] = Finding(kind, last.start, max(last.stop, finding.stop))
        else:
            merged.append(finding)
    return merged


def _rank(kind: str) -> int:
    return RANK.index(kind) if kind in RANK else len(RANK)


def value_of(text: str) -> str:
    """One spelling for a value however it was said: "four one five" and "415" are both "415"."""
    tokens = tokens_of(text)
    forms = [(*_place(tokens, run), run.written) for run in runs(tokens)]
    plain = re.sub(
        r"\b(?:at sign|at)\b", "@", re.sub(r"\b(?:dot|period|point)\b", ".", written(text.lower(), forms).text)
    )
    return re.sub(r"[^\w@.]+", "", plain).strip(".")


class Placeholders:
    """One call's details and their names. Restored with the words in which the detail was first said."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._words: dict[str, str] = {}
        self._counts: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._words)

    def name_for(self, kind: str, words: str) -> str:
        """The placeholder of a detail: the one it has, or a new one."""
        value = value_of(words)
        if value not in self._names:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            name = f"<{kind}_{self._counts[kind]}>"
            self._names[value] = name
            self._words[name] = words
        return self._names[value]

    def words_of(self, name: str) -> str | None:
        """What a placeholder stands for, in any case; None for one that is not ours."""
        return self._words.get(name.upper())

    def known(self, text: str) -> list[Finding]:
        """Where a detail of the call occurs word for word, or a name of a person in part."""
        found = []
        for name, words in self._words.items():
            kind = name[1:].rpartition("_")[0]
            parts = [words] + ([p for p in words.split() if len(p) >= KNOWN_LENGTH] if kind == "PERSON" else [])
            for part in parts:
                pattern = rf"(?<!\w){re.escape(part)}(?!\w)"
                found += [Finding(kind, *match.span()) for match in re.finditer(pattern, text, re.IGNORECASE)]
        return found

    def whole(self, part: str) -> str:
        """The full words of the person that `part` is a part of, else `part`: "maria" is "maria lopez"."""
        for name, words in self._words.items():
            if name.startswith("<PERSON_") and part.lower() in words.lower().split():
                return words
        return part

    def longest_name(self) -> int:
        return max((len(name) for name in self._words), default=0)


class Redactor:
    """Redacts one call's prompts. `finder` may be shared by all calls."""

    def __init__(self, finder: Finder) -> None:
        self._finder = finder
        self.placeholders = Placeholders()

    def redact(self, messages: Sequence[Message]) -> list[Message]:
        """The messages with every detail replaced, and a note on placeholders where there are any.

        Raises: EgressDenied for whatever goes wrong.
        """
        try:
            for text in _texts(messages):  # First all are found, so that each is then taken out everywhere.
                self._clean(text)
            clean = [self._message(message) for message in messages]
        except Exception as error:  # noqa: BLE001 - rule 3
            raise EgressDenied(
                f"nothing is sent: redaction failed ({type(error).__name__}); check that presidio-analyzer is "
                "installed in full, or give the route the label local_only",
                "redaction",
            ) from None
        return [Message("system", EXPLAINED, label=Label.OPEN), *clean] if len(self.placeholders) else clean

    def _message(self, message: Message) -> Message:
        calls = tuple(replace(call, arguments=self._arguments(call.arguments)) for call in message.tool_calls)
        return replace(message, text=self._clean(message.text), tool_calls=calls)

    def _arguments(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return {key: self._value(key, value) for key, value in arguments.items()}

    def _value(self, key: str, value: Any) -> Any:
        """A tool's argument. Its key is read as the words before it: a bare 1234 is a code after "pin"."""
        if isinstance(value, dict):
            return self._arguments(value)
        if isinstance(value, list):
            return [self._value(key, item) for item in value]
        if isinstance(value, bool) or value is None:
            return value
        head = f"{key.replace('_', ' ')} is "
        plain, clean = str(value), self._clean(f"{head}{value}")
        if not clean.startswith(head):
            return self._clean(plain)
        return value if clean == f"{head}{plain}" else clean.removeprefix(head)

    def _clean(self, text: str) -> str:
        findings = _merged([*self._finder.find(text), *self.placeholders.known(text)])
        parts, at = [], 0
        for finding in findings:
            words = text[finding.start : finding.stop]
            whole = self.placeholders.whole(words) if finding.kind == "PERSON" else words
            parts += [text[at : finding.start], self.placeholders.name_for(finding.kind, whole)]
            at = finding.stop
        return "".join([*parts, text[at:]])


def _texts(messages: Sequence[Message]) -> list[str]:
    """Every text of a prompt that may say something for the first time."""
    return [message.text for message in messages]


_PLACEHOLDER = re.compile(r"<[A-Za-z_]+_\d+>")
_OPEN = re.compile(r"<(?:[A-Za-z_]+\d*)?$|<[A-Za-z_]+_\d*$")
"""A placeholder that has begun and may go on in the next chunk."""


class Restorer:
    """Puts a call's own words back into an answer that arrives in chunks cut anywhere."""

    def __init__(self, placeholders: Placeholders) -> None:
        self._placeholders = placeholders
        self._held = ""

    def feed(self, chunk: LlmChunk) -> list[LlmChunk]:
        """The chunk restored; what may be half a placeholder is held back until more comes."""
        if isinstance(chunk, TextDelta):
            text = self._held + chunk.text
            opened = _OPEN.search(text)
            keep = opened is not None and len(text) - opened.start() <= self._placeholders.longest_name()
            cut = opened.start() if opened is not None and keep else len(text)
            self._held = text[cut:]
            restored = self._restored(text[:cut])
            return [TextDelta(restored)] if restored else []
        rest: list[LlmChunk] = [TextDelta(self._held)] if self._held else []
        self._held = ""
        if isinstance(chunk, ToolCall):
            return [*rest, replace(chunk, arguments=self._arguments(chunk.arguments))]
        return [*rest, chunk]

    def _restored(self, text: str) -> str:
        return _PLACEHOLDER.sub(lambda match: self._placeholders.words_of(match.group()) or match.group(), text)

    def _arguments(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._restored(value)
        if isinstance(value, dict):
            return {key: self._arguments(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._arguments(item) for item in value]
        return value
