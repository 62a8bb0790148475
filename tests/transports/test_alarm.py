"""A sleep that can be cut short, in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from tests.virtual_time import run
from voicebot.transports.alarm import Alarm


async def slept_s(alarm: Alarm, until_s: float) -> float:
    loop = asyncio.get_running_loop()
    began = loop.time()
    await alarm.sleep_until(until_s)
    return loop.time() - began


def test_nobody_rings_and_the_time_comes() -> None:
    assert run(slept_s(Alarm(), 3.0)) == 3.0


def test_a_time_that_has_passed_is_not_waited_for() -> None:
    assert run(slept_s(Alarm(), -1.0)) == 0.0


@pytest.mark.parametrize("until_s", [0.020001, 0.0203, 0.0207])
def test_one_sleeps_to_the_next_whole_millisecond_as_a_coarse_clock_would_not_have_come_so_far(until_s: float) -> None:
    assert run(slept_s(Alarm(), until_s)) == 0.021


def test_a_sum_that_is_a_hair_beside_a_millisecond_is_that_millisecond() -> None:
    assert run(slept_s(Alarm(), sum([0.02] * 8))) == 0.16


def test_who_is_rung_wakes_at_once_and_leaves_no_timer() -> None:
    async def main() -> float:
        alarm = Alarm()
        asyncio.get_running_loop().call_later(0.5, alarm.ring)
        return await slept_s(alarm, 100.0)

    assert run(main()) == 0.5


def test_ringing_where_nobody_sleeps_does_nothing() -> None:
    async def main() -> float:
        alarm = Alarm()
        alarm.ring()
        await slept_s(alarm, 1.0)
        alarm.ring()
        return await slept_s(alarm, 3.0)

    assert run(main()) == 2.0


def test_a_sleeper_who_is_cancelled_leaves_no_timer() -> None:
    async def main() -> None:
        alarm = Alarm()
        sleeper = asyncio.create_task(alarm.sleep_until(100.0))
        await asyncio.sleep(0)
        sleeper.cancel()
        await asyncio.gather(sleeper, return_exceptions=True)
        alarm.ring()

    run(main())
