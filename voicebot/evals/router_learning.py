"""How many examples buy how much: `python -m voicebot.evals.router_learning TRAIN.jsonl VAL.jsonl`.

A router is trained on the first few lines of every task, then on more, and measured on the same lines each time.
Prints one JSON document.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

from voicebot.brain.router import ENCODER
from voicebot.brain.router_encoder import Encoder
from voicebot.evals.router import evaluate
from voicebot.profiles import shipped_model
from voicebot.training.router import Example, fit, read_examples

PER_TASK = (2, 5, 10, 20, 50, 100)
FIELDS = ("accuracy", "in_scope", "oos_recall", "ece")


def part_of(examples: Sequence[Example], per_task: int) -> list[Example]:
    """The first lines of each task in a fixed random order."""
    taken: Counter[str] = Counter()
    kept = []
    for one in Random(5).sample(list(examples), len(examples)):
        taken[one.task] += 1
        if taken[one.task] <= per_task:
            kept.append(one)
    return kept


def learning(train: Sequence[Example], asked: Sequence[Example], sizes: Sequence[int]) -> Iterator[dict[str, Any]]:
    encoder = Encoder.load(shipped_model(Path("router")) / ENCODER)
    for size in sizes:
        lines = part_of(train, size)
        began = time.process_time()
        router = fit(lines, encoder)
        seconds = time.process_time() - began
        report = evaluate(router, asked)
        yield {"per_task": size, "lines": len(lines), "cpu_s": round(seconds, 1)} | {
            name: report[name] for name in FIELDS
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("train", type=Path)
    parser.add_argument("asked", type=Path, help="lines to measure on")
    parser.add_argument("--per-task", type=int, nargs="+", default=list(PER_TASK))
    given = parser.parse_args()
    rows = list(learning(read_examples([given.train]), read_examples([given.asked]), given.per_task))
    sys.stdout.write(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
