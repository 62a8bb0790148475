"""The registry of calls, with a session and a transport of its own making."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from tests.virtual_time import run
from voicebot.calls import Calls, CallSession, CallTransport
from voicebot.metrics import Metrics


class Quiet:
    """Session and transport of a call that lasts a second, or fails then."""

    kind = "quiet"
    call_id = "call-1"
    trace_path = "/traces/call-1.jsonl"

    def __init__(self, fails: bool = False) -> None:
        self.turns: dict[int, dict[str, Any]] = {
            1: {"turn": 1, "heard": "hello", "reply": "Hi."},
            4: {"turn": 4, "heard": "my number is nine", "reply": "Thanks."},
        }
        self.secret = {4}
        self._fails = fails

    def private(self, turn: int) -> bool:
        return turn in self.secret

    async def run(self, _port: object = None) -> None:
        await asyncio.sleep(1)
        if self._fails:
            raise ValueError("broken")


async def carried(quiet: Quiet) -> tuple[list[str], list[str]]:
    """What is shown as heard, during the call and after it."""
    calls = Calls(1, Metrics())
    shown = []
    async with asyncio.TaskGroup() as group:
        with calls.slot() as slot:
            record = slot.start(group, cast(CallTransport, quiet), cast(CallSession, quiet), alias="CA1")
        shown.append([turn["heard"] for turn in record.account()["turns"]])
        await record.over.wait()
    found = calls.find("CA1")
    assert found is record and record.ended
    quiet.secret.clear()  # A call that has gone is asked no more.
    shown.append([turn["heard"] for turn in record.account()["turns"]])
    return shown[0], shown[1]


def test_a_private_turns_words_are_not_shown_during_the_call_nor_after_it() -> None:
    assert run(carried(Quiet())) == (["hello", ""], ["hello", ""])


def test_a_call_that_failed_keeps_its_secrets_too() -> None:
    assert run(carried(Quiet(fails=True))) == (["hello", ""], ["hello", ""])
