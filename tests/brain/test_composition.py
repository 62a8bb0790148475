"""Answers in writing: the plan of a spoken turn carried out for a reader; the client's tools and wishes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from tests.brain.test_answer import HARD, FakeExpert, ListedRouter
from tests.brain.test_reply import QUICK
from tests.sim.engines import SimEngine
from tests.sim.lane import Behaviour, VirtualLane
from tests.virtual_time import run
from voicebot.brain.account import Notebook
from voicebot.brain.agenda import Agenda
from voicebot.brain.answer import BrainDeps
from voicebot.brain.composition import Writer
from voicebot.brain.expert import Expert
from voicebot.brain.fleet import Fleet, Member
from voicebot.brain.policy import DOWN_NOTICE, Limits
from voicebot.brain.privacy import CallPrivacy, Verdict
from voicebot.brain.toolbox import Toolbox
from voicebot.core.composed import Piece, WroteAll, WroteCall, WroteText
from voicebot.core.history import Line, ToolUse
from voicebot.core.labels import Label
from voicebot.core.wishes import Wishes
from voicebot.engines.base import Cancel, LlmChunk, LlmDone, LlmRequest, TextDelta, ToolCall
from voicebot.errors import EngineUnavailable

LOOK_UP = {"type": "function", "function": {"name": "look_up", "description": "d", "parameters": {"type": "object"}}}
DONE = LlmDone("stop", prompt_tokens=10, completion_tokens=4)


class ExactLlm(SimEngine):
    """Each generation is the next of its lists of chunks, or fails with it."""

    def __init__(self, generations: Sequence[Sequence[LlmChunk]]) -> None:
        super().__init__("exact", Random(0))
        self.requests: list[LlmRequest] = []
        self._generations = iter(generations)

    def generate(self, request: LlmRequest, _cancel: Cancel) -> Iterator[LlmChunk]:
        self.requests.append(request)
        yield from next(self._generations)


class World:
    """One answer, written by scripted models on virtual time."""

    def __init__(self, *replies: Any, expert: FakeExpert | None = None, slow: bool = False, label: Any = None) -> None:
        self.llm = ExactLlm(replies)
        self.expert = expert
        self.slow = slow
        self.label = label or Label.OPEN
        self.notebook = Notebook()
        self.pieces: list[Piece] = []
        self.behaviour = QUICK

    def write(self, *lines: Line, wishes: Wishes | None = None) -> list[Piece]:
        run(self._write(lines or (Line("user", "hello there", turn=1),), wishes or Wishes()))
        return self.pieces

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces if isinstance(piece, WroteText))

    @property
    def end(self) -> WroteAll:
        end = self.pieces[-1]
        assert isinstance(end, WroteAll)
        return end

    async def _write(self, lines: tuple[Line, ...], wishes: Wishes) -> None:
        lane = VirtualLane(self.llm, self.behaviour, Random(1))
        lane.start()
        members = [
            Member(name, frozenset({"talk"}), lane, "Be kind.", general=name == "talker") for name in ("talker", "poet")
        ]
        expert = Expert("frontier", self.expert, lambda _call: "ready") if self.expert else None
        limits = Limits(acknowledge_ms=0.0 if self.slow else 1e9)
        deps = BrainDeps(
            Fleet(members), self.notebook, lambda _text: Verdict(self.label), ListedRouter(), expert, limits
        )
        privacy = CallPrivacy(Label.OPEN)
        for line in lines:
            privacy.turn(line.turn, Verdict(self.label))
        async with asyncio.TaskGroup() as group:
            writer = Writer("c1", deps, privacy, Toolbox(threads=VirtualLane(self.llm, QUICK, Random(1))), agenda(),
                            lambda work, name: group.create_task(work, name=name))  # fmt: skip

            async def emit(piece: Piece) -> None:
                self.pieces.append(piece)

            await writer.write(7, lines, wishes, emit)
        await lane.aclose()


def agenda() -> Agenda:
    return Agenda(notify=lambda _text: None, last_words=lambda: "")


def test_words_come_as_the_model_writes_them_and_the_end_has_the_counts() -> None:
    world = World([TextDelta("1. One\n"), TextDelta("2. Two"), DONE])
    assert world.write() == [WroteText("1. One\n"), WroteText("2. Two"), WroteAll("stop", 10, 4, 0, "", "talker")]
    assert world.notebook.attempts[0].turn == 7


def test_the_clients_wishes_are_laid_over_the_members_own() -> None:
    world = World([TextDelta("Yes."), DONE])
    world.write(wishes=Wishes(instructions="Be brief.", temperature=0.7, max_tokens=5, stop=("x",), member="poet"))
    request = world.llm.requests[0]
    assert request.messages[0].text == "Be kind.\n\nBe brief."
    assert (request.sampling.temperature, request.sampling.max_tokens, request.sampling.stop) == (0.7, 5, ("x",))
    assert world.end.model == "poet"


def test_a_tool_of_the_clients_ends_the_answer() -> None:
    world = World([ToolCall("call_1", "look_up", {"order": 7}), LlmDone("tool_calls")])
    call, end = world.write(wishes=Wishes(tools=(LOOK_UP,)))
    assert isinstance(call, WroteCall) and (call.name, call.arguments) == ("look_up", {"order": 7})
    assert end == WroteAll("tool_calls", model="talker")
    assert len(world.llm.requests) == 1
    assert LOOK_UP in world.llm.requests[0].tools


def test_one_of_our_own_tools_runs_and_its_words_stand_apart() -> None:
    world = World([TextDelta("Let me see."), ToolCall("c", "calculate", {"expression": "two plus two"}), DONE])
    world.write()
    assert world.text == "Let me see. That is four." and world.end.finish == "stop"


def test_a_tools_result_is_answered_here_and_not_routed_anew() -> None:
    use = ToolUse("call_1", "look_up", {}, {"state": "sent"})
    world = World([TextDelta("It was sent."), DONE], expert=FakeExpert("No."))
    world.write(Line("user", HARD, turn=1), Line("assistant", tool=use, turn=1), Line("tool", tool=use, turn=1))
    assert world.text == "It was sent." and not world.expert.requests  # type: ignore[union-attr]


def test_a_hard_question_is_the_experts_and_a_reader_gets_no_acknowledgement() -> None:
    for slow in (False, True):
        world = World(expert=FakeExpert("It was ", "overstretched. And ", "then it fell."), slow=slow)
        world.write(Line("user", HARD, turn=1))
        assert world.text == "It was overstretched. And then it fell."
        assert world.end.model == "frontier"


def test_where_the_expert_fails_the_reader_is_told_and_gets_the_best_local_words() -> None:
    for slow in (False, True):
        broken = FakeExpert(error=EngineUnavailable("gone"))
        world = World([TextDelta("I only know that it fell."), DONE], expert=broken, slow=slow)
        world.write(Line("user", HARD, turn=1))
        assert world.text == f"{DOWN_NOTICE} I only know that it fell."


def test_private_words_never_reach_the_expert() -> None:
    world = World([TextDelta("I do not know."), DONE], expert=FakeExpert("Ah."), label=Label.LOCAL_ONLY)
    world.write(Line("user", HARD, turn=1))
    assert "I do not know." in world.text and not world.expert.requests  # type: ignore[union-attr]


def test_an_answer_that_fails_says_why_in_its_end() -> None:
    world = World()
    world.behaviour = Behaviour(fails=1.0)
    world.write()
    assert world.end.finish == "failed" and world.end.reason.startswith("Engine")


def test_an_answer_cut_at_its_limit_says_so() -> None:
    world = World([TextDelta("And so"), LlmDone("length")])
    world.write()
    assert world.end.finish == "length"
