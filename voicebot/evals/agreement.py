"""How often shadows agree with the answers that were heard, by task: from the ledger alone, which has no words.

A shadow agrees where it asked for the same tool with the same arguments, or where half of the words are common
(`brain.shadow`). Whether two answers in other words are equally good, only a judge can say: its verdicts stand beside.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from voicebot.brain.shadow import ALIKE, WORDS
from voicebot.evals.router import wilson

Record = Mapping[str, Any]


@dataclass(slots=True)
class Pair:
    """One task, who answered it and who was asked beside. `tools` and `words`: each shadow's agreement, 0..1.

    `judged`: a verdict for each pair of answers in words that a judge was asked of: 1 where the shadow's is as good.
    """

    task: str
    heard: str
    shadow: str
    tools: list[float] = field(default_factory=list)
    words: list[float] = field(default_factory=list)
    judged: list[float] = field(default_factory=list)
    failed: int = 0

    @property
    def n(self) -> int:
        return len(self.tools) + len(self.words)

    @property
    def agreed(self) -> int:
        return sum(value >= ALIKE for value in [*self.tools, *self.words])

    def document(self) -> dict[str, Any]:
        """`as_good`: those that agree, and those that do not and were judged as good all the same."""
        as_good = self.agreed + round(sum(self.judged))
        return {
            "task": self.task, "heard": self.heard, "shadow": self.shadow, "n": self.n, "failed": self.failed,
            "agreed": self.agreed, "agreed_95": wilson(self.agreed, self.n),
            "same_tool": [round(sum(self.tools)), len(self.tools)],
            "words_in_common": round(statistics.fmean(self.words), 3) if self.words else None,
            "judged": len(self.judged), "as_good": as_good, "as_good_95": wilson(as_good, self.n),
        }  # fmt: skip


def agreement(turns: Iterable[Record], attempts: Iterable[Record]) -> list[Pair]:
    """A pair for each task, answering member and shadow, by name."""
    known = {(turn["call"], turn["turn"]): turn for turn in turns}
    pairs: dict[tuple[str, str, str], Pair] = {}
    judged: dict[tuple[str, int], float] = {}
    shadows: list[tuple[tuple[str, int], Record]] = []
    for attempt in attempts:
        key = (attempt["call"], attempt["turn"])
        if attempt["purpose"] == "judge" and attempt["agreement"] is not None:
            judged[key] = attempt["agreement"]
        elif attempt["purpose"] == "shadow" and key in known:
            shadows.append((key, attempt))
    for key, attempt in shadows:
        names = (known[key]["task"] or "(none)", known[key]["answered_by"] or "(none)", attempt["member"])
        pair = pairs.setdefault(names, Pair(*names))
        if attempt["agreement"] is None:
            pair.failed += 1
        elif attempt["reason"] == WORDS:
            pair.words.append(attempt["agreement"])
            pair.judged += [judged[key]] if key in judged else []
        else:
            pair.tools.append(attempt["agreement"])
    return [pairs[names] for names in sorted(pairs)]
