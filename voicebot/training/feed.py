"""Batches for training, made in this process or by several others: on one core the generator keeps no GPU busy.

Rules of this file:
1. Each worker draws dialogues from a seed of its own; one seed and no workers give the same batches every time.
2. What is waiting is bounded: a worker that is ahead waits.
3. Workers end with the block that started them, and with their parent, whatever ends it.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.queues import Queue
from pathlib import Path
from random import Random

from voicebot.training import clinc
from voicebot.training.batches import Batch, batches
from voicebot.training.generate import Generator
from voicebot.training.tokenizer import load_tokenizer

WAITING = 16
"""Batches that wait to be learned."""
POOL_BATCHES = 12
"""A pool makes about so many batches, or more."""
TOKENS_PER_DIALOGUE = 60


def said(path: Path | None) -> list[clinc.Said]:
    """The human phrasings to learn from; without the data set only the annotated ones of tool intents. Those that
    models are chosen by (`clinc.is_dev`) are left out."""
    everything = clinc.load_annotations("train") + (clinc.load_talk(path, "train") if path else [])
    return [item for item in everything if not clinc.is_dev(item.text)]


@dataclass(frozen=True, slots=True)
class Feed:
    """What to make batches of: human phrasings (or none), the tokenizer's file, about how many tokens in a batch; at
    least `pool` dialogues are sorted by length at a time, so that little of a batch is padding."""

    clinc: Path | None
    tokenizer: Path
    tokens: int
    seed: int
    pool: int = 4000

    def batches(self, worker: int = 0) -> Iterator[Batch]:
        """Endless."""
        seed = f"{self.seed} {worker}"
        generator = Generator(Random(f"dialogues {seed}"), said(self.clinc))
        pool = max(self.pool, POOL_BATCHES * self.tokens // TOKENS_PER_DIALOGUE)
        tokenizer = load_tokenizer(self.tokenizer)
        return batches(generator.dialogues(), tokenizer, self.tokens, pool, Random(f"order {seed}"))


@contextmanager
def feeding(feed: Feed, workers: int) -> Iterator[Iterator[Batch]]:
    """The batches of a feed, made by so many other processes; 0: by this one."""
    if not workers:
        yield feed.batches()
        return
    context = multiprocessing.get_context("spawn")
    waiting: Queue[Batch] = context.Queue(WAITING)
    processes = [
        context.Process(target=_work, args=(feed, number, waiting), daemon=True) for number in range(1, workers + 1)
    ]
    for process in processes:
        process.start()
    try:
        yield _taken(waiting)
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _work(feed: Feed, number: int, waiting: Queue[Batch]) -> None:
    for batch in feed.batches(number):
        waiting.put(batch)


def _taken(waiting: Queue[Batch]) -> Iterator[Batch]:
    while True:
        yield waiting.get()
