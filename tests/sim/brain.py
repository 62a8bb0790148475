"""The brain of a simulated world: a router that tosses coins, and an expert who is slow, fails, or breaks off."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from random import Random

from tests.sim.engines import WORDS
from voicebot.brain.account import Account, Notebook
from voicebot.brain.answer import BrainDeps, Router
from voicebot.brain.confidence import Threshold
from voicebot.brain.expert import Expert
from voicebot.brain.fleet import Fleet, Member
from voicebot.brain.privacy import Verdict, prompt_label
from voicebot.core.labels import Label
from voicebot.engines.base import LlmChunk, LlmDone, LlmEngine, LlmRequest, TextDelta
from voicebot.errors import EgressDenied, EngineUnavailable
from voicebot.lane import LaneLike


@dataclass(frozen=True)
class SimRoute:
    task: str
    hard: float
    oos: float = 0.0
    confidence: float = 0.9


class SimRouter:
    """Hard with a probability of its own; the same words are always as hard."""

    def __init__(self, seed: int, hard: float) -> None:
        self._seed, self._hard = seed, hard

    def route(self, text: str, context: Sequence[str] = ()) -> SimRoute:
        return SimRoute("talk", float(Random(f"{self._seed} {text}").random() < self._hard))


class SimExpert:
    """Answers after a while, in pieces; fails or breaks off sometimes. Counts what it was sent."""

    def __init__(self, rng: Random, fails: float, longest_s: float) -> None:
        self._rng, self._fails, self._longest_s = rng, fails, longest_s
        self.asked: Counter[int] = Counter()
        """Requests by turn."""
        self.working = 0
        self.secrets = 0
        """Private messages that it was sent."""

    async def __call__(self, request: LlmRequest, *, call: str, turn: int, purpose: str) -> AsyncIterator[LlmChunk]:
        self.asked[turn] += 1
        self.secrets += sum(message.label is Label.LOCAL_ONLY for message in request.messages)
        if prompt_label(request.messages) is Label.LOCAL_ONLY:
            raise EgressDenied("a private prompt")
        self.working += 1
        try:
            await asyncio.sleep(self._rng.uniform(0.1, self._longest_s))
            for _ in range(self._rng.choice((1, 1, 2, 4))):
                if self._rng.random() < self._fails:
                    raise EngineUnavailable("the expert went away")
                yield TextDelta(" ".join(self._rng.choices(WORDS, k=self._rng.randint(2, 12))) + ". ")
                await asyncio.sleep(self._rng.uniform(0.0, 1.0))
            yield LlmDone("stop", prompt_tokens=10, completion_tokens=10)
        finally:
            self.working -= 1


@dataclass(slots=True)
class SimBrain:
    """`secret`: the share of turns that are private."""

    expert: SimExpert
    deps: BrainDeps


def sim_brain(rng: Random, llm: LaneLike[LlmEngine], account: Account | None = None) -> SimBrain:
    expert = SimExpert(Random(rng.getrandbits(64)), rng.choice((0.0, 0.1, 0.6)), rng.choice((0.5, 3.0, 12.0)))
    secret, seed = rng.choice((0.0, 0.2)), rng.getrandbits(32)

    def label_of(text: str) -> Verdict:
        return Verdict(Label.LOCAL_ONLY if Random(f"{seed} {text}").random() < secret else Label.OPEN)

    router: Router = SimRouter(seed, rng.choice((0.0, 0.3, 0.8)))
    threshold = Threshold(min_logprob=rng.choice((-1.0, -1e9)))
    member = Member("talker", frozenset({"talk"}), llm, threshold=threshold, general=True)
    frontier = Expert("frontier", expert, lambda _call: "ready", timeout_s=rng.choice((2.0, 8.0)))
    return SimBrain(expert, BrainDeps(Fleet([member]), account or Notebook(), label_of, router, frontier))
