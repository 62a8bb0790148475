"""The operator's documents: a folder of .md, .txt and .pdf, read into an index that follows what changes there.

scan    files -> passages -> an index by words, at once
embed   the passages' vectors, new ones made and the others from a file -> the same index, by meaning too
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from voicebot.brain.meanings import Meanings, unrelated
from voicebot.brain.passages import Hit, Passage, PassageIndex, sentences, split
from voicebot.config import Config, home_dir
from voicebot.engines.sentences import SentenceEngine, pulled_sentences
from voicebot.errors import ConfigError, EngineError
from voicebot.lane import Lane
from voicebot.vectors import Vectors

log = logging.getLogger(__name__)
T = TypeVar("T")
SUFFIXES = (".md", ".txt", ".pdf")
SCAN_S = 5.0
"""How soon a changed file is noticed."""
FILES_LIMIT = 2000
BYTES_LIMIT = 20 * 2**20
"""Of one file; larger ones are left out and said so."""

MEANT_LIMIT = 20_000
"""Passages with vectors (30 MB of 384 numbers each); a larger folder is searched by words alone."""
ASKED = 32
"""Questions whose vectors are remembered: a turn asks for its own twice."""
AUTO = "auto"

Stamp = tuple[int, int]
"""A file's size and time of change in nanoseconds."""


@dataclass(slots=True)
class Documents:
    """`index` is always whole: a scan puts a new one in its place. Thread: `scan` blocks; the rest on the loop.

    `vectors`: None to go by words alone; `least` and `sure`: as in the settings.
    """

    folder: Path
    vectors: Vectors | None = None
    least: float = 0.5
    sure: float = 0.8
    index: PassageIndex = field(default_factory=lambda: PassageIndex([]))
    problems: dict[str, str] = field(default_factory=dict)
    """File -> why it could not be read."""
    _read: dict[str, tuple[Stamp, list[Passage]]] = field(default_factory=dict)
    _scanned: asyncio.Event = field(default_factory=asyncio.Event)
    """The first scan is over: before that `watch` begins none, as only one may run at a time."""
    _asked: OrderedDict[str, npt.NDArray[np.float32]] = field(default_factory=OrderedDict)

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

    @property
    def how(self) -> str:
        """What passages are found by, for the operator."""
        return f"words and meaning ({self.vectors.lane.engine.name})" if self.vectors is not None else "words"

    async def load(self) -> None:
        """Load the sentence model, where there is one, and read the folder. Raises: ConfigError, EngineError."""
        if self.vectors is not None:
            await self.vectors.lane.load()
        await asyncio.to_thread(self.scan)
        self._scanned.set()

    async def aclose(self) -> None:
        """Idempotent."""
        if self.vectors is not None:
            await self.vectors.lane.aclose()

    async def embed(self) -> None:
        """Have the index find by meaning as well; nothing to do where it does. Raises: EngineError."""
        index, vectors = self.index, self.vectors
        if vectors is None or index.meanings is not None or not index.passages:
            return
        if len(index) > MEANT_LIMIT:
            log.warning("documents: %d passages are searched by words alone; the limit is %d", len(index), MEANT_LIMIT)
            return
        before, questions = vectors.made, unrelated()
        found = await vectors.of([*(one.whole for one in index.passages), *questions])
        meanings = Meanings(found[: -len(questions)], found[-len(questions) :], self.least, self.sure)
        if index is self.index:
            self.index = await asyncio.to_thread(PassageIndex, index.passages, meanings)
        log.info("documents: %d passages by meaning; %d texts were new", len(index), vectors.made - before)

    async def search(self, question: str, limit: int = 3) -> list[Hit]:
        """The best passages; by words alone while the sentence model cannot be asked."""
        index = self.index
        found = await self._meant(index, lambda engine: self._search(index, engine, question, limit))
        return index.search(question, limit) if found is None else found

    async def covers(self, question: str) -> float:
        """0..1: how much of a question the best passage answers."""
        index = self.index
        found = await self._meant(index, lambda engine: index.covers(question, self._meaning(engine, question)))
        return index.covers(question) if found is None else found

    async def _meant(self, index: PassageIndex, work: Callable[[SentenceEngine], T]) -> T | None:
        """What `work` finds, on the model's lane; None where there is no meaning to go by."""
        if index.meanings is None or self.vectors is None:
            return None
        lane = self.vectors.lane
        try:
            return await lane.run(lambda _cancel: work(lane.engine))
        except EngineError as error:
            log.warning("documents are searched by words alone: %s", error)
            return None

    def _search(self, index: PassageIndex, engine: SentenceEngine, question: str, limit: int) -> list[Hit]:
        """The hits, and of the first that is good enough how close its sentences are. Thread: the lane's."""
        meaning = self._meaning(engine, question)
        hits = index.search(question, limit, meaning)
        at = next((at for at, hit in enumerate(hits) if hit.found >= self.least), None)
        if at is not None and (hit := hits[at]).meaning > hit.coverage:
            title = f"{hit.passage.title}: " if hit.passage.title else ""
            alike = engine.model.encode_all([f"{title}{one}" for one in sentences(hit.passage.text)]) @ meaning
            hits[at] = replace(hit, alike=tuple(alike.tolist()))
        return hits

    def _meaning(self, engine: SentenceEngine, question: str) -> npt.NDArray[np.float32]:
        """Thread: the lane's."""
        found = self._asked.pop(question, None)
        self._asked[question] = found = engine.model.encode(question) if found is None else found
        if len(self._asked) > ASKED:
            self._asked.popitem(last=False)
        return found

    async def watch(self) -> None:
        """Scan again and again, on a thread. Cancellation: between or during a scan, whose result is then dropped."""
        await self._scanned.wait()
        while True:
            try:
                await self.embed()
                await asyncio.sleep(SCAN_S)
                if await asyncio.to_thread(self.scan):
                    log.info("documents: %d passages of %d files", len(self.index), len(self.files))
            except (ConfigError, OSError) as error:
                log.warning("documents cannot be read again, the last ones are used: %s", error)
            except EngineError as error:
                log.warning("documents are searched by words alone, their vectors cannot be made: %s", error)
                await asyncio.sleep(SCAN_S)


def documents_of(config: Config, models_dir: Path) -> Documents | None:
    """Those of the settings; None where no folder is set."""
    given = config.documents
    if given.dir is None:
        return None
    pulled = pulled_sentences(models_dir)
    name = given.embed if given.embed != AUTO else pulled[0] if pulled else ""
    vectors = None
    if name:
        place = hashlib.sha256(str(given.dir.resolve()).encode()).hexdigest()[:16]
        vectors = Vectors(Lane(SentenceEngine(name, models_dir)), home_dir() / "vectors", place)
    return Documents(given.dir, vectors, given.least, given.sure)


def _pdf_text(path: Path) -> str:
    """A page is a paragraph of its own at least."""
    from pypdf import PdfReader

    return "\n\n".join(page.extract_text() for page in PdfReader(path).pages)
