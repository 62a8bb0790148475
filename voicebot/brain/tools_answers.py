"""Tools that answer at once: clock, date, sums, units, volume, repeating."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

from voicebot.brain.tools_numbers import is_rounded, parse_number, spoken
from voicebot.brain.tools_places import find_zone, zone_name
from voicebot.brain.tools_sums import LARGEST, BadSum, evaluate, evaluate_after
from voicebot.brain.tools_times import parse_day, spoken_clock, spoken_date
from voicebot.brain.tools_types import NotUnderstood, ToolContext, ToolResult
from voicebot.brain.tools_units import Unit, convert, find_units, matching

VOLUME_STEP = 15
"""Percent that "louder" adds: clearly heard, and the range is crossed in seven steps."""


HERE = frozenset("here we i me my our am are in now currently right this local home".split())
"""A place of nothing but these words is none: "what time zone are we currently in"."""


def get_time(context: ToolContext, arguments: dict[str, Any]) -> ToolResult:
    if HERE.issuperset((place := arguments.get("place", "")).lower().split()):
        now = context.now()
        return ToolResult({"time": now.strftime("%H:%M")}, f"It is {spoken_clock(now)}.")
    found = find_zone(place)
    if found is None:
        raise NotUnderstood(f"Sorry, I do not know the time zone of {place}.")
    there = context.now().astimezone(found[1])
    zone = zone_name(there)
    name = found[0].title() if len(found[0]) > 3 else found[0].upper()
    where = zone if zone.lower().startswith(found[0].split()[0]) else name
    speech = f"In {where} it is {spoken_clock(there)}{f', {zone}' if zone and where != zone else ''}."
    return ToolResult({"place": found[0], "zone": str(found[1]), "time": there.strftime("%H:%M")}, speech)


def get_date(context: ToolContext, arguments: dict[str, Any]) -> ToolResult:
    today = context.now().date()
    day = parse_day(arguments["day"], context.now()) if arguments.get("day") else today
    if day is None:
        raise NotUnderstood(f"Sorry, I could not work out which day {arguments['day']} is.")
    words = {0: "Today is", 1: "Tomorrow is", -1: "Yesterday was"}.get((day - today).days, "That is")
    return ToolResult({"date": day.isoformat()}, f"{words} {spoken_date(day)}.")


def calculate(context: ToolContext, arguments: dict[str, Any]) -> ToolResult:
    try:
        before = _result_in(context.last_reply())
        phrase = arguments["expression"]
        value = evaluate(phrase) if before is None else evaluate_after(phrase, before)
    except BadSum:
        raise NotUnderstood("Sorry, I could not work out that sum.") from None
    return ToolResult({"result": _plain(value)}, f"That is {_said(value)}.")


_RESULT = re.compile(r"That is (?:about )?([^.,]+)\.")


def _result_in(reply: str) -> Fraction | None:
    """The number that a sum's reply said, which "times two" goes on from; None where it said none, or was cut off."""
    found = _RESULT.fullmatch(reply)
    return parse_number(found[1]) if found else None


def _said(value: Fraction) -> str:
    """The number for the ear: few decimals, "about" when some are left out."""
    places = 4 if abs(value) < 1 else 2
    if is_rounded(value, places):
        return f"about {spoken(value, places)}"
    return spoken(value, places)


def _plain(value: Fraction) -> int | float:
    return int(value) if value.denominator == 1 else float(value)


def convert_units(context: ToolContext, arguments: dict[str, Any]) -> ToolResult:
    value = parse_number(arguments.get("value", "one"))
    if value is None:
        raise NotUnderstood(f"Sorry, I did not understand the amount {arguments['value']}.")
    source, target = find_units(arguments["from"]), find_units(arguments["to"])
    for name, units in ((arguments["from"], source), (arguments["to"], target)):
        if not units:
            raise NotUnderstood(f"Sorry, I do not know the unit {name}.")
    pair = matching(source, target)
    if pair is None:
        raise NotUnderstood(f"Sorry, {source[0].plural} cannot be turned into {target[0].plural}.")
    result = convert(value, *pair)
    if abs(result) > LARGEST:
        raise NotUnderstood("Sorry, that number is too large to say.")
    speech = f"{_amount(value, pair[0])} {'is' if value == 1 else 'are'} {_amount(result, pair[1])}."
    outcome = {"result": _plain(result), "from": pair[0].singular, "to": pair[1].singular, "value": _plain(value)}
    return ToolResult(outcome, speech[0].upper() + speech[1:])


def _amount(value: Fraction, unit: Unit) -> str:
    return f"{_said(value)} {unit.singular if value == 1 else unit.plural}"


def set_volume(context: ToolContext, arguments: dict[str, Any]) -> ToolResult:
    percent = percent_of(arguments["level"].lower(), context.volume())
    context.set_volume(percent)
    speech = "Muted." if percent == 0 else f"Volume is now {spoken(percent)} percent."
    return ToolResult({"volume": percent}, speech)


def percent_of(level: str, now: int) -> int:
    """A level in 0..100, seen from `now`. Numbers up to ten are tenths, as on most devices. Raises: NotUnderstood."""
    text = re.sub(r"^(?:level|number|to|at) |[.!]$", "", level)
    louder, quieter = now + VOLUME_STEP, now - VOLUME_STEP
    named = {"up": louder, "louder": louder, "higher": louder, "down": quieter, "quieter": quieter, "lower": quieter,
             "mute": 0, "off": 0, "unmute": 50, "half": 50, "medium": 50, "max": 100, "maximum": 100, "full": 100,
             "min": 10, "minimum": 10}  # fmt: skip
    if text in named:
        return min(100, max(0, named[text]))
    value = parse_number(re.sub(r" ?(?:percent|%)$", "", text))
    if value is None or not 0 <= value <= 100:
        raise NotUnderstood(f"Sorry, I do not know the volume {level}.")
    tenths = value <= 10 and "percent" not in text and "%" not in text
    return round(value * 10 if tenths else value)


def repeat_last(context: ToolContext, arguments: dict[str, Any]) -> ToolResult:
    last = context.last_reply()
    if not last:
        return ToolResult({"text": ""}, "I have not said anything yet.")
    return ToolResult({"text": last}, last)
