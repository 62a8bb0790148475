"""A llama.cpp of plain Python: cells that sequences share, and logits that depend on every token a sequence holds.

A token of one call in another's sequence, a position left out or a cell too many is seen at once.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from voicebot.engines.llama_c import Logits, Row
from voicebot.errors import EngineBadOutput

VOCABULARY = 32
END = 0


def logits_after(tokens: Sequence[int]) -> Logits:
    """What the model thinks comes after `tokens`; never the end at once, seldom later."""
    random = np.random.default_rng(zlib.crc32(bytes(tokens)))
    logits = random.normal(0, 3, VOCABULARY).astype(np.float32)
    logits[END] = 20 if random.random() < 0.05 else -20
    return logits


@dataclass(eq=False)
class Cell:
    position: int
    token: int
    sequences: set[int]


@dataclass
class FakeCache:
    """`truncates`: whether a sequence can forget a part; one that cannot also shares only the whole of itself."""

    size: int
    truncates: bool = True
    cells: list[Cell] = field(default_factory=list)
    batches: list[list[Row]] = field(default_factory=list)
    fails: bool = False
    refuses: int = 0
    """How many batches find no room."""

    def decode(self, rows: Sequence[Row]) -> bool:
        if self.fails:
            raise EngineBadOutput("the fake fails")
        if self.refuses:
            self.refuses -= 1
            return False
        assert len(self.cells) + len(rows) <= self.size, "more cells than there are"
        self.batches.append(list(rows))
        self._logits: dict[int, Logits] = {}
        for index, row in enumerate(rows):
            assert row.position == len(self.tokens(row.sequence)), "a position was left out"
            self.cells.append(Cell(row.position, row.token, {row.sequence}))
            if row.wanted:
                self._logits[index] = logits_after(self.tokens(row.sequence))
        return True

    def logits(self, row: int) -> Logits:
        return self._logits[row]

    def remove(self, sequence: int, start: int) -> bool:
        if not self.truncates and start > 0:
            return False
        for cell in self.cells:
            if cell.position >= start:
                cell.sequences.discard(sequence)
        self.cells = [cell for cell in self.cells if cell.sequences]
        return True

    def copy(self, source: int, target: int, stop: int) -> None:
        assert not self.tokens(target), "the target is empty"
        assert self.truncates or stop == -1, "a state is shared as a whole"
        for cell in self.cells:
            if source in cell.sequences and (stop < 0 or cell.position < stop):
                cell.sequences.add(target)

    def clear(self) -> None:
        self.cells = []

    def tokens(self, sequence: int) -> list[int]:
        held = sorted((cell for cell in self.cells if sequence in cell.sequences), key=lambda cell: cell.position)
        assert [cell.position for cell in held] == list(range(len(held)))
        return [cell.token for cell in held]
