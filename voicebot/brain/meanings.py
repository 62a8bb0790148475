"""Passages by meaning: how close a question is to each, and from where on that is close enough. Pure.

    closeness = cosine of question and passage - the passage's mean cosine to questions that have nothing to do with it

Cosines of a sentence model have no zero: some passages are near everything, and what is near differs from model to
model and from folder to folder. So each folder is measured with questions that are not about it (`unrelated.txt`): what
NEAR of them stay under counts as `least`, what FAR of them stay under as `sure`, so that closeness is told on the scale
of words that are covered (ADR 67).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
NEAR, FAR = 0.95, 0.98
"""Shares of unrelated questions that are turned away. Source: `voicebot.evals.documents`."""
LEAST_CLOSENESS = 0.2
"""However far away the unrelated questions are: a folder of one strange page is not near to what is less strange."""
_UNRELATED = Path(__file__).with_name("unrelated.txt")


@cache
def unrelated() -> tuple[str, ...]:
    """Questions that callers have for any assistant, and nobody's documents answer."""
    return tuple(_UNRELATED.read_text(encoding="utf-8").splitlines())


class Meanings:
    """What the passages of one index mean. Built once, never changed."""

    def __init__(self, vectors: Floats, unrelated: Floats, least: float, sure: float) -> None:
        """`vectors`: float32[passages, size], `unrelated`: float32[questions, size], both of length 1, none empty.

        `least` and `sure`: shares, 0..1, that a passage gets at the two measured points.
        """
        cosines = vectors @ unrelated.T
        self._vectors = vectors
        self._usual = cosines.mean(1)
        best = (cosines - self._usual[:, None]).max(0)
        near, far = np.quantile(best, [NEAR, FAR])
        self._near = max(float(near), LEAST_CLOSENESS)
        self._points = [self._near, max(float(far), self._near + 1e-3), 1.0]
        self._shares = [least, sure, 1.0]

    def closeness(self, question: Floats) -> Floats:
        """float32[passages], for a question's float32[size] of length 1."""
        return np.asarray(self._vectors @ question - self._usual, np.float32)

    def share(self, closeness: float) -> float:
        """0..1, on the scale of coverage by words; 0 for what unrelated questions reach as well."""
        return float(np.interp(closeness, self._points, self._shares)) if closeness >= self._near else 0.0
