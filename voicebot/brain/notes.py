"""What callers ask to have noted down: per caller in a folder, or per call in memory where there is none.

Thread: any; one note is written at a time.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from voicebot.brain.tools_types import NotUnderstood

NOTES_LIMIT = 100
"""Of one caller; one more is refused in words."""
CALLS_KEPT = 200
"""Calls whose notes stay in memory; the oldest beyond are forgotten."""


@dataclass(slots=True)
class Notes:
    """`folder` None: nothing is written to disk, and notes last as long as their call."""

    folder: Path | None = None
    _calls: OrderedDict[str, list[str]] = field(default_factory=OrderedDict)

    def add(self, caller: str, call: str, text: str) -> None:
        """Raises: NotUnderstood at NOTES_LIMIT; OSError where the folder cannot be written."""
        notes = self.of(caller, call)
        if len(notes) >= NOTES_LIMIT:
            raise NotUnderstood("Sorry, I cannot keep any more notes for you.")
        if (file := self._file(caller)) is None:
            self._calls.setdefault(call, []).append(text)
            while len(self._calls) > CALLS_KEPT:
                self._calls.popitem(last=False)
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"call": call, "text": text}, ensure_ascii=False) + "\n")

    def of(self, caller: str, call: str) -> list[str]:
        """Oldest first."""
        file = self._file(caller)
        if file is None:
            return list(self._calls.get(call, ()))
        if not file.exists():
            return []
        return [json.loads(line)["text"] for line in file.read_text(encoding="utf-8").splitlines() if line]

    def _file(self, caller: str) -> Path | None:
        """Named by a hash: a number is no file name, and a folder's listing should not tell who calls."""
        if self.folder is None or not caller:
            return None
        return self.folder / f"{hashlib.sha256(caller.encode()).hexdigest()[:32]}.jsonl"
