"""Durations, clock times and days in speech."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.brain.fake_context import NOW
from voicebot.brain.tools_durations import parse_duration, spoken_duration
from voicebot.brain.tools_places import PLACES, find_zone
from voicebot.brain.tools_times import parse_day, parse_time, parse_times, spoken_clock, spoken_moment


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("ten minutes", 600), ("10 min", 600), ("10min", 600), ("10-minute", 600), ("ten minute", 600),
        ("half an hour", 1800), ("half hour", 1800), ("an hour and a half", 5400), ("hour and a half", 5400),
        ("one and a half hours", 5400), ("a minute and a half", 90), ("two and a half minutes", 150),
        ("2.5 hours", 9000), ("a quarter of an hour", 900), ("three quarters of an hour", 2700),
        ("a couple of minutes", 120), ("an hour and twenty minutes", 4800), ("1 hour 30 mins", 5400), ("1h 5m", 3900),
        ("90 seconds", 90), ("a second", 1), ("ten minutes from now", 600), ("1:30", 90), ("for minutes", 240),
        ("two days", 172800), ("exactly one hour", 3600), ("25 mins", 1500),
    ],
)  # fmt: skip
def test_durations(said: str, seconds: int) -> None:
    assert parse_duration(said) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "said", ["", "blue", "ten", "minus five minutes", "zero minutes", "900 years", "ten blue minutes"]
)
def test_what_is_no_duration_is_none(said: str) -> None:
    assert parse_duration(said) is None


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 3600 * 20).filter(lambda seconds: seconds < 3600 or seconds % 60 == 0))
def test_a_spoken_duration_is_understood_again(seconds: int) -> None:
    span = timedelta(seconds=seconds)
    assert parse_duration(spoken_duration(span)) == span


@pytest.mark.parametrize(
    ("said", "day", "clock"),
    [
        ("seven am", 5, "07:00"), ("7am", 5, "07:00"), ("7 a.m.", 5, "07:00"), ("seven p m", 4, "19:00"),
        ("five", 4, "17:00"), ("at four thirty", 4, "16:30"), ("half past six", 4, "18:30"),
        ("a quarter to nine", 4, "20:45"), ("noon", 5, "12:00"), ("quarter after six tomorrow", 5, "06:15"),
        ("tomorrow at seven", 5, "07:00"), ("eight tomorrow morning", 5, "08:00"), ("midnight", 5, "00:00"),
        ("six oh five tomorrow", 5, "06:05"), ("615am", 5, "06:15"), ("16:00", 4, "16:00"),
        ("in two hours", 4, "17:20"), ("tonight", 4, "20:00"), ("tonight at nine", 4, "21:00"),
        ("tomorrow", 5, "09:00"), ("on monday", 9, "09:00"), ("monday at 8 pm", 9, "20:00"),
        ("friday morning", 6, "09:00"), ("the 23rd", 23, "09:00"), ("three in the morning", 5, "03:00"),
        ("eight o'clock", 4, "20:00"), ("ten past five in the evening", 4, "17:10"),
        ("twenty minutes to six", 4, "17:40"), ("this evening", 4, "19:00"),
        ("seven thirty in the evening", 4, "19:30"), ("march ninth at noon", 9, "12:00"), ("12", 5, "12:00"),
        ("tommorow at 3pm", 5, "15:00"),
    ],
)  # fmt: skip
def test_moments(said: str, day: int, clock: str) -> None:
    moment = parse_time(said, NOW)
    assert moment is not None
    assert (moment.month, moment.day, moment.strftime("%H:%M")) == (3, day, clock)


@pytest.mark.parametrize("said", ["", "blue", "25 o'clock", "seven seventy", "half past", "at", "quarter to blue"])
def test_what_is_no_moment_is_none(said: str) -> None:
    assert parse_time(said, NOW) is None


@pytest.mark.parametrize(
    ("said", "clocks"),
    [
        ("11am and 132pm", ["11:00", "13:32"]), ("10:00 and another one set for 4:00", ["22:00", "16:00"]),
        ("235pm and another an hour later", ["14:35", "15:35"]), ("one and two in the morning", ["01:00", "02:00"]),
        ("5:45 am and an alarm for 6:15 am", ["05:45", "06:15"]), ("12 pm and the next at 1 pm", ["12:00", "13:00"]),
        ("ten pm and midnight", ["22:00", "00:00"]), ("seven and eight tomorrow", ["07:00", "08:00"]),
    ],
)  # fmt: skip
def test_several_alarms_in_one_breath(said: str, clocks: list[str]) -> None:
    assert [moment.strftime("%H:%M") for moment in parse_times(said, NOW)] == clocks


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 1439))
def test_a_spoken_clock_time_is_understood_again(minutes: int) -> None:
    moment = NOW.replace(hour=minutes // 60, minute=minutes % 60)
    again = parse_time(spoken_clock(moment), NOW)
    assert again is not None
    assert (again.hour, again.minute) == (moment.hour, moment.minute)


def test_every_moment_lies_ahead_also_across_a_change_of_the_clocks() -> None:
    before = datetime(2026, 3, 8, 1, 30, tzinfo=ZoneInfo("America/New_York"))
    moment = parse_time("in one hour", before)
    assert moment is not None
    assert moment.strftime("%H:%M") == "03:30"


@pytest.mark.parametrize(
    ("said", "day"),
    [
        ("today", date(2026, 3, 4)),
        ("tomorrow", date(2026, 3, 5)),
        ("yesterday", date(2026, 3, 3)),
        ("the day after tomorrow", date(2026, 3, 6)),
        ("in six days", date(2026, 3, 10)),
        ("2 weeks from now", date(2026, 3, 18)),
        ("100 days from today", date(2026, 6, 12)),
        ("next friday", date(2026, 3, 13)),
        ("this saturday", date(2026, 3, 7)),
        ("a week from tomorrow", date(2026, 3, 12)),
        ("twenty-one days", date(2026, 3, 25)),
        ("christmas", date(2026, 12, 25)),
    ],
)
def test_days(said: str, day: date) -> None:
    assert parse_day(said, NOW) == day


def test_a_moment_is_told_as_seen_from_now() -> None:
    assert spoken_moment(NOW + timedelta(days=1), NOW) == "tomorrow at three twenty in the afternoon"
    assert spoken_moment(NOW + timedelta(days=5), NOW).startswith("on Monday, March ninth at")


def test_every_place_has_a_zone_of_this_machine() -> None:
    assert len(PLACES) > 300
    assert all(find_zone(place) is not None for place in PLACES)
    assert find_zone("Zorblat") is None
