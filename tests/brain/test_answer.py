"""The brain of one call on virtual time: who is asked, what is said meanwhile, and what may leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from tests.brain.test_reply import QUICK, RATE_HZ, ListedLlm, ListedSink, no_tasks
from tests.sim.engines import BotWords, SimTts
from tests.sim.lane import Behaviour, VirtualLane
from tests.virtual_time import run
from voicebot.brain.account import Notebook
from voicebot.brain.agenda import Agenda
from voicebot.brain.answer import (
    BrainDeps,
    CallBrain,
    brain_of_one,
)
from voicebot.brain.confidence import Threshold
from voicebot.brain.expert import LOST, Errand, Expert
from voicebot.brain.fixed_words import LATE_NOTICE, acknowledgement, introduction
from voicebot.brain.fleet import Fleet, Member
from voicebot.brain.policy import DOWN_NOTICE, PRIVATE_NOTICE, ExpertState
from voicebot.brain.privacy import Verdict
from voicebot.brain.reply import Reply, ReplySettings
from voicebot.brain.toolbox import Toolbox
from voicebot.brain.tools_runs import CallTools
from voicebot.core import events as ev
from voicebot.core.history import Line
from voicebot.core.labels import Label
from voicebot.engines.base import Cancel, LlmChunk, LlmDone, LlmRequest, TextDelta
from voicebot.errors import EgressDenied, EngineError, EngineUnavailable

HARD = "why did the roman empire fall"
EASY = "hello there"


@dataclass(frozen=True)
class FixedRoute:
    task: str
    hard: float
    oos: float = 0.0
    confidence: float = 0.9


class ListedRouter:
    """Hard is what HARD says, all else is small talk."""

    def __init__(self) -> None:
        self.contexts: list[list[str]] = []

    def route(self, text: str, context: Sequence[str] = ()) -> FixedRoute:
        self.contexts.append(list(context))
        return FixedRoute("talk", 0.9 if text == HARD else 0.1)


class FakeExpert:
    """Says `clauses` after `wait_s`, or fails with `error` then."""

    def __init__(self, *texts: str, wait_s: float = 2.0, error: Exception | None = None) -> None:
        self.texts, self.wait_s, self.error = texts, wait_s, error
        self.requests: list[LlmRequest] = []
        self.cancelled = 0

    async def __call__(self, request: LlmRequest, *, call: str, turn: int, purpose: str) -> AsyncIterator[LlmChunk]:
        self.requests.append(request)
        try:
            await asyncio.sleep(self.wait_s)
            for text in self.texts:
                yield TextDelta(text)
                await asyncio.sleep(0.1)
            if self.error is not None:
                raise self.error
            yield LlmDone("stop")
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


class UnsureLlm(ListedLlm):
    """Answers with little confidence."""

    def generate(self, request: LlmRequest, _cancel: Cancel) -> Iterator[LlmChunk]:
        yield TextDelta("Forty two, I guess.")
        yield LlmDone("stop", mean_logprob=-3.0, min_logprob=-5.0)


class World:
    """One call's brain with a talker that says "Hi." and, perhaps, an expert."""

    def __init__(
        self,
        expert: FakeExpert | None = None,
        label: Label = Label.OPEN,
        threshold: Threshold | None = None,
        talker: ListedLlm | None = None,
        state: ExpertState = "ready",
    ) -> None:
        self.events: list[ev.Event] = []
        self.llm = talker or ListedLlm([TextDelta("Hi.")])
        self.lane: VirtualLane[Any] = VirtualLane(self.llm, QUICK, Random(1))
        self.tts: VirtualLane[Any] = VirtualLane(SimTts(Random(2), BotWords(), RATE_HZ), QUICK, Random(3))
        self.book = Notebook()
        self.router = ListedRouter()
        member = Member("talker", frozenset({"talk"}), self.lane, threshold=threshold or Threshold(), general=True)
        self.label = label
        self.expert = Expert("frontier", expert, lambda _call: state, timeout_s=5.0) if expert else None
        self.deps = BrainDeps(Fleet([member]), self.book, lambda _text: Verdict(self.label), self.router, self.expert)
        self.sink = ListedSink()

    def reply(self, number: int = 5) -> Reply:
        tools = CallTools(Toolbox(), Agenda(lambda _text: None, str), self.events.append, no_tasks)
        return Reply(number, self.tts, self.sink, self.events.append, tools.for_reply(number, number), RATE_HZ)

    async def turn(self, brain: CallBrain, text: str, turn: int = 1, lines: Sequence[Line] = ()) -> None:
        reply = self.reply()
        reply.commit()

        async def write() -> None:
            await brain.answer(reply, turn, text, lines)

        await reply.produce(write)

    def play(self, talk: Callable[[CallBrain], Coroutine[Any, Any, None]]) -> None:
        async def world() -> None:
            for lane in (self.lane, self.tts):
                lane.start()
            await talk(CallBrain("call", self.deps, self.events.append))
            for lane in (self.lane, self.tts):
                await lane.aclose()

        run(world())

    @property
    def said(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, ev.ClauseWritten)]

    @property
    def wanted(self) -> list[str]:
        return [event.request for event in self.events if isinstance(event, ev.ErrandWanted)]


def ask(world: World, text: str, **options: Any) -> None:
    world.play(lambda brain: world.turn(brain, text, **options))


async def errand(world: World, brain: CallBrain, question: str = HARD, lines: Sequence[Line] = ()) -> list[str]:
    """Run one to its end, and what it would say."""
    brain.privacy.turn(1, Verdict(world.label))
    one = Errand(7, 1, question, world.events.append)
    await brain.run_errand(one, lines)
    return [clause async for clause in one.words()]


def test_an_easy_turn_is_the_talkers_and_the_decision_is_booked() -> None:
    world = World(FakeExpert("Never."))
    ask(world, EASY)
    assert world.said == ["Hi."]
    (decision,) = world.book.decisions
    assert (decision.task, decision.label, decision.reason) == ("talk", Label.OPEN, "talk: talker owns it")
    (tried,) = world.book.attempts
    assert (tried.member, tried.outcome, tried.purpose) == ("talker", "ok", "live")
    route = next(event.route for event in world.events if isinstance(event, ev.ReplyBegan))
    assert route["reason"] == "talk: talker owns it" and route["members"] == ["talker"]


def test_a_hard_turn_is_acknowledged_and_asks_nobody_yet() -> None:
    expert = FakeExpert("Of many causes.")
    world = World(expert)
    ask(world, HARD)
    assert world.said == [acknowledgement(HARD)]
    assert world.wanted == [HARD]
    assert expert.requests == [] and world.llm.requests == []


def test_an_unsure_answer_is_not_spoken_but_escalated() -> None:
    world = World(FakeExpert("Never."), threshold=Threshold(min_logprob=-2.0), talker=UnsureLlm([]))
    ask(world, EASY)
    assert world.said == [acknowledgement(EASY)]
    assert world.wanted == [EASY]
    assert world.book.attempts[0].outcome == "rejected"


def test_where_it_cannot_escalate_an_unsure_answer_is_better_than_none() -> None:
    world = World(None, threshold=Threshold(min_logprob=-2.0), talker=UnsureLlm([]))
    ask(world, EASY)
    assert " ".join(world.said) == "Forty two, I guess."


def test_a_private_hard_turn_is_answered_here_after_saying_so() -> None:
    expert = FakeExpert("Never.")
    world = World(expert, label=Label.LOCAL_ONLY)
    ask(world, HARD)
    assert world.said == [PRIVATE_NOTICE, "Hi."]
    assert world.wanted == [] and expert.requests == []


def test_a_quick_expert_answers_in_place_once_the_turn_stands() -> None:
    expert = FakeExpert("Of many causes.", wait_s=0.2)
    world = World(expert)

    async def talk(brain: CallBrain) -> None:
        assert world.expert is not None
        world.expert._waits_ms.append(300)
        reply = world.reply()

        async def write() -> None:
            await brain.answer(reply, 1, HARD, [])

        making = asyncio.create_task(reply.produce(write))
        await asyncio.sleep(5)
        assert expert.requests == []
        reply.commit()
        await making

    world.play(talk)
    assert world.said == ["Of many causes."]


def slow_after_all(world: World) -> None:
    """An expert that used to be quick is asked, and is not."""

    async def talk(brain: CallBrain) -> None:
        assert world.expert is not None
        world.expert._waits_ms.append(300)
        await world.turn(brain, HARD)

    world.play(talk)


def test_an_expert_that_is_not_quick_after_all_is_waited_for_with_a_few_words() -> None:
    world = World(FakeExpert("Of many causes.", wait_s=2.0))
    slow_after_all(world)
    assert world.said == [acknowledgement(HARD), "Of many causes."]
    assert world.wanted == [], "it is asked already"


def test_an_expert_that_says_nothing_in_place_is_replaced_and_not_taken_for_quick_again() -> None:
    world = World(FakeExpert("Never.", wait_s=60.0))
    slow_after_all(world)
    assert world.said == [acknowledgement(HARD), LATE_NOTICE, "Hi."]
    assert world.expert is not None and world.expert.expected_ms == (300 + 5000) / 2


def test_a_local_answer_that_never_comes_leaves_the_notice() -> None:
    world = World(FakeExpert(error=EngineUnavailable("down")))
    world.lane = VirtualLane(world.llm, Behaviour((100.0, 100.0), (0.0, 0.0)), Random(1))
    member = Member("talker", frozenset({"talk"}), world.lane, general=True)
    world.deps = replace(world.deps, fleet=Fleet([member]))
    heard: list[list[str]] = []

    async def talk(brain: CallBrain) -> None:
        heard.append(await errand(world, brain))

    world.play(talk)
    assert heard == [[DOWN_NOTICE]]


def test_a_quick_expert_that_fails_is_replaced_by_the_talker() -> None:
    world = World(FakeExpert(wait_s=0.1, error=EngineUnavailable("down")))

    async def talk(brain: CallBrain) -> None:
        assert world.expert is not None
        world.expert._waits_ms.append(300)
        await world.turn(brain, HARD)

    world.play(talk)
    assert world.said == [DOWN_NOTICE, "Hi."]


def test_the_errands_answer_comes_clause_by_clause_and_its_wait_is_remembered() -> None:
    expert = FakeExpert("Of many causes. ", "Historians differ.")
    world = World(expert)
    heard: list[list[str]] = []

    async def talk(brain: CallBrain) -> None:
        heard.append(await errand(world, brain))

    world.play(talk)
    assert heard == [["Of many causes.", "Historians differ."]]
    assert world.events == [ev.ErrandReady(7, "answered")]
    assert world.expert is not None and world.expert.expected_ms == 2000


def test_the_question_is_self_contained_and_leaves_private_turns_out() -> None:
    expert = FakeExpert("Yes.")
    world = World(expert)
    lines = [
        Line("user", "my pin is a secret", turn=2),
        Line("assistant", "All right.", turn=2),
        Line("user", "tell me of rome", turn=3),
        Line("assistant", "It is a city.", turn=3),
    ]

    async def talk(brain: CallBrain) -> None:
        brain.privacy.turn(2, Verdict(Label.LOCAL_ONLY))
        brain.privacy.turn(3, Verdict(Label.OPEN))
        await errand(world, brain, lines=[*lines, Line("user", HARD, turn=1)])

    world.play(talk)
    texts = [message.text for message in expert.requests[0].messages]
    assert texts[1:] == ["tell me of rome", "It is a city.", HARD]
    assert all(message.label is Label.OPEN for message in expert.requests[0].messages)


def test_a_failed_errand_says_so_and_gives_the_best_local_answer() -> None:
    for error, notice in [
        (EngineUnavailable("down"), DOWN_NOTICE),
        (EgressDenied("no"), PRIVATE_NOTICE),
        (None, DOWN_NOTICE),
    ]:
        world = World(FakeExpert(error=error))
        heard: list[list[str]] = []

        async def talk(brain: CallBrain, world: World = world, heard: list[list[str]] = heard) -> None:
            heard.append(await errand(world, brain))

        world.play(talk)
        assert heard == [[f"{notice} Hi."]]
        assert world.events == [ev.ErrandReady(7, "failed")]


def test_an_expert_that_says_nothing_for_too_long_is_given_up() -> None:
    expert = FakeExpert("Never.", wait_s=60)
    world = World(expert)
    heard: list[list[str]] = []

    async def talk(brain: CallBrain) -> None:
        began = asyncio.get_running_loop().time()
        heard.append(await errand(world, brain))
        assert asyncio.get_running_loop().time() - began < 6

    world.play(talk)
    assert heard == [[f"{LATE_NOTICE} Hi."]]
    assert expert.cancelled == 1


def test_an_answer_that_breaks_off_says_so() -> None:
    world = World(FakeExpert("Of many causes. ", error=EngineError("reset")))
    heard: list[list[str]] = []

    async def talk(brain: CallBrain) -> None:
        heard.append(await errand(world, brain))

    world.play(talk)
    assert heard == [["Of many causes.", LOST]]
    assert world.events == [ev.ErrandReady(7, "answered")]


def test_a_cancelled_errand_cancels_its_request() -> None:
    expert = FakeExpert("Never.", wait_s=60)
    world = World(expert)

    async def talk(brain: CallBrain) -> None:
        task = asyncio.create_task(errand(world, brain))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    world.play(talk)
    assert expert.cancelled == 1 and world.events == []


def test_a_late_answer_is_voiced_after_its_introduction() -> None:
    world = World(FakeExpert("Of many causes."))

    async def talk(brain: CallBrain) -> None:
        brain.privacy.turn(1, Verdict(Label.OPEN))
        one = Errand(7, 1, HARD, world.events.append)
        running = asyncio.create_task(brain.run_errand(one, []))
        await asyncio.wait_for(world.reply(9).deliver(one.words(), introduction(HARD)), 20)
        await running

    world.play(talk)
    assert " ".join(world.said) == f"About your question, {HARD}: Of many causes."
    assert world.events[-1] == ev.ReplyCompleted(9)


def test_the_router_sees_the_last_lines() -> None:
    world = World()
    ask(world, EASY, lines=[Line("user", f"line {number}", turn=number) for number in range(6)])
    assert world.router.contexts == [["line 2", "line 3", "line 4", "line 5"]]


def test_without_a_router_every_turn_is_the_general_members() -> None:
    world = World()
    world.deps = brain_of_one(world.lane, ReplySettings("Be brief."))
    ask(world, HARD)
    assert world.said == ["Hi."]
    assert [message.role for message in world.llm.requests[0]] == ["system", "user"]


def test_a_member_that_fails_is_an_apology_and_after_three_times_passed_over() -> None:
    class Broken(ListedLlm):
        def generate(self, request: LlmRequest, _cancel: Cancel) -> Iterator[LlmChunk]:
            raise EngineUnavailable("no memory")

    world = World(talker=Broken([]))

    async def talk(brain: CallBrain) -> None:
        for turn in range(3):
            await world.turn(brain, EASY, turn=turn)
        assert not world.deps.fleet["talker"].healthy(asyncio.get_running_loop().time())

    world.play(talk)
    assert [event.stage for event in world.events if isinstance(event, ev.ReplyFailed)] == ["llm"] * 3
    assert [tried.outcome for tried in world.book.attempts] == ["failed"] * 3
