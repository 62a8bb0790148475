"""Tools in a whole call, on virtual time: slow ones in the background, barge-in, hanging up and handing over."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.sim.script import Script, perform
from voicebot.brain.tools_call import end_call, transfer_tool
from voicebot.brain.tools_types import Tool, ToolResult
from voicebot.engines.base import ToolCall

BOOK = ToolCall("c1", "book", {"people": "two"})


class Booking:
    """A slow tool that acts."""

    def __init__(self, takes_s: float) -> None:
        self.takes_s, self.booked = takes_s, 0
        self.tool = Tool("book", "Book.", {"type": "object"}, True, self._here, self._book, "task", True, 60.0)

    def _here(self, _context: Any, _arguments: dict[str, Any]) -> ToolResult:
        raise AssertionError("it runs as a task")

    async def _book(self, _context: Any, _arguments: dict[str, Any]) -> ToolResult:
        await asyncio.sleep(self.takes_s)
        self.booked += 1
        return ToolResult({"number": self.booked}, "Your table is booked.")


def test_a_slow_tool_is_announced_worked_on_meanwhile_and_told_when_the_caller_has_finished() -> None:
    async def act(world: Script) -> None:
        await world.say("book a table")
        await world.until("speaking")
        await world.until("listening")
        assert "working on that" in world.exchanges[0][1]
        await asyncio.sleep(2.0)
        await world.say("meanwhile tell me about copper if you do not mind at all please")
        await world.until("speaking")
        assert booking.booked == 1, "it was done while the caller spoke"
        assert len(world.exchanges) == 2, "and not said over the caller"
        await asyncio.sleep(6)
        await world.until("listening")

    booking = Booking(6.0)
    world = perform(act, BOOK, "Copper it is.", tools=[booking.tool])
    assert [bot for _, bot in world.exchanges][1:] == ["Copper it is.", "Your table is booked."]


def test_speaking_over_the_reply_that_books_neither_books_twice_nor_loses_the_result() -> None:
    async def act(world: Script) -> None:
        await world.say("book a table")
        await world.until("thinking")
        await asyncio.sleep(0.4)  # It is at work, and nothing has been said yet.
        await world.say("are you still there my friend")
        await world.until("speaking")
        await world.until("listening")
        await asyncio.sleep(3)
        await world.until("listening")

    booking = Booking(1.5)
    world = perform(act, BOOK, "River table seven.", tools=[booking.tool])
    assert booking.booked == 1
    assert [bot for _, bot in world.exchanges].count("Your table is booked.") == 1


def test_hanging_up_by_tool_lets_the_goodbye_be_heard() -> None:
    async def act(world: Script) -> None:
        await world.say("goodbye then")
        await world.until("ended")

    world = perform(act, ToolCall("c1", "end_call", {}), tools=[end_call])
    assert world.exchanges == [("goodbye then", "Goodbye.")]
    assert '"end":"the caller said goodbye"' in world.writer.lines()[-1]


def test_a_caller_is_handed_over_when_the_words_that_say_so_have_been_heard() -> None:
    async def act(world: Script) -> None:
        await world.say("the sales people please")
        await world.until("speaking")
        assert not world.transfers
        await world.until("ended")

    wish = ToolCall("c1", "transfer_call", {"to": "sales"})
    world = perform(act, wish, tools=[transfer_tool({"Sales": "+15550001"})])
    assert world.transfers == ["+15550001"]
    assert world.exchanges[0][1] == "One moment, I am putting you through to Sales."
