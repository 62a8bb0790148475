"""Whether a member's answer is good enough to be spoken: it parses, and the model was sure of its words. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Threshold:
    """Least log-probabilities (natural, per token) of an answer that is accepted; -inf accepts every one.

    Set by `voicebot eval calibrate MEMBER`, per model: they are not comparable between models.
    """

    mean_logprob: float = -math.inf
    min_logprob: float = -math.inf

    def rejects(self, mean: float, least: float) -> str:
        """Why not, "" if accepted. NaN (an engine that gives none) is accepted: there is nothing to judge by."""
        if mean < self.mean_logprob:
            return f"unsure: mean log-probability {mean:.2f} is below {self.mean_logprob:.2f}"
        if least < self.min_logprob:
            return f"unsure: least log-probability {least:.2f} is below {self.min_logprob:.2f}"
        return ""


@dataclass(frozen=True, slots=True)
class Calibration:
    """A threshold, and what it does on the examples that it was chosen on."""

    min_logprob: float
    accepted: float
    """Share of all answers."""
    right_when_accepted: float
    auroc: float


def auroc(scores: Sequence[float], right: Sequence[bool]) -> float:
    """P(a right answer scores above a wrong one), ties half; NaN without both kinds."""
    order = sorted(range(len(scores)), key=lambda index: scores[index])
    ranks = [0.0] * len(scores)
    start = 0
    while start < len(order):
        stop = start
        while stop < len(order) and scores[order[stop]] == scores[order[start]]:
            stop += 1
        for index in order[start:stop]:
            ranks[index] = (start + stop + 1) / 2
        start = stop
    positives = sum(right)
    negatives = len(right) - positives
    if not positives or not negatives:
        return math.nan
    total = sum(rank for rank, good in zip(ranks, right, strict=True) if good)
    return (total - positives * (positives + 1) / 2) / (positives * negatives)


def calibrate(scores: Sequence[float], right: Sequence[bool], wanted: float) -> Calibration:
    """The lowest threshold from which at least `wanted` of the accepted answers are right.

    If none reaches it, the one with the largest share of right answers. `scores`: least log-probability of each answer.
    Raises: ValueError, for no examples.
    """
    if not scores:
        raise ValueError("no examples to calibrate on")
    pairs = sorted(zip(scores, right, strict=True), key=lambda pair: -pair[0])
    best: tuple[bool, float, float] | None = None
    good = 0
    chosen, accepted, share = pairs[0][0], 0.0, 0.0
    for count, (score, is_right) in enumerate(pairs, start=1):
        good += is_right
        if count < len(pairs) and pairs[count][0] == score:
            continue
        candidate = (good / count >= wanted, count / len(pairs) if good / count >= wanted else good / count, score)
        if best is None or candidate[:2] >= best[:2]:
            best = candidate
            chosen, accepted, share = score, count / len(pairs), good / count
    return Calibration(chosen, accepted, share, auroc(scores, right))
