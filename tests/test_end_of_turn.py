"""An end-of-turn model in a call, on virtual time: it moves the wait, and whatever happens to it harms no call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from tests import virtual_time
from tests.sim.engines import SimEngine
from tests.sim.lane import Behaviour, VirtualLane
from tests.sim.script import Script
from voicebot.engines.base import TURN_AUDIO_S, Pcm
from voicebot.hearing import SCORE_TIMEOUT_S
from voicebot.session import CallDeps


class ScriptTurn(SimEngine):
    """Says the same of every turn, and remembers what it was asked."""

    def __init__(self, probability: float, wants_audio: bool = False) -> None:
        super().__init__("script turn", Random(0))
        self.wants_audio = wants_audio
        self.asked: list[tuple[int, str]] = []
        self._probability = probability

    def end_probability(self, pcm: Pcm, text: str) -> float:
        self.asked.append((len(pcm), text))
        return self._probability


class Judged(Script):
    """A script whose calls have an end-of-turn model."""

    def __init__(
        self, act: Callable[[Script], Awaitable[None]], engine: ScriptTurn | None, took_s: float, fails: float
    ) -> None:
        self.engine = engine
        self._behaviour_of_turn = Behaviour((took_s, took_s), fails=fails)
        super().__init__(act)

    def _deps(self) -> CallDeps:
        if self.engine is None:
            return super()._deps()
        self.judge: VirtualLane[Any] = VirtualLane(self.engine, self._behaviour_of_turn, Random(0))
        return replace(super()._deps(), end_of_turn=self.judge)

    async def live(self) -> None:
        if self.engine is None:
            return await super().live()
        self.judge.start()
        try:
            return await super().live()
        finally:
            await self.judge.aclose()

    @property
    def wait_ms(self) -> float:
        """From the end of the caller's speech to the commit of the first turn."""
        (turn, *_) = self.session.turns.values()
        (wait,) = [stage for stage in turn["waterfall"]["stages"] if stage["name"] == "wait"]
        return float(wait["stop_ms"] - wait["start_ms"])

    def scores(self) -> list[float]:
        """Of the EndScored events in the trace."""
        entries = [json.loads(line) for line in self.writer.lines()]
        return [entry["probability"] for entry in entries if entry.get("event") == "EndScored"]


async def ask(world: Script) -> None:
    await world.say("what is next")
    await world.until("speaking")
    await world.until("listening")


def perform(
    engine: ScriptTurn | None,
    act: Callable[[Script], Awaitable[None]] = ask,
    took_s: float = 0.01,
    fails: float = 0.0,
) -> Judged:
    worlds: list[Judged] = []

    async def live() -> None:
        worlds.append(Judged(act, engine, took_s, fails))
        await worlds[0].live()

    virtual_time.run(live())
    return worlds[0]


HALF_PIECE_MS = 10
"""Speech comes 20 ms at a time, and the piece that ends nearest to the wait's end decides."""
RULE_WAIT_MS = 229
"""Of a plain ending."""


@pytest.mark.parametrize(("probability", "wait_ms"), [(1.0, 160), (0.485, 830), (0.0, 1500)])
def test_the_models_word_sets_the_wait(probability: float, wait_ms: float) -> None:
    world = perform(ScriptTurn(probability))
    assert abs(world.wait_ms - wait_ms) <= HALF_PIECE_MS
    assert world.scores() == [probability]
    assert world.exchanges == [("what is next", "River table seven.")]


def test_without_a_model_the_last_words_rule_decides() -> None:
    world = perform(None)
    assert abs(world.wait_ms - RULE_WAIT_MS) <= HALF_PIECE_MS
    assert world.scores() == []


def test_a_model_that_fails_costs_nothing_but_its_word_and_is_counted() -> None:
    world = perform(ScriptTurn(0.0), fails=1.0)
    assert abs(world.wait_ms - RULE_WAIT_MS) <= HALF_PIECE_MS
    assert world.scores() == [] and world.metrics.counts["end_unscored"] == 1
    assert world.exchanges == [("what is next", "River table seven.")]


def test_a_model_that_does_not_answer_is_waited_for_no_longer_than_its_limit() -> None:
    world = perform(ScriptTurn(0.0), took_s=20.0)
    assert world.scores() == [] and world.metrics.counts["end_unscored"] == 1
    assert 250 <= world.wait_ms <= 64 + 50 + SCORE_TIMEOUT_S * 1000 + 64
    assert world.exchanges == [("what is next", "River table seven.")]


def test_only_a_model_that_listens_is_given_speech_and_never_more_than_it_can_hear() -> None:
    async def act(world: Script) -> None:
        await world.say(" ".join(["copper"] * 40))
        await world.until("speaking")
        await world.until("listening")

    reader, listener = ScriptTurn(1.0), ScriptTurn(1.0, wants_audio=True)
    perform(reader, act)
    perform(listener, act)
    assert {samples for samples, _ in reader.asked} == {0}
    assert [samples for samples, _ in listener.asked] == [TURN_AUDIO_S * 16_000] * len(listener.asked)
    assert reader.asked[0][1].startswith("copper copper")


def test_a_score_that_comes_after_the_caller_went_on_is_not_told() -> None:
    """The caller pauses for 100 ms: the first question is still open when speech comes back."""

    async def act(world: Script) -> None:
        await world.say("what is")
        await asyncio.sleep(0.1)
        await world.say("next")
        await world.until("speaking")
        await world.until("listening")

    engine = ScriptTurn(0.9)
    world = perform(engine, act, took_s=0.15)
    assert [text for _, text in engine.asked][-1] == "what is next"
    assert world.scores() == [0.9] and not world.metrics.counts["end_unscored"]
    assert world.exchanges == [("what is next", "River table seven.")]
