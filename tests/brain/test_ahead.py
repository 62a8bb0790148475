"""Reading ahead: who reads, what it is asked, and that nothing else comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from tests.brain.test_answer import HARD, FakeExpert, World
from tests.brain.test_reply import ListedLlm, no_tasks
from voicebot.brain.agenda import Agenda
from voicebot.brain.ahead import Ahead
from voicebot.brain.answer import CallBrain
from voicebot.brain.jobs import Rewrite
from voicebot.brain.toolbox import Toolbox
from voicebot.brain.tools_runs import CallTools
from voicebot.core.history import Line
from voicebot.core.labels import Label
from voicebot.core.wishes import NO_WISHES, Wishes
from voicebot.engines.base import Cancel, LlmChunk, LlmDone, LlmRequest, TextDelta
from voicebot.errors import EngineUnavailable

TALK = (Line("user", "hello", turn=1), Line("assistant", "Hi.", turn=1))


class CachingLlm(ListedLlm):
    """Keeps every request that it was given."""

    def __init__(self, caches: bool = True) -> None:
        super().__init__([TextDelta("Hi.")])
        self.caches_prompts = caches
        self.asked: list[LlmRequest] = []
        self.fails = False

    def generate(self, request: LlmRequest, _cancel: Cancel) -> Iterator[LlmChunk]:
        self.asked.append(request)
        if self.fails:
            raise EngineUnavailable("it is ill")
        yield LlmDone("length")


def foreseen(world: World, text: str, wishes: Wishes = NO_WISHES) -> LlmRequest | None:
    found: list[Any] = []

    async def look(brain: CallBrain) -> None:
        found.append(brain.foresee(text, TALK, wishes))
        assert not brain.privacy.labelled([0, 1, 2]), "nothing is labelled"

    world.play(look)
    assert not world.events and not world.book.decisions and not world.book.attempts, "nothing is told or booked"
    return found[0] and cast(LlmRequest, found[0][1])


def test_the_member_that_would_answer_is_asked_for_no_token_of_the_prompt_that_it_would_get() -> None:
    world = World(talker=CachingLlm())
    request = foreseen(world, "what time is")
    assert request is not None
    assert [(one.role, one.text) for one in request.messages] == [
        ("user", "hello"),
        ("assistant", "Hi."),
        ("user", "what time is"),
    ]
    assert (request.sampling.max_tokens, request.session) == (0, "call")
    assert request.messages[-1].label is Label.LOCAL_ONLY
    assert world.router.contexts == [["hello", "Hi."]]


def test_before_there_are_words_it_is_the_general_member_and_nobody_is_routed() -> None:
    world = World(talker=CachingLlm())
    assert foreseen(world, "") is not None
    assert world.router.contexts == []


def test_a_clients_instructions_and_its_choice_of_a_member_are_in_what_is_read() -> None:
    world = World(talker=CachingLlm())
    request = foreseen(world, "what time is", Wishes(instructions="Be brief.", member="talker", max_tokens=50))
    assert request is not None
    assert (request.messages[0].role, request.messages[0].text) == ("system", "Be brief.")
    assert request.sampling.max_tokens == 0
    assert world.router.contexts == []


def remote(world: World) -> None:
    cast(Any, world.llm).locality = "remote"


def forgetful(world: World) -> None:
    cast(Any, world.llm).caches_prompts = False


def with_a_job(world: World) -> None:
    world.deps.fleet["talker"].job = Rewrite()


@pytest.mark.parametrize("change", [remote, forgetful, with_a_job])
def test_nobody_reads_ahead_who_is_elsewhere_keeps_nothing_or_does_not_talk(change: Callable[[World], None]) -> None:
    world = World(talker=CachingLlm())
    change(world)
    assert foreseen(world, "what time is") is None


def test_nobody_reads_what_an_expert_would_be_asked() -> None:
    assert foreseen(World(FakeExpert("Never."), talker=CachingLlm()), HARD) is not None, "a private turn stays here"
    world = World(FakeExpert("Never."), talker=CachingLlm())
    world.deps.fleet["talker"].tasks = frozenset()
    assert foreseen(world, "what time is") is not None


def reading(llm: CachingLlm, act: Callable[[Ahead, Any], Any]) -> list[asyncio.Task[None]]:
    """What tasks there were, after `act` and all that it began."""
    world, tasks = World(talker=llm), list[asyncio.Task[None]]()

    async def talk(brain: CallBrain) -> None:
        def spawn(work: Any, name: str) -> asyncio.Task[None]:
            tasks.append(asyncio.get_running_loop().create_task(work, name=name))
            return tasks[-1]

        tools = CallTools(Toolbox(), Agenda(lambda _text: None, str), world.events.append, no_tasks)
        await act(Ahead(brain.foresee, tools, spawn), tasks)
        await asyncio.gather(*tasks, return_exceptions=True)

    world.play(talk)
    return tasks


def test_the_latest_words_replace_those_that_are_still_being_read_and_an_answer_ends_it() -> None:
    async def act(ahead: Ahead, tasks: list[asyncio.Task[None]]) -> None:
        ahead.read("what", TALK, NO_WISHES)
        ahead.read("what time is", TALK, NO_WISHES)
        await tasks[1]
        ahead.read("what time is it in", TALK, NO_WISHES)
        ahead.stop()
        ahead.stop()

    llm = CachingLlm()
    first, second, third = reading(llm, act)
    assert first.cancelled() and third.cancelled() and not second.cancelled()
    assert [request.messages[-1].text for request in llm.asked] == ["what time is"]
    assert {tool["function"]["name"] for tool in llm.asked[0].tools} >= {"get_time"}, (
        "the reply's tools are in the prompt"
    )


def test_an_engine_that_fails_at_it_fails_nothing_else() -> None:
    async def act(ahead: Ahead, _tasks: Any) -> None:
        ahead.read("what time is", TALK, NO_WISHES)

    llm = CachingLlm()
    llm.fails = True
    (task,) = reading(llm, act)
    assert len(llm.asked) == 1 and task.exception() is None


def test_where_nobody_reads_no_task_is_begun() -> None:
    async def act(ahead: Ahead, _tasks: Any) -> None:
        ahead.read("what time is", TALK, NO_WISHES)

    assert reading(CachingLlm(caches=False), act) == []
