"""Drawing the next token from logits, and how sure the model was of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from voicebot.engines.base import Sampling
from voicebot.engines.llama_c import Logits


class Restriction(Protocol):
    """What a reply is held to; the state of one reply."""

    def allows(self, token: int) -> bool: ...

    def restrict(self, logits: Logits) -> Logits:
        """A copy with -inf for every token that is not allowed."""
        ...

    def accept(self, token: int) -> None:
        """The reply goes on with `token`, which was allowed."""
        ...

    def close(self) -> None: ...


class Sampler:
    """The draws of one reply. Log-probabilities are under the model's own distribution, before any restriction."""

    def __init__(self, sampling: Sampling, seed: int, held_to: Restriction | None = None) -> None:
        """`seed`: for a request that names none."""
        self._sampling = sampling
        self._random = np.random.default_rng(sampling.seed if sampling.seed is not None else seed)
        self._held_to = held_to
        self.logprobs: list[float] = []

    def draw(self, logits: Logits) -> int:
        """The next token: float32[vocabulary] -> id."""
        token = self._pick(logits)
        if self._held_to is not None:
            if not self._held_to.allows(token):
                token = self._pick(self._held_to.restrict(logits))
            self._held_to.accept(token)
        self.logprobs += logprobs(logits, [token])
        return token

    def close(self) -> None:
        """Idempotent."""
        if self._held_to is not None:
            self._held_to.close()

    def _pick(self, logits: Logits) -> int:
        return int(logits.argmax()) if self._sampling.temperature <= 0 else self._sample(logits)

    def _sample(self, logits: Logits) -> int:
        """Draw from the smallest set of tokens that holds `top_p` of the probability."""
        scaled = (logits - logits.max()).astype(np.float64) / self._sampling.temperature
        order = np.argsort(-scaled)
        probabilities = np.exp(scaled[order])
        probabilities /= probabilities.sum()
        kept = int(np.searchsorted(np.cumsum(probabilities), self._sampling.top_p)) + 1
        head = probabilities[:kept] / probabilities[:kept].sum()
        return int(order[self._random.choice(len(head), p=head)])


def logprobs(logits: Logits, tokens: Sequence[int]) -> list[float]:
    """Natural logs of the tokens' softmax probabilities."""
    highest = float(logits.max())
    total = math.log(float(np.exp(logits - highest).sum(dtype=np.float64)))
    return [float(logits[token]) - highest - total for token in tokens]
