"""Spans of time, read from speech and said back: "an hour and a half", "90 secs", "two and a half minutes"."""

from __future__ import annotations

import re
from datetime import timedelta
from fractions import Fraction

from voicebot.brain.tools_numbers import number_words, parse_number, spoken

_UNITS = {"second": 1, "sec": 1, "s": 1, "minute": 60, "min": 60, "m": 60, "hour": 3600, "hr": 3600, "h": 3600,
          "day": 86400, "week": 604800, "fortnight": 1209600, "month": 2629800, "year": 31557600}  # fmt: skip
_EDGES = re.compile(
    r"^(?:for(?! (?:second|minute|hour|day|sec|min))|in|"
    r"about|after|another|exactly|around|of|like|just|only|a timer (?:for|of)) |"
    r" (?:from now|from today|starting now|from this moment|please|exactly|long|time|timer|hence|later|or so|up|flat)$"
)
_GLUED = re.compile(r"(\d)([a-z])")
_CLOCK = re.compile(r"(\d{1,2}):([0-5]\d)(?::([0-5]\d))?")
LONGEST = timedelta(days=366 * 5)


def parse_duration(text: str) -> timedelta | None:
    """The length of a spoken span, or None if any of it is something else. Bounded by `LONGEST`."""
    plain = _GLUED.sub(r"\1 \2", " ".join(text.lower().strip(" .?!,").split()))
    previous = ""
    while previous != plain:
        previous, plain = plain, _EDGES.sub("", plain)
    if found := _CLOCK.fullmatch(plain):
        big, small, rest = int(found[1]), int(found[2]), int(found[3] or 0)
        return timedelta(hours=big, minutes=small, seconds=rest) if found[3] else timedelta(minutes=big, seconds=small)
    seconds = _seconds(number_words(plain))
    if seconds is None or not 0 < seconds <= LONGEST.total_seconds():
        return None
    return timedelta(seconds=float(seconds))


def _seconds(words: list[str]) -> Fraction | None:
    total, last, pending = Fraction(0), Fraction(0), list[str]()
    for word in words:
        unit = _unit(word, pending)
        if unit is None:
            pending.append(word)
            continue
        amount = _amount(pending)
        if amount is None:
            return None
        total, last, pending = total + amount * unit, Fraction(unit), []
    if not last:
        return None
    if pending and pending[0] == "and":
        pending = pending[1:]
    if not pending:
        return total
    part = parse_number(" ".join(pending))
    return None if part is None or part >= 1 else total + part * last


def _unit(word: str, pending: list[str]) -> int | None:
    """Seconds of a unit's name; "second" is an ordinal only where it starts a phrase, which no duration does."""
    if word in ("s", "m", "h") and not pending:
        return None
    return _UNITS.get(word, _UNITS.get(word.removesuffix("s")))


def _amount(words: list[str]) -> Fraction | None:
    words = [word for word in words if word not in ("of",)]
    if words and words[0] == "and":
        words = words[1:]
    if not words:
        return Fraction(1)
    return parse_number(" ".join(words))


def spoken_duration(span: timedelta) -> str:
    """Words for a span, the two largest units only: "one hour and five minutes"."""
    seconds = max(0, round(span.total_seconds()))
    parts = []
    for name, size in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{spoken(count)} {name}{'' if count == 1 else 's'}")
    return " and ".join(parts[:2]) if parts else "no time"
