"""The operator's documents: a folder of .md, .txt and .pdf, read into an index that follows what changes there."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from pathlib import Path

from voicebot.brain.passages import Hit, Passage, PassageIndex, split
from voicebot.errors import ConfigError

log = logging.getLogger(__name__)
SUFFIXES = (".md", ".txt", ".pdf")
SCAN_S = 5.0
"""How soon a changed file is noticed."""
FILES_LIMIT = 2000
BYTES_LIMIT = 20 * 2**20
"""Of one file; larger ones are left out and said so."""

Stamp = tuple[int, int]
"""A file's size and time of change in nanoseconds."""


@dataclass(slots=True)
class Documents:
    """`index` is always whole: a scan puts a new one in its place. Thread: `scan` blocks; the rest on the loop."""

    folder: Path
    index: PassageIndex = field(default_factory=lambda: PassageIndex([]))
    problems: dict[str, str] = field(default_factory=dict)
    """File -> why it could not be read."""
    _read: dict[str, tuple[Stamp, list[Passage]]] = field(default_factory=dict)
    _scanned: bool = False
    """The first scan is over: before that `watch` begins none, as only one may run at a time."""

    @property
    def files(self) -> dict[str, int]:
        """File -> its passages."""
        return {name: len(passages) for name, (_, passages) in self._read.items()}

    def scan(self) -> bool:
        """Read what is new or has changed, forget what is gone; whether anything was. Raises: ConfigError."""
        if not self.folder.is_dir():
            raise ConfigError(f"documents.dir: there is no folder {self.folder}")
        found = self._found()
        changed = {name for name, stamp in found.items() if self._read.get(name, (None,))[0] != stamp}
        gone = self._read.keys() - found.keys()
        for name in gone:
            del self._read[name]
            self.problems.pop(name, None)
        for name in changed:
            self._read[name] = (found[name], self._passages(name))
        if changed or gone:
            self.index = PassageIndex([one for name in sorted(self._read) for one in self._read[name][1]])
        self._scanned = True
        return bool(changed or gone)

    def _found(self) -> dict[str, Stamp]:
        paths = sorted(path for path in self.folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
        if len(paths) > FILES_LIMIT:
            log.warning("%s has %d documents; the first %d are read", self.folder, len(paths), FILES_LIMIT)
        stats = {str(path.relative_to(self.folder)): path.stat() for path in paths[:FILES_LIMIT]}
        return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()}

    def _passages(self, name: str) -> list[Passage]:
        """A file that cannot be read has none, and a line in the log."""
        path = self.folder / name
        try:
            if path.stat().st_size > BYTES_LIMIT:
                raise ValueError(f"it is larger than {BYTES_LIMIT >> 20} MiB")
            text = _pdf_text(path) if path.suffix.lower() == ".pdf" else path.read_text(encoding="utf-8")
        except Exception as error:  # noqa: BLE001 - a PDF may be wrong in any way, and is not the others' fault
            self.problems[name] = f"{type(error).__name__}: {error}"
            log.warning("documents: %s cannot be read: %s", path, self.problems[name])
            return []
        self.problems.pop(name, None)
        return split(name, text)

    def search(self, question: str, limit: int = 3) -> list[Hit]:
        return self.index.search(question, limit)

    def covers(self, question: str) -> float:
        return self.index.covers(question)

    async def watch(self) -> None:
        """Scan again and again, on a thread. Cancellation: between or during a scan, whose result is then dropped."""
        while True:
            await asyncio.sleep(SCAN_S)
            try:
                if self._scanned and await asyncio.to_thread(self.scan):
                    log.info("documents: %d passages of %d files", len(self.index), len(self.files))
            except (ConfigError, OSError) as error:
                log.warning("documents cannot be read again, the last ones are used: %s", error)


def _pdf_text(path: Path) -> str:
    """A page is a paragraph of its own at least."""
    from pypdf import PdfReader

    return "\n\n".join(page.extract_text() for page in PdfReader(path).pages)
