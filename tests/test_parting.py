from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from tests.virtual_time import run as run_virtual
from voicebot.core.events import EndCall, NoticeDue
from voicebot.parting import NOT_PUT_THROUGH, Parting
from voicebot.transports.base import PhoneLine


class Call:
    """A call's parting, and everything that it did."""

    def __init__(self, works: bool = True, able: bool = True) -> None:
        self.asked: list[str] = []
        self.ended: list[EndCall] = []
        self.notices: list[NoticeDue] = []
        self._works = works
        self._tasks: set[asyncio.Task[None]] = set()
        line = PhoneLine("+15550100", "+15550199", {"menu": "7"}, *([self._do, self._do] if able else []))
        self.parting = Parting("call-1", line, self.ended.append, self.notices.append, self._spawn)
        self.tools = self.parting.for_tools()

    async def _do(self, what: str) -> bool:
        self.asked.append(what)
        return self._works

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)

    async def settle(self) -> None:
        await asyncio.gather(*self._tasks)


def test_tools_see_the_line() -> None:
    tools = Call().tools
    assert (tools["caller"], tools["called"], tools["parameters"]) == ("+15550100", "+15550199", {"menu": "7"})


def test_a_transfer_happens_once_the_reply_was_heard() -> None:
    async def main() -> None:
        call = Call()
        call.tools["transfer_call"]("+15550123")
        await call.settle()
        assert call.asked == []
        call.parting.said()
        call.parting.said()
        await call.settle()
        assert (call.asked, call.ended, call.notices) == (["+15550123"], [], [])

    run_virtual(main())


def test_a_caller_who_goes_on_is_neither_transferred_nor_hung_up_on() -> None:
    call = Call()
    call.tools["transfer_call"]("+15550123")
    call.tools["end_call"]("goodbye")
    call.parting.withdraw()
    call.parting.said()
    assert (call.asked, call.ended) == ([], [])


def test_a_transfer_that_fails_is_told_to_the_caller() -> None:
    async def main() -> None:
        call = Call(works=False)
        call.tools["transfer_call"]("+15550123")
        call.parting.said()
        await call.settle()
        assert call.notices == [NoticeDue(NOT_PUT_THROUGH)]

    run_virtual(main())


def test_hanging_up_waits_for_the_reply_too() -> None:
    call = Call()
    call.tools["end_call"]("goodbye")
    assert call.ended == []
    call.parting.said()
    assert call.ended == [EndCall("goodbye")]


def test_keys_are_pressed_at_once(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        call = Call(works=False)
        call.tools["play_digits"]("12#")
        await call.settle()
        assert call.asked == ["12#"]
        assert "3 DTMF keys were not played" in caplog.text and "12#" not in caplog.text

    run_virtual(main())


def test_a_line_that_can_neither_says_so() -> None:
    tools = Call(able=False).tools
    assert (tools["transfer_call"], tools["play_digits"]) == (None, None)
