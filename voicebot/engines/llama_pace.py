"""How many replies pay to be decoded together, and on how many threads: measured when a model is loaded.

llama.cpp's products of a few rows are fast for weights that it repacks (Q4_0) and slower than row by row for others
(Q8_0 on x86: two rows take four times as long as one). Threads of a tiny model wait longer than they work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from voicebot.engines.llama_c import Row

TRIES = 3
SIZES = (2, 4, 8, 16)
SHORT_S = 0.003
"""A decode of no more work than this is not shared: a second thread could save 1 ms of it, and in a call, where threads
sleep between decodes and the loop and the recogniser want the cores too, waiting for it costs several."""
TIE = 1.1
"""Together is preferred up to this ratio: it is fairer to all replies."""


class Decoder(Protocol):
    def decode(self, rows: Sequence[Row]) -> bool: ...

    def clear(self) -> None: ...

    def use_threads(self, alone: int, together: int) -> None: ...


def fewest_together(decoder: Decoder, most: int, clock: Callable[[], float] = time.perf_counter) -> int:
    """The number of rows from which on one decode is faster than one for each; `most` + 1 where it never is.

    Leaves the cache empty. Raises: EngineError.
    """
    try:
        alone = _fastest(decoder, 1, clock)
        for size in (size for size in SIZES if size <= most):
            if _fastest(decoder, size, clock) <= TIE * size * alone:
                return size
        return most + 1
    finally:
        decoder.clear()


def choose_threads(
    decoder: Decoder,
    counts: Sequence[int],
    most: int,
    clock: Callable[[], float] = time.perf_counter,
    work: Callable[[], float] = time.thread_time,
) -> None:
    """Let one row, and `most` rows, each be decoded on the most threads of `counts`, in rising order, that are not
    clearly slower; on the fewest where that is `SHORT_S` of work, by this thread's own time.

    In doubt on more: other models that load at this moment slow down many threads more than few. Leaves the cache
    empty. Raises: EngineError.
    """
    chosen = []
    for size in (1, most):
        decoder.use_threads(counts[0], counts[0])
        if _fastest(decoder, size, work) <= SHORT_S:
            chosen.append(counts[0])
            continue
        took = {}
        for count in counts:
            decoder.use_threads(count, count)
            took[count] = _fastest(decoder, size, clock)
        chosen.append(max(count for count in counts if took[count] <= TIE * min(took.values())))
    decoder.use_threads(*chosen)
    decoder.clear()


def _fastest(decoder: Decoder, size: int, clock: Callable[[], float]) -> float:
    """Seconds for the next token of `size` sequences, the best of a few: other work only ever slows it down."""
    took = []
    decoder.clear()
    for position in range(TRIES):
        rows = [Row(0, position, sequence, True) for sequence in range(size)]
        began = clock()
        decoder.decode(rows)
        took.append(clock() - began)
    return min(took)
