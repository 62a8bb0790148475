"""Copies of answered turns: when one is made, who gets it, what is compared, and that it is the first to give way."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from tests.brain.test_answer import EASY, HARD, World
from tests.brain.test_reply import QUICK, ListedLlm
from tests.sim.lane import VirtualLane
from tests.virtual_time import run
from voicebot.brain.account import EXPERT
from voicebot.brain.answer import CallBrain
from voicebot.brain.expert import Expert
from voicebot.brain.fleet import Fleet, Member
from voicebot.brain.policy import ExpertState
from voicebot.brain.privacy import Verdict, prompt_label
from voicebot.brain.reply import Attempt
from voicebot.brain.shadow import JUDGE, LONGEST_S, WAITING, Copy, Shadows, compared, words_in_common
from voicebot.core import events as ev
from voicebot.core.history import Line
from voicebot.core.labels import Label
from voicebot.engines.base import Cancel, LlmChunk, LlmDone, LlmRequest, Message, TextDelta, ToolCall
from voicebot.errors import EgressDenied, EngineUnavailable

TIMER = ToolCall("1", "set_timer", {"duration": "ten minutes"})


class Gate:
    """The expert's: says what it is told to, and denies private prompts as the real one does."""

    def __init__(self, *chunks: LlmChunk, verdict: str = "same", wait_s: float = 0.0) -> None:
        self.chunks, self.verdict, self.wait_s = chunks, verdict, wait_s
        self.asked: list[tuple[str, LlmRequest]] = []
        """Purpose and request of what has passed."""
        self.denied: list[str] = []
        self.cancelled = 0

    async def __call__(self, request: LlmRequest, *, call: str, turn: int, purpose: str) -> AsyncIterator[LlmChunk]:
        if prompt_label(request.messages) is Label.LOCAL_ONLY:
            self.denied.append(purpose)
            raise EgressDenied("a private prompt")
        self.asked.append((purpose, request))
        try:
            await asyncio.sleep(self.wait_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        for chunk in (TextDelta(self.verdict),) if purpose == "judge" else self.chunks:
            yield chunk
        yield LlmDone("stop", prompt_tokens=9, completion_tokens=3)


class Compared(World):
    """A world in which everybody's turns are copied."""

    def __init__(self, gate: Gate, *, judge: bool = False, trial: ListedLlm | None = None, share: float = 1.0,
                 state: ExpertState = "ready", **world: Any) -> None:  # fmt: skip
        super().__init__(**world)
        self.gate = gate
        self.outcomes: list[str] = []
        self.live = Gate(TextDelta("Of many causes."))
        self.deps = replace(self.deps, expert=Expert("big", self.live, lambda _call: "ready"))
        self.trial: VirtualLane[Any] = VirtualLane(trial or ListedLlm([TextDelta("Hi.")]), QUICK, Random(4))
        if trial is not None:
            small = Member("small", frozenset({"talk"}), self.trial, "Be brief.", stage="shadow")
            self.deps = replace(self.deps, fleet=Fleet([*self.deps.fleet, small]))
        behind = Expert("big", gate, lambda _call: state)
        self.shadows = Shadows(share, (), judge, self.book, behind, count=self.outcomes.append)
        self.deps = replace(self.deps, shadows=self.shadows)

    def play(self, talk: Callable[[CallBrain], Coroutine[Any, Any, None]]) -> None:
        async def whole(brain: CallBrain) -> None:
            self.trial.start()
            working = asyncio.create_task(self.shadows.run())
            await talk(brain)
            await asyncio.sleep(LONGEST_S * WAITING)
            working.cancel()
            await self.trial.aclose()

        super().play(whole)

    @property
    def compared(self) -> list[tuple[str, str, float, str]]:
        """Member, purpose, agreement and reason of what is in the books beside the live attempts."""
        return [(one.member, one.purpose, one.agreement, one.reason) for one in self.book.attempts
                if one.purpose != "live"]  # fmt: skip


async def three_turns(world: Compared, brain: CallBrain, *labels: Label) -> None:
    """The first is settled by the two after it. `labels`: what each one's words call for."""
    lines: list[Line] = []
    for turn, label in enumerate(labels or (Label.OPEN,) * 3, start=1):
        world.label = label
        await world.turn(brain, EASY, turn, lines)
        lines += [Line("user", EASY, turn=turn), Line("assistant", "Hi.", turn=turn)]


def test_a_copy_is_sent_when_its_turn_can_no_longer_become_private_and_not_before() -> None:
    world = Compared(Gate(TextDelta("Hi.")))

    async def talk(brain: CallBrain) -> None:
        await world.turn(brain, EASY, 1)
        await world.turn(brain, EASY, 2)
        await asyncio.sleep(60)
        assert world.gate.asked == []
        await world.turn(brain, EASY, 3)

    world.play(talk)
    ((purpose, request),) = world.gate.asked
    assert (purpose, request.messages[-1].text) == ("shadow", EASY)
    assert world.compared == [(EXPERT, "shadow", 1.0, "words")] and world.outcomes == ["compared"]


def test_the_end_of_a_call_settles_its_turns_and_nothing_of_a_copy_is_heard() -> None:
    world = Compared(Gate(TextDelta("Something else entirely.")))

    async def talk(brain: CallBrain) -> None:
        await world.turn(brain, EASY, 1)
        brain.close()

    world.play(talk)
    assert world.compared == [(EXPERT, "shadow", 0.0, "words")]
    assert world.said == ["Hi."] and world.wanted == []
    assert world.deps.expert is not None and world.deps.expert.expected_ms is None, "copies tell nothing of live waits"


def test_what_became_private_afterwards_is_denied_at_the_gate_under_the_label_it_has_then() -> None:
    world = Compared(Gate(TextDelta("Hi.")))

    async def talk(brain: CallBrain) -> None:
        await world.turn(brain, EASY, 1)
        brain.privacy.turn(2, Verdict(Label.LOCAL_ONLY, ("asked",), "hold"))
        brain.close()

    world.play(talk)
    assert world.gate.asked == [] and world.gate.denied == ["shadow"] and world.outcomes == ["denied: label"]
    assert [label for one in world.book.attempts if one.purpose == "shadow" for label in [one.label]] == [
        Label.LOCAL_ONLY
    ]


def test_earlier_private_turns_are_left_out_of_a_copy() -> None:
    world = Compared(Gate(TextDelta("Hi.")))

    async def talk(brain: CallBrain) -> None:
        await three_turns(world, brain, Label.LOCAL_ONLY, Label.OPEN, Label.OPEN)
        brain.close()

    world.play(talk)
    assert world.gate.denied == [], "a private turn is not even planned to be copied"
    assert [len(request.messages) for _, request in world.gate.asked] == [2, 3], "instructions, turn 2, turn 3"


def test_a_turn_that_was_taken_back_is_not_copied_and_one_that_went_on_is_copied_once() -> None:
    world = Compared(Gate(TextDelta("Hi.")))

    async def talk(brain: CallBrain) -> None:
        reply = world.reply()

        async def write() -> None:
            await brain.answer(reply, 1, EASY, [])

        drafting = asyncio.create_task(reply.produce(write))
        await asyncio.sleep(5)
        drafting.cancel()
        await world.turn(brain, EASY, 2)
        await world.turn(brain, f"{EASY} again", 2)
        brain.close()

    world.play(talk)
    assert [request.messages[-1].text for _, request in world.gate.asked] == [f"{EASY} again"]


def test_a_member_on_trial_is_shown_the_tools_and_runs_none_and_learns_of_private_turns_here() -> None:
    class Caller(ListedLlm):
        def generate(self, request: LlmRequest, _cancel: Cancel) -> Iterator[LlmChunk]:
            self.requests.append(request)
            yield TIMER
            yield LlmDone("stop")

    trial = Caller([])
    world = Compared(Gate(), trial=trial)

    async def talk(brain: CallBrain) -> None:
        await three_turns(world, brain, Label.LOCAL_ONLY, Label.OPEN, Label.OPEN)

    world.play(talk)
    (request,) = trial.requests
    assert request.tools and request.messages[0].text == "Be brief."
    assert world.compared == [("small", "shadow", 0.0, "other tool")] and world.gate.asked == []
    assert not [event for event in world.events if isinstance(event, ev.ToolFinished)]


def test_a_trial_is_compared_with_the_expert_where_that_answered_and_nobody_with_themselves() -> None:
    world = Compared(Gate(TextDelta("Hi.")), trial=ListedLlm([TextDelta("Of many causes.")]))

    async def talk(brain: CallBrain) -> None:
        await world.turn(brain, HARD, 1)
        clauses = [clause async for clause in brain._asked(1, HARD, [Message("user", HARD, label=Label.OPEN)])]
        assert clauses == ["Of many causes."]
        brain.close()

    world.play(talk)
    assert world.compared == [("small", "shadow", 1.0, "words")]


def test_callers_who_are_not_sampled_are_never_copied_and_their_trials_are_off() -> None:
    trial = ListedLlm([TextDelta("Hi.")])
    world = Compared(Gate(TextDelta("Hi.")), trial=trial, share=0.0)
    world.play(lambda brain: three_turns(world, brain))
    assert world.compared == [] and trial.requests == [] and world.outcomes == []


def test_the_same_callers_are_sampled_each_time_and_more_of_them_hold_the_fewer() -> None:
    callers = [f"+1555{number:07}" for number in range(2000)]
    few, many = Shadows(0.1), Shadows(0.5)
    chosen = {caller for caller in callers if few.samples(caller)}
    assert chosen == {caller for caller in callers if Shadows(0.1).samples(caller)}
    assert chosen < {caller for caller in callers if many.samples(caller)}
    assert 150 <= len(chosen) <= 250
    assert not any(Shadows(0.0).samples(one) for one in callers) and all(Shadows(1.0).samples(one) for one in callers)


def test_only_the_tasks_that_are_named_are_copied() -> None:
    world = Compared(Gate(TextDelta("Hi.")))
    world.shadows.tasks = ("extract",)
    world.play(lambda brain: three_turns(world, brain))
    assert world.gate.asked == []


# ---- giving way


def copy(turn: int = 1, said: str = "Hi.", calls: Sequence[ToolCall] = (), text: str = EASY) -> Copy:
    attempt = Attempt("x", text=said, calls=[*calls])
    return Copy("call", turn, None, [Message("user", text, label=Label.OPEN)], Label.OPEN, attempt)


def busily(gate: Gate, work: Callable[[Shadows], Coroutine[Any, Any, None]], **options: Any) -> list[str]:
    """What became of the copies that `work` offers."""
    outcomes: list[str] = []

    async def main() -> None:
        state = options.pop("state", "ready")
        shadows = Shadows(1.0, expert=Expert("big", gate, lambda _call: state), count=outcomes.append, **options)
        working = asyncio.create_task(shadows.run())
        await work(shadows)
        await asyncio.sleep(LONGEST_S * WAITING * 2)
        working.cancel()

    run(main())
    return outcomes


def test_copies_are_asked_for_one_at_a_time_and_one_too_many_is_dropped() -> None:
    gate = Gate(TextDelta("Hi."), wait_s=5.0)

    async def work(shadows: Shadows) -> None:
        for turn in range(WAITING + 2):
            shadows.offer(copy(turn))
            await asyncio.sleep(0.01)
        assert len(gate.asked) == 1

    assert busily(gate, work) == ["dropped: full", *["compared"] * (WAITING + 1)]


def test_pressure_drops_what_waits_and_gives_up_what_is_under_way() -> None:
    gate = Gate(TextDelta("Hi."), wait_s=5.0)

    async def work(shadows: Shadows) -> None:
        for turn in range(3):
            shadows.offer(copy(turn))
        await asyncio.sleep(1)
        shadows.press(True)
        await asyncio.sleep(0.01)
        assert gate.cancelled == 1
        shadows.offer(copy(4))
        shadows.press(False)
        shadows.offer(copy(5))

    assert busily(gate, work) == [*["dropped: pressed"] * 2, "given up", "dropped: pressed", "compared"]
    assert len(gate.asked) == 2


def test_a_copy_waits_while_a_turn_does() -> None:
    gate, waiting = Gate(TextDelta("Hi.")), [True]

    async def work(shadows: Shadows) -> None:
        shadows.offer(copy())
        await asyncio.sleep(10)
        assert gate.asked == []
        waiting[0] = False

    assert busily(gate, work, busy=lambda: waiting[0]) == ["compared"]


def test_one_that_takes_too_long_is_given_up_and_the_next_one_had() -> None:
    gate = Gate(TextDelta("Hi."), wait_s=LONGEST_S + 1)

    async def work(shadows: Shadows) -> None:
        shadows.offer(copy())
        await asyncio.sleep(LONGEST_S + 0.5)
        gate.wait_s = 0.0
        shadows.offer(copy(2))

    assert busily(gate, work) == ["given up", "compared"] and gate.cancelled == 1


@pytest.mark.parametrize("state", ["over budget", "down", "none"])
def test_an_expert_that_may_not_be_asked_is_not(state: ExpertState) -> None:
    gate = Gate(TextDelta("Hi."))

    async def work(shadows: Shadows) -> None:
        shadows.offer(copy())

    assert busily(gate, work, state=state) == ["dropped: expert"] and gate.asked == []


def test_one_that_fails_is_counted_and_on_record() -> None:
    class Broken(Gate):
        async def __call__(self, request: LlmRequest, **_asked: Any) -> AsyncIterator[LlmChunk]:
            raise EngineUnavailable("gone")
            yield

    world = Compared(Broken())
    world.play(lambda brain: three_turns(world, brain))
    (member, purpose, agreement, reason) = world.compared[0]
    assert (member, purpose, reason) == (EXPERT, "shadow", "EngineUnavailable") and math.isnan(agreement)
    assert world.outcomes == ["failed"]


def test_a_fault_of_ours_ends_one_copy_and_not_the_comparing(caplog: pytest.LogCaptureFixture) -> None:
    class Faulty(Gate):
        async def __call__(self, request: LlmRequest, **asked: Any) -> AsyncIterator[LlmChunk]:
            if asked["turn"] == 1:
                raise ZeroDivisionError(f"at {request.messages[-1].text}")
            yield TextDelta("Hi.")

    async def work(shadows: Shadows) -> None:
        shadows.offer(copy(1))
        shadows.offer(copy(2))

    assert busily(Faulty(), work) == ["failed", "compared"]
    assert "ZeroDivisionError" in caplog.text and EASY not in caplog.text


# ---- comparing


def made(*chunks: LlmChunk) -> Attempt:
    attempt = Attempt("y")
    attempt.text = "".join(one.text for one in chunks if isinstance(one, TextDelta))
    attempt.calls = [one for one in chunks if isinstance(one, ToolCall)]
    return attempt


@pytest.mark.parametrize(
    ("heard", "other", "agreement"),
    [
        (copy(said="It is ten."), made(TextDelta("it is TEN")), (1.0, "words")),
        (copy(said="It is ten."), made(TextDelta("It is about eleven")), (pytest.approx(4 / 7), "words")),
        (copy(said=""), made(), (1.0, "words")),
        (copy(said="It is ten."), made(), (0.0, "words")),
        (copy(calls=[TIMER]), made(replace(TIMER, call_id="9", arguments={"duration": "Ten  minutes"})),
         (1.0, "same tool")),
        (copy(calls=[TIMER]), made(replace(TIMER, arguments={"duration": "two minutes"})), (0.0, "other tool")),
        (copy(calls=[TIMER]), made(replace(TIMER, name="set_alarm")), (0.0, "other tool")),
        (copy(calls=[TIMER], said="Set."), made(TextDelta("Set.")), (0.0, "other tool")),
        (copy(said="Set."), made(TIMER), (0.0, "other tool")),
    ],
)  # fmt: skip
def test_a_tool_agrees_with_its_arguments_and_words_by_what_they_share(
    heard: Copy, other: Attempt, agreement: tuple[float, str]
) -> None:
    assert compared(heard, other) == agreement


def test_words_in_common_are_even_handed() -> None:
    one, other = "the kitchen closes at ten", "at ten the kitchen closes for the night"
    assert words_in_common(one, other) == words_in_common(other, one) == pytest.approx(10 / 13)


@pytest.mark.parametrize(
    ("verdict", "turn", "good"),
    [("second", 2, 1.0), ("first", 2, 0.0), ("Same.", 2, 1.0), ("first", 1, 1.0), ("second", 1, 0.0), ("Hm", 1, None)],
)
def test_a_judge_is_asked_of_words_that_differ_and_the_places_change(
    verdict: str, turn: int, good: float | None
) -> None:
    world = Compared(Gate(TextDelta("Something else entirely."), verdict=verdict), judge=True)

    async def talk(brain: CallBrain) -> None:
        await world.turn(brain, EASY, turn)
        brain.close()

    world.play(talk)
    assert [purpose for purpose, _ in world.gate.asked] == ["shadow", "judge"]
    asked = world.gate.asked[1][1].messages
    first = "Hi." if turn == 2 else "Something else entirely."
    assert asked[0].text == JUDGE and f"Caller: {EASY}\n\nFirst answer: {first}\n\n" in asked[1].text
    member, purpose, agreement, _ = world.compared[1]
    assert (member, purpose) == (EXPERT, "judge")
    assert math.isnan(agreement) if good is None else agreement == good


def test_no_judge_is_asked_of_answers_that_agree_or_of_tools() -> None:
    for gate in (Gate(TextDelta("Hi.")), Gate(TIMER)):
        world = Compared(gate, judge=True)
        world.play(lambda brain, world=world: three_turns(world, brain))  # type: ignore[misc]
        assert [purpose for purpose, _ in gate.asked] == ["shadow"]


def test_no_judge_is_asked_of_an_expert_that_is_over_budget() -> None:
    trial = ListedLlm([TextDelta("Something else entirely.")])
    world = Compared(Gate(), judge=True, trial=trial, state="over budget")
    world.play(lambda brain: three_turns(world, brain))
    assert world.compared == [("small", "shadow", 0.0, "words")] and world.gate.asked == world.gate.denied == []
    assert world.outcomes == ["compared"]


def test_a_judge_sees_no_answer_that_was_drawn_from_private_words() -> None:
    world = Compared(Gate(TextDelta("Something else entirely.")), judge=True)

    async def talk(brain: CallBrain) -> None:
        await three_turns(world, brain, Label.LOCAL_ONLY, Label.OPEN, Label.OPEN)
        brain.close()

    world.play(talk)
    assert {purpose for purpose, _ in world.gate.asked} == {"shadow"}
    assert set(world.gate.denied) == {"judge"}, "the heard answers had the private turn in their prompt"
