"""Late answers through the real session and its audio: what peers ship as acceptance tests, twenty timings each.

1. The answer comes while the bot is in the middle of a sentence: that is finished, then the answer is told unasked.
2. The turn that asked was interrupted: the answer is told all the same.
3. Two questions are open and one is withdrawn: the other is answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.sim.script import Script, perform
from voicebot.brain.fixed_words import acknowledgement
from voicebot.core.errand_events import PublishErrand
from voicebot.engines.base import LlmChunk, LlmDone, LlmRequest, TextDelta

STORY = "River table seven green window letter. Garden morning copper silver planet market."
ROME = "Silver planet market."
WHY = "why did rome fall"


class Expert:
    """Answers each question after its delay; knows which were cancelled."""

    def __init__(self, *answers: tuple[float, str]) -> None:
        self._answers = list(answers)
        self.questions: list[str] = []
        self.cancelled: list[str] = []

    async def __call__(self, request: LlmRequest, *, call: str, turn: int, purpose: str) -> AsyncIterator[LlmChunk]:
        question = request.messages[-1].text
        delay_s, text = self._answers[len(self.questions)]
        self.questions.append(question)
        try:
            await asyncio.sleep(delay_s)
        except asyncio.CancelledError:
            self.cancelled.append(question)
            raise
        yield TextDelta(text)
        yield LlmDone("stop")


def told(world: Script) -> list[str]:
    return [bot for _, bot in world.exchanges]


async def all_told(world: Script, count: int) -> None:
    """Until so many replies have been heard to their end."""
    async with asyncio.timeout(60):
        while len([bot for bot in told(world) if bot]) < count or world.wire.state != "listening":
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("delay_s", [3.5 + number * 0.2 for number in range(20)])
def test_an_answer_that_comes_in_mid_sentence_is_told_after_it(delay_s: float) -> None:
    expert = Expert((delay_s, ROME))

    async def act(world: Script) -> None:
        await world.say(WHY)
        await world.until("speaking")
        await world.until("listening")
        await world.say("tell me a story")
        await world.until("speaking")
        await all_told(world, 3)

    world = perform(act, STORY, ask=expert)
    assert told(world) == [acknowledgement(WHY), STORY, f"About your question, {WHY}: {ROME}"]
    assert world.metrics.counts["barge_ins"] == 0


@pytest.mark.parametrize("delay_s", [1.0 + number * 0.25 for number in range(20)])
def test_an_interrupted_turn_still_gets_its_answer(delay_s: float) -> None:
    expert = Expert((delay_s, ROME))

    async def act(world: Script) -> None:
        await world.say(WHY)
        await world.until("speaking")
        await asyncio.sleep(0.5)
        await world.say("stop")
        await world.until("listening")
        await asyncio.sleep(delay_s + 4)

    world = perform(act, "Copper it is.", ask=expert, reopen_ms=0)
    assert expert.cancelled == []
    assert any(bot.endswith(ROME) for bot in told(world))
    assert told(world)[0] != acknowledgement(WHY), "the acknowledgement was cut off"


@pytest.mark.parametrize("delay_s", [5.0 + number * 0.1 for number in range(20)])
def test_one_of_two_is_withdrawn_and_the_other_is_told(delay_s: float) -> None:
    expert = Expert((delay_s + 4, ROME), (delay_s, "Garden morning copper."))
    other = "why is copper red"

    async def act(world: Script) -> None:
        for question in (WHY, other):
            await world.say(question)
            await world.until("speaking")
            await world.until("listening")
        await world.say("never mind about rome")
        await world.until("speaking")
        await all_told(world, 4)
        await asyncio.sleep(6)

    world = perform(act, "All right.", ask=expert)
    assert expert.cancelled == [WHY]
    assert not any(ROME in bot for bot in told(world))
    assert any(bot.endswith("Garden morning copper.") for bot in told(world))


def test_the_answer_is_audible_within_the_gap_of_300_ms_after_the_talk() -> None:
    expert = Expert((5.0, ROME))

    async def act(world: Script) -> None:
        await world.say(WHY)
        await world.until("speaking")
        await world.until("listening")
        await world.say("tell me a story")
        await world.until("speaking")
        await world.until("listening")
        silent = asyncio.get_running_loop().time()
        await world.until("speaking")
        assert asyncio.get_running_loop().time() - silent <= 0.3
        await world.until("listening")

    perform(act, STORY, ask=expert)


def test_the_page_can_cancel_and_sees_every_state() -> None:
    expert = Expert((30.0, ROME))

    async def act(world: Script) -> None:
        await world.say(WHY)
        await world.until("speaking")
        await world.until("listening")
        (errand,) = world.session._errands
        world.session.cancel_errand(errand)
        await asyncio.sleep(1)

    world = perform(act, ask=expert)
    assert expert.cancelled == [WHY]
    shown = [line for line in world.writer.lines() if f'"{PublishErrand.__name__}"' in line]
    assert ['"pending"' in line or '"cancelled"' in line for line in shown] == [True, True]
