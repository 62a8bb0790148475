"""Moments in time, read from speech ("half past six tomorrow", "in an hour", "monday morning") and said back.

Without "am" or "pm" an hour means its next occurrence; on a named day it means the waking hours (five to four).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

from voicebot.brain.tools_durations import parse_duration
from voicebot.brain.tools_numbers import ORDINALS, ordinal, parse_number, spoken

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
          "december")  # fmt: skip
_PARTS = {"morning": 9, "afternoon": 15, "evening": 19, "night": 21, "tonight": 20, "daybreak": 6, "dawn": 6,
          "sunrise": 6, "twilight": 20, "dusk": 20, "sunset": 20, "lunchtime": 12}  # fmt: skip
DEFAULT_HOUR = 9
_LOOSE = {"later": 60, "in a bit": 30, "in a while": 60, "in awhile": 60, "soon": 15, "a bit later": 30, "right now": 1,
          "later today": 180, "in a moment": 5, "in a few": 5}  # fmt: skip
_SPLIT = re.compile(
    r"\s*(?:,|;|\band\b)\s*(?:then )?(?:(?:a second|an|another|one|the|my)\b ?)?"
    r"(?:(?:other|next|second|alarm|one)\b ?)*(?:set )?(?:for |at )?(?=\S)"
)
_NOISE = re.compile(r"\b(?:at|on|by|the|for|of|please|sharp|exactly|around|about|um|uh|set|me|this coming)\b")
MAX_TIMES = 5


@dataclass(frozen=True, slots=True)
class _Read:
    """What a phrase said so far: a day, a part of the day, a clock time; `rest` is not understood yet."""

    rest: list[str]
    day: date | None = None
    part: str = ""
    meridiem: str = ""
    hour: int | None = None
    minute: int = 0
    notes: tuple[str, ...] = field(default=())


def parse_times(text: str, now: datetime) -> list[datetime]:
    """Every moment that a phrase names, all after `now`; empty if any part of it is not understood."""
    whole = parse_time(text, now)
    if whole is not None:
        return [whole]
    parts = [part for part in _SPLIT.split(_tidy(text)) if part.strip()][: MAX_TIMES + 1]
    if not 2 <= len(parts) <= MAX_TIMES:
        return []
    hints = _shared_hints(parts)
    moments: list[datetime] = []
    for part in parts:
        if found := re.fullmatch(r"(?:an? |one )?(.+) later", part):
            span = parse_duration(("an " if part.startswith("an ") else "") + found[1])
            moment = after(moments[-1], span) if span and moments else None
        else:
            moment = parse_time(part, now) if _has_hint(part) else parse_time(f"{part} {hints}".strip(), now)
        if moment is None:
            return []
        moments.append(moment)
    return moments


def _has_hint(part: str) -> bool:
    return re.search(r"\b[ap]m\b|morning|afternoon|evening|night|noon|tomorrow|day\b", part) is not None


def _shared_hints(parts: list[str]) -> str:
    """ "six and seven tomorrow morning": what the last part says of the day holds for those that say nothing."""
    found = re.search(
        r"(?:(?:in the |on )?(?:tomorrow|today|\w+day)?\s*(?:in the )?(?:morning|afternoon|evening|night)?)$", parts[-1]
    )
    return found[0].strip() if found else ""


def parse_time(text: str, now: datetime) -> datetime | None:
    """One moment after `now`, or None."""
    plain = _tidy(text)
    if plain in _LOOSE:
        return after(now, timedelta(minutes=_LOOSE[plain]))
    if re.search(r"^in |from now| later$", plain) and (span := parse_duration(plain)):
        return after(now, span)
    read = _read_clock(_read_day(_Read(_NOISE.sub(" ", plain).split()), now))
    if read is None or read.rest:
        return None
    return _moment(read, now)


def after(now: datetime, span: timedelta) -> datetime:
    """`span` of real time after `now`, also across a change of the clocks."""
    return (now.astimezone(UTC) + span).astimezone(now.tzinfo)


def _tidy(text: str) -> str:
    plain = " ".join(text.lower().replace("’", "'").replace("tommorow", "tomorrow").strip(" .?!,").split())
    plain = re.sub(r"\b([ap])\.? ?m\b\.?", r"\1m", plain)
    plain = re.sub(r"(\d)([ap]m)\b", r"\1 \2", plain)
    plain = (
        plain.replace("mid day", "noon")
        .replace("midday", "noon")
        .replace("12 noon", "noon")
        .replace("twelve noon", "noon")
    )
    return plain.replace("-", " ").replace("o'clock", "").replace("oclock", "").replace("o clock", "").strip()


def _read_day(read: _Read, now: datetime) -> _Read:
    """Take the words of the day and of its part out of the phrase."""
    text = " ".join(read.rest)
    for pattern, days in (
        (r"day after tomorrow", 2),
        (r"tomorrow|next day", 1),
        (r"today|tonight|this(?= (?:morning|afternoon|evening|night))", 0),
    ):
        if read.day is None and re.search(rf"\b(?:{pattern})\b", text):
            part = "tonight" if "tonight" in text else read.part
            read = replace(read, day=now.date() + timedelta(days=days), part=part)
            text = re.sub(rf"\b(?:{pattern})\b", " ", text, count=1)
    if read.day is None and (found := re.search(rf"\b(next |this )?({'|'.join(WEEKDAYS)})s?\b", text)):
        read = replace(read, day=_weekday(found[2], found[1] or "", now.date()))
        text = text.replace(found[0], " ", 1)
    if read.day is None and (dated := _month_day(text, now.date())):
        read, text = replace(read, day=dated[0]), dated[1]
    while found_part := re.search(rf"\b(?:in )?({'|'.join(_PARTS)})\b", text):
        read = replace(read, part=found_part[1])
        text = text.replace(found_part[0], " ", 1)
    return replace(read, rest=text.split())


def _weekday(name: str, which: str, today: date) -> date:
    ahead = (WEEKDAYS.index(name) - today.weekday()) % 7 or 7
    return today + timedelta(days=ahead + (7 if which == "next " and ahead <= 2 else 0))


def _month_day(text: str, today: date) -> tuple[date, str] | None:
    """ "june 5th", "the fifth of june", "the 23rd": the next such day."""
    ranks = "|".join([*ORDINALS[1:], *(f"{tens} {one}" for tens in ("twenty", "thirty") for one in ORDINALS[1:10])])
    rank = rf"(?:(\d{{1,2}})(?:st|nd|rd|th)|(twenty first|{ranks}|twentieth|thirtieth))"
    months = "|".join(MONTHS)
    found = re.search(rf"\b({months}) {rank}\b|\b{rank} ({months})\b|\b{rank}(?: month)?(?= |$)", text)
    if found is None:
        return None
    month = next((MONTHS.index(word) + 1 for word in found.groups() if word in MONTHS), None)
    rank_text = next(word for word in found.groups() if word and word not in MONTHS)
    day = int(rank_text) if rank_text.isdigit() else [ordinal(value) for value in range(32)].index(rank_text)
    moment = _next_day(today, month, day)
    return None if moment is None else (moment, text.replace(found[0], " ", 1))


def _next_day(today: date, month: int | None, day: int) -> date | None:
    for ahead in range(1, 367):
        candidate = today + timedelta(days=ahead)
        if candidate.day == day and month in (None, candidate.month):
            return candidate
    return None


def _read_clock(read: _Read) -> _Read | None:
    """The clock time in what is left, or None if it makes no sense."""
    words = [word for word in read.rest if word not in ("in", "a", "half-hour")]
    if words and words[-1] in ("am", "pm"):
        read, words = replace(read, meridiem=words[-1]), words[:-1]
    if not words:
        return replace(read, rest=[])
    text = " ".join(words)
    if text in ("noon", "midnight"):
        return replace(read, rest=[], hour=12 if text == "noon" else 0, meridiem="fixed")
    clock = _relative(text) or _written(text) or _said(words)
    if clock is None or not (0 <= clock[0] <= 24 and 0 <= clock[1] < 60):
        return None
    return replace(read, rest=[], hour=clock[0] % 24, minute=clock[1])


def _whole(text: str) -> int | None:
    value = parse_number(text)
    return int(value) if value is not None and value.denominator == 1 else None


def _relative(text: str) -> tuple[int, int] | None:
    """ "half past six", "quarter to nine", "twenty minutes after four"."""
    found = re.fullmatch(r"(half|quarter|.+?)(?: minutes?)? (past|after|to|till|til|before|until) (.+)", text)
    if not found:
        return None
    minute = {"half": 30, "quarter": 15}.get(found[1]) or _whole(found[1])
    hour = {"midnight": 24, "noon": 12}.get(found[3]) or _whole(found[3])
    if minute is None or hour is None or not 0 < minute < 60:
        return None
    return (hour, minute) if found[2] in ("past", "after") else ((hour - 1) or 12, 60 - minute)


def _written(text: str) -> tuple[int, int] | None:
    found = re.fullmatch(r"(\d{1,2})[:. ]?([0-5]\d)|(\d{1,2})", text)
    if not found:
        return None
    return (int(found[3]), 0) if found[3] else (int(found[1]), int(found[2]))


def _said(words: list[str]) -> tuple[int, int] | None:
    """ "six", "six thirty", "six oh five"; "hundred" of military times."""
    if words[-1] in ("hundred", "hours"):
        words = [word for word in words if word not in ("hundred", "hours")]
    hour = _whole(words[0]) if words else None
    if hour is None or not 0 <= hour <= 24:
        return _whole_hour(words)
    if len(words) == 1:
        return hour, 0
    minute = _whole(" ".join(word for word in words[1:] if word not in ("oh", "o", "zero")))
    return None if minute is None or not 0 <= minute < 60 else (hour, minute)


def _whole_hour(words: list[str]) -> tuple[int, int] | None:
    value = parse_number(" ".join(words)) if words else None
    if value is None or not Fraction(0) <= value <= 24 or value.denominator not in (1, 2):
        return None
    return int(value), 30 if value.denominator == 2 else 0


def _moment(read: _Read, now: datetime) -> datetime | None:
    """Put day, part of day and clock together."""
    if read.hour is None:
        if read.day is None and not read.part:
            return None
        hour = _PARTS.get(read.part, DEFAULT_HOUR)
        moment = _at(read.day or now.date(), hour, 0, now)
        return (
            moment if moment > now else (moment + timedelta(days=1) if read.day is None else now + timedelta(hours=1))
        )
    hours = _possible_hours(read)
    days = [read.day] if read.day else [now.date(), now.date() + timedelta(days=1)]
    moments = [_at(day, hour, read.minute, now) for day in days for hour in hours]
    later = [moment for moment in moments if moment > now]
    if read.day and len(later) == 2:
        return next(moment for moment in later if 5 <= moment.hour <= 16)
    return min(later) if later else min(moments) + timedelta(days=1)


def _possible_hours(read: _Read) -> list[int]:
    """Hours of 24 that the phrase may mean."""
    hour = read.hour or 0
    if read.meridiem == "fixed" or hour > 12 or (hour == 12 and not read.part and not read.meridiem):
        return [hour]
    if read.part in ("morning", "dawn", "daybreak", "sunrise") or read.meridiem == "am":
        return [hour % 12]
    if read.part in ("night", "tonight") and hour == 12:
        return [0]
    if read.part or read.meridiem == "pm":
        return [hour % 12 + 12]
    return [hour % 12, hour % 12 + 12]


def _at(day: date, hour: int, minute: int, now: datetime) -> datetime:
    if hour == 0 and day == now.date():
        day += timedelta(days=1)  # midnight "today" or "tonight" is the end of the day
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=now.tzinfo)


def parse_day(text: str, now: datetime) -> date | None:
    """A day for "what date is ...": also yesterday, "in six days", "a week from tomorrow"."""
    plain = _tidy(text).removesuffix("'s")
    for name, days in (("day before yesterday", -2), ("yesterday", -1), ("next day", 1), ("after today", 1)):
        if plain.removeprefix("the ") == name:
            return now.date() + timedelta(days=days)
    if (found := re.fullmatch(r"(.+) (?:from|after) tomorrow", plain)) and (span := parse_duration(found[1])):
        return now.date() + span + timedelta(days=1)
    if (found := re.fullmatch(r"(.+) ago", plain)) and (span := parse_duration(found[1])):
        return now.date() - span
    if found := re.fullmatch(r"(?:this|next) (week|month|year)", plain):
        return now.date() + timedelta(days={"week": 7, "month": 30, "year": 365}[found[1]])
    if plain in ("christmas", "christmas day"):
        return _next_day(now.date(), 12, 25)
    if plain in ("today", "tonight", "now"):
        return now.date()
    if span := parse_duration(plain):
        return now.date() + span
    moment = parse_time(plain, now)
    return None if moment is None else moment.date()


def spoken_clock(moment: datetime) -> str:
    """ "five oh five in the afternoon", "noon", "seven o'clock in the morning"."""
    if moment.minute == 0 and moment.hour in (0, 12):
        return "midnight" if moment.hour == 0 else "noon"
    hour = spoken(moment.hour % 12 or 12)
    minute = "o'clock" if moment.minute == 0 else ("oh " if moment.minute < 10 else "") + spoken(moment.minute)
    part = "in the morning" if moment.hour < 12 else "in the afternoon" if moment.hour < 18 else "in the evening"
    return f"{hour} {minute} {part if moment.hour < 21 else 'at night'}"


def spoken_date(day: date) -> str:
    """ "Tuesday, November twenty fourth"."""
    return f"{WEEKDAYS[day.weekday()].capitalize()}, {MONTHS[day.month - 1].capitalize()} {ordinal(day.day)}"


def spoken_moment(moment: datetime, now: datetime) -> str:
    """When, seen from now: "at seven o'clock in the evening", "tomorrow at noon", "on Monday, May third at ..."."""
    days = (moment.date() - now.date()).days
    day = {0: "", 1: "tomorrow "}.get(days, f"on {spoken_date(moment.date())} ")
    return f"{day}at {spoken_clock(moment)}"
