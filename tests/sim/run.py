"""Many worlds: `python -m tests.sim.run --seeds 1000`, or one of them again: `--seed 17 [--trace FILE]`.

A failing seed prints the invariant that it broke and where its trace is. Exit status 1 if any failed.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.sim.world import Outcome, play


def _save(outcome: Outcome, folder: Path) -> Path:
    path = folder / f"seed-{outcome.seed}.jsonl"
    path.write_text("".join(f"{line}\n" for line in outcome.trace), encoding="utf-8")
    return path


def _quick(seed: int) -> Outcome:
    """A world, without the trace of one that went well."""
    outcome = play(seed)
    if not outcome.violation:
        outcome.trace = []
    return outcome


def _freeze() -> None:
    """What is imported need not be looked at by the collection after every world."""
    gc.collect()
    gc.freeze()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many worlds, from seed 0")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--trace", type=Path, help="with --seed: where to write its trace")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="processes")
    options = parser.parse_args()
    if options.seed is not None:
        outcome = play(options.seed)
        if options.trace:
            options.trace.write_text("".join(f"{line}\n" for line in outcome.trace), encoding="utf-8")
        return _report([outcome], 0.0)
    began = time.monotonic()
    with ProcessPoolExecutor(options.jobs, initializer=_freeze) as pool:
        seeds = range(options.first, options.first + options.seeds)
        outcomes = list(pool.map(_quick, seeds, chunksize=5))
    return _report(outcomes, time.monotonic() - began)


def _report(outcomes: list[Outcome], took_s: float) -> int:
    failed = [outcome for outcome in outcomes if outcome.violation]
    folder = Path(tempfile.mkdtemp(prefix="voicebot-sim-")) if failed else Path()
    for outcome in failed:
        sys.stdout.write(f"seed {outcome.seed}: {outcome.violation}\n    trace: {_save(outcome, folder)}\n")
    counts = sum((outcome.counts for outcome in outcomes), Counter())
    virtual_s = sum(outcome.virtual_s for outcome in outcomes)
    sys.stdout.write(
        f"{len(outcomes)} worlds, {virtual_s:.0f} virtual seconds in {took_s:.1f} s, {len(failed)} failed\n"
    )
    sys.stdout.write(", ".join(f"{name} {count}" for name, count in sorted(counts.items())) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
