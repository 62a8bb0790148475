"""Each wish carried out once, and what came of it told once: across retries, fallbacks, barge-in and the call's end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from tests.brain.fake_context import FakeContext
from tests.virtual_time import run
from voicebot.brain.toolbox import Toolbox
from voicebot.brain.tools_runs import AT_WORK, END_S, NO_WORDS, WAIT_S, CallTools, ReplyTools, wish_of
from voicebot.brain.tools_types import Tool, ToolResult
from voicebot.core import events as ev
from voicebot.core.labels import Label
from voicebot.engines.base import ToolCall
from voicebot.errors import EngineError


async def stands() -> None:
    """The turn does."""


async def no_phrase(_result: ToolResult) -> str:
    raise AssertionError("this result has words of its own")


@dataclass
class World:
    """One call's tools: `book` acts and is slow, `look` only looks something up, `say` acts at once."""

    takes_s: float = 0.2
    speech: str = "Booked."
    done: list[dict[str, Any]] = field(default_factory=list)
    events: list[ev.Event] = field(default_factory=list)
    cancelled: int = 0
    tools: CallTools = field(init=False)

    async def work(self, _context: Any, arguments: dict[str, Any]) -> ToolResult:
        try:
            await asyncio.sleep(self.takes_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.done.append(arguments)
        return ToolResult({"number": len(self.done)}, self.speech)

    def at_once(self, _context: Any, arguments: dict[str, Any]) -> ToolResult:
        self.done.append(arguments)
        return ToolResult({"number": len(self.done)}, self.speech)

    def play(self, talk: Callable[[World], Coroutine[Any, Any, None]]) -> World:
        async def world() -> None:
            schema = {"type": "object", "properties": {}}
            tools = [
                Tool("book", "Book.", schema, True, self.at_once, self.work, "task", slow=True, timeout_s=60.0),
                Tool("look", "Look.", schema, False, self.at_once, self.work, "task", timeout_s=60.0),
                Tool("say", "Say.", schema, True, self.at_once),
            ]
            async with asyncio.TaskGroup() as group:
                self.tools = CallTools(
                    Toolbox(tools), FakeContext(), self.events.append, lambda work, name: group.create_task(work)
                )
                await talk(self)
                await self.tools.aclose()

        run(world())
        return self

    def reply(self, number: int, turn: int) -> ReplyTools:
        tools = self.tools.for_reply(number, turn)
        tools.begin(Label.OPEN, None)
        return tools

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def notices(self) -> list[str]:
        return [event.text for event in self.of(ev.NoticeDue)]


def wish(name: str = "book", call_id: str = "1", **arguments: Any) -> ToolCall:
    return ToolCall(call_id, name, arguments)


def test_a_retry_and_a_fallback_of_the_same_turn_get_the_run_that_there_is() -> None:
    async def talk(world: World) -> None:
        tools = world.reply(1, turn=1)
        first = await tools.run(wish(people="two"), stands, no_phrase)
        tools.begin(Label.OPEN, None)
        again = await tools.run(wish(people=2, call_id="other"), stands, no_phrase)
        assert first is again and first.value == {"number": 1}

    world = World().play(talk)
    assert world.done == [{"people": "two"}]
    assert len(world.of(ev.ToolFinished)) == 1, "one run is one entry in the history"


def test_the_same_wish_twice_in_one_attempt_is_two_wishes() -> None:
    async def talk(world: World) -> None:
        tools = world.reply(1, turn=1)
        for _ in range(2):
            await tools.run(wish("say", text="hello"), stands, no_phrase)
        tools.begin(Label.OPEN, None)
        for _ in range(2):
            await tools.run(wish("say", text="hello"), stands, no_phrase)

    assert len(World().play(talk).done) == 2


def test_an_acting_tool_waits_until_its_turn_stands_and_a_look_up_does_not() -> None:
    async def talk(world: World) -> None:
        standing = asyncio.Event()
        tools = world.reply(1, turn=1)
        acting = asyncio.create_task(tools.run(wish("say"), standing.wait, no_phrase))
        await tools.run(wish("look"), standing.wait, no_phrase)
        assert len(world.done) == 1 and not acting.done()
        standing.set()
        await acting

    assert len(World().play(talk).done) == 2


def test_a_barge_in_does_not_stop_what_acts_and_its_result_is_said_in_the_next_gap() -> None:
    async def talk(world: World) -> None:
        cut = asyncio.create_task(world.reply(1, turn=1).run(wish(), stands, no_phrase))
        await asyncio.sleep(0.1)
        cut.cancel()
        await asyncio.wait({cut})
        await asyncio.sleep(1)

    world = World().play(talk)
    assert world.done == [{}] and not world.cancelled
    assert world.notices == ["Booked."]
    assert [event.value for event in world.of(ev.ToolFinished)] == [{"number": 1}]


def test_a_barge_in_ends_a_look_up_that_nobody_waits_for() -> None:
    async def talk(world: World) -> None:
        cut = asyncio.create_task(world.reply(1, turn=1).run(wish("look"), stands, no_phrase))
        await asyncio.sleep(0.1)
        cut.cancel()
        await asyncio.wait({cut})
        await asyncio.sleep(1)

    world = World().play(talk)
    assert world.cancelled == 1 and not world.done and not world.notices


def test_a_slow_tool_lets_the_reply_go_on_and_is_told_when_it_is_done() -> None:
    async def talk(world: World) -> None:
        began = asyncio.get_running_loop().time()
        result = await world.reply(1, turn=1).run(wish(), stands, no_phrase)
        assert asyncio.get_running_loop().time() - began == WAIT_S
        assert result.value == AT_WORK and "working on that" in result.speech
        assert not world.notices
        await asyncio.sleep(5)

    world = World(takes_s=4.0).play(talk)
    assert world.notices == ["Booked."] and len(world.done) == 1


def test_the_same_wish_of_the_next_turn_joins_the_run_at_work() -> None:
    async def talk(world: World) -> None:
        await world.reply(1, turn=1).run(wish(people=2), stands, no_phrase)
        await asyncio.sleep(1)
        joined = await world.reply(2, turn=2).run(wish(people="two"), stands, no_phrase)
        assert joined.value == AT_WORK
        await asyncio.sleep(5)

    world = World(takes_s=4.0).play(talk)
    assert len(world.done) == 1 and world.notices == ["Booked."], "done once, told once"


def test_a_result_that_waits_to_be_said_is_taken_by_the_reply_that_asks_for_it_again() -> None:
    async def talk(world: World) -> None:
        await world.reply(1, turn=1).run(wish(), stands, no_phrase)
        await asyncio.sleep(5)
        assert world.notices == ["Booked."]
        taken = await world.reply(2, turn=2).run(wish(), stands, no_phrase)
        assert taken.speech == "Booked."
        assert [event.text for event in world.of(ev.NoticeWithdrawn)] == ["Booked."]

    assert len(World(takes_s=2.0).play(talk).done) == 1


def test_once_its_result_was_said_an_equal_wish_is_a_new_one() -> None:
    async def talk(world: World) -> None:
        await world.reply(1, turn=1).run(wish(), stands, no_phrase)
        await asyncio.sleep(5)
        world.tools.said("Booked.")
        await world.reply(2, turn=2).run(wish(), stands, no_phrase)
        await asyncio.sleep(5)

    assert len(World(takes_s=2.0).play(talk).done) == 2


def test_a_turn_that_is_answered_anew_drops_its_look_ups_and_keeps_what_acted() -> None:
    async def talk(world: World) -> None:
        tools = world.reply(1, turn=1)
        looking = asyncio.create_task(tools.run(wish("look"), stands, no_phrase))
        booking = asyncio.create_task(tools.run(wish("book"), stands, no_phrase))
        await asyncio.sleep(0.1)
        world.reply(2, turn=1)
        await asyncio.wait({looking, booking})

    world = World().play(talk)
    assert world.cancelled == 1 and len(world.done) == 1


def test_a_late_result_without_words_is_put_into_words_by_the_model() -> None:
    async def phrase(result: ToolResult) -> str:
        return f"It is number {result.value['number']}."

    async def broken(_result: ToolResult) -> str:
        raise EngineError("no")

    async def talk(world: World) -> None:
        await world.reply(1, turn=1).run(wish(day="monday"), stands, phrase)
        await world.reply(2, turn=2).run(wish(day="friday"), stands, broken)
        await asyncio.sleep(5)

    assert World(takes_s=2.0, speech="").play(talk).notices == ["It is number 1.", "That is done now."]
    assert NO_WORDS.startswith("Sorry")


def test_a_call_that_ends_lets_what_acts_finish_and_reports_what_nobody_will_know() -> None:
    async def hang_up(world: World) -> None:
        asking = asyncio.create_task(world.reply(1, turn=1).run(wish(), stands, no_phrase))
        await asyncio.sleep(0.1)
        asking.cancel()
        await asyncio.wait({asking})

    finished = World(takes_s=END_S - 1).play(hang_up)
    assert len(finished.done) == 1 and not finished.notices
    assert [event.value for event in finished.of(ev.ToolFinished)] == [{"number": 1}]
    lost = World(takes_s=END_S + 1).play(hang_up)
    (report,) = lost.of(ev.ToolFinished)
    assert not lost.done and "before it was known" in report.value["error"]


def test_a_tool_that_the_member_does_not_have_is_refused_and_on_record() -> None:
    async def talk(world: World) -> None:
        tools = world.tools.for_reply(1, 1)
        assert [one["function"]["name"] for one in tools.begin(Label.OPEN, ("look",))] == ["look"]
        refused = await tools.run(wish("book"), stands, no_phrase)
        assert refused.failed and "cannot do" in refused.speech

    world = World().play(talk)
    assert not world.done and len(world.of(ev.ToolFinished)) == 1


def test_a_wish_is_known_however_a_model_writes_it() -> None:
    assert wish_of(wish(people="two", day=" Friday ")) == wish_of(wish(day="friday", people=2.0, note=""))
    assert wish_of(wish(people=2)) != wish_of(wish(people=3))
    assert wish_of(wish(ok=True)) != wish_of(wish(ok=1))
