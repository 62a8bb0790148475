"""Drawing the next token from logits, and how sure the model was of it."""

from __future__ import annotations

import math

import numpy as np

from voicebot.engines.base import Sampling
from voicebot.engines.llama_grammar import Grammar, Logits


class Sampler:
    """The draws of one reply. Log-probabilities are under the model's own distribution, before any restriction."""

    def __init__(self, sampling: Sampling, seed: int, grammar: Grammar | None = None) -> None:
        """`seed`: for a request that names none."""
        self._sampling = sampling
        self._random = np.random.default_rng(sampling.seed if sampling.seed is not None else seed)
        self._grammar = grammar
        self.logprobs: list[float] = []

    def draw(self, logits: Logits) -> int:
        """The next token: float32[vocabulary] -> id."""
        token = self._pick(logits)
        if self._grammar is not None:
            if not self._grammar.allows(token):
                token = self._pick(self._grammar.restrict(logits))
            self._grammar.accept(token)
        self.logprobs.append(logprob(logits, token))
        return token

    def close(self) -> None:
        """Idempotent."""
        if self._grammar is not None:
            self._grammar.close()

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


def logprob(logits: Logits, token: int) -> float:
    """Natural log of the token's softmax probability."""
    highest = float(logits.max())
    total = float(np.exp(logits - highest).sum(dtype=np.float64))
    return float(logits[token]) - highest - math.log(total)
