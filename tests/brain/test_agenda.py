"""A call's timers, volume and clock, on virtual time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tests.virtual_time import run
from voicebot.brain.agenda import SCHEDULED_LIMIT, Agenda
from voicebot.brain.tools import TooManyScheduled, run_tool

START = datetime(2030, 5, 6, 12, 0, tzinfo=UTC)


def agenda() -> tuple[Agenda, list[tuple[float, str]], list[int]]:
    """With what it said (when, words) and the volumes it showed. The wall clock follows the loop's."""
    loop = asyncio.get_running_loop()
    said: list[tuple[float, str]] = []
    volumes: list[int] = []
    made = Agenda(
        notify=lambda text: said.append((loop.time(), text)),
        last_words=lambda: "the last words",
        wall_clock=lambda: START + timedelta(seconds=loop.time()),
        show_volume=volumes.append,
    )
    return made, said, volumes


def test_a_correction_leaves_one_timer_to_ring() -> None:
    async def body() -> None:
        plans, said, _ = agenda()
        run_tool(plans, "set_timer", {"duration": "ten seconds", "name": "tea"})
        run_tool(plans, "set_timer", {"duration": "five seconds"})
        run_tool(plans, "set_timer", {"duration": "twenty seconds", "replaces": "last"})
        assert [item.name for item in plans.scheduled()] == ["tea", ""]
        await asyncio.sleep(60)
        assert [round(at) for at, _ in said] == [10, 20]

    run(body())


def test_what_is_due_is_said_when_it_is_due_and_then_forgotten() -> None:
    async def body() -> None:
        plans, said, _ = agenda()
        plans.schedule(START + timedelta(seconds=60), "timer", "second")
        plans.schedule(START + timedelta(seconds=30), "timer", "first")
        assert [item.text for item in plans.scheduled()] == ["first", "second"]
        await asyncio.sleep(61)
        assert [(round(at, 3), text) for at, text in said] == [(30, "first"), (60, "second")]
        assert plans.scheduled() == []

    run(body())


def test_what_is_overdue_is_said_at_once() -> None:
    async def body() -> None:
        plans, said, _ = agenda()
        plans.schedule(START - timedelta(hours=1), "alarm", "late")
        await asyncio.sleep(0.01)
        assert [text for _, text in said] == ["late"]

    run(body())


def test_what_is_taken_back_is_never_said() -> None:
    async def body() -> None:
        plans, said, _ = agenda()
        item = plans.schedule(START + timedelta(seconds=5), "timer", "never")
        assert plans.unschedule(item) is True
        assert plans.unschedule(item) is False
        await asyncio.sleep(10)
        assert said == []

    run(body())


def test_the_end_of_the_call_cancels_all_and_tells_what_was_left() -> None:
    async def body() -> None:
        plans, said, _ = agenda()
        plans.schedule(START + timedelta(seconds=5), "timer", "one")
        plans.schedule(START + timedelta(seconds=3), "reminder", "two", "name")
        assert [item.text for item in plans.close()] == ["two", "one"]
        assert plans.close() == []
        await asyncio.sleep(10)
        assert said == []

    run(body())


def test_one_more_than_the_limit_is_refused_and_a_tool_puts_it_in_words() -> None:
    async def body() -> None:
        plans, _, _ = agenda()
        for _ in range(SCHEDULED_LIMIT):
            plans.schedule(START + timedelta(hours=1), "timer", "x")
        with pytest.raises(TooManyScheduled, match="50 timers"):
            plans.schedule(START + timedelta(hours=1), "timer", "x")
        result = run_tool(plans, "set_timer", {"duration": "ten minutes"})
        assert result.failed and "cannot keep any more" in result.speech
        plans.close()

    run(body())


def test_volume_stays_within_0_and_100_and_is_shown() -> None:
    async def body() -> None:
        plans, _, shown = agenda()
        for percent in (30, 150, -5):
            plans.set_volume(percent)
        assert shown == [30, 100, 0] and plans.volume() == 0

    run(body())


def test_the_clock_and_the_last_words_are_those_given() -> None:
    async def body() -> None:
        plans, _, _ = agenda()
        assert plans.now() == START and plans.last_reply() == "the last words"

    run(body())
