"""Tools about later: timers, alarms and reminders. The session speaks the scheduled words when they are due.

What a caller corrects ("no, fifteen") is replaced: the old one goes when the new one is understood, not before.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from voicebot.brain.tools_durations import parse_duration, spoken_duration
from voicebot.brain.tools_times import after, parse_time, parse_times, spoken_clock, spoken_moment
from voicebot.brain.tools_types import NotUnderstood, Scheduled, ToolContext, ToolResult

REMIND_AFTER = timedelta(hours=1)
"""When a reminder without a time comes back: soon enough to be of use, and said aloud so that it can be changed."""


def set_timer(context: ToolContext, arguments: dict[str, Any]) -> ToolResult:
    span = parse_duration(arguments["duration"])
    if span is None:
        raise NotUnderstood(f"Sorry, I did not understand how long {arguments['duration']} is.")
    name = _name(arguments)
    old = _replaced(context, "timer", arguments, name)
    name = name or (old.name if old else "")
    due = after(context.now(), span)
    label = f"{name} timer" if name else f"timer for {spoken_duration(span)}"
    text = f"Your {label} is done." if name else f"Your {label} is up."
    id = context.schedule(due, "timer", text, name)
    done = "changed to" if old else "set for"
    speech = f"{name.capitalize() + ' timer' if name else 'Timer'} {done} {spoken_duration(span)}."
    return ToolResult({"id": id, "seconds": span.total_seconds(), "name": name}, speech)


def _replaced(context: ToolContext, kind: str, arguments: dict[str, Any], name: str = "") -> Scheduled | None:
    """Takes away what the new one takes the place of: the one of its name, else the one set last. None: there is none,
    or it is to run beside the others."""
    items = [item for item in context.scheduled() if item.kind == kind] if arguments.get("replaces") else []
    named = [item for item in items if name and item.name == name]
    old = max(named or items, key=lambda item: item.number, default=None)
    if old is not None:
        context.unschedule(old.id)
    return old


def _name(arguments: dict[str, Any]) -> str:
    """The name without "timer": "the new pasta timer" is called "pasta"."""
    name = str(arguments.get("name", "")).lower().strip(" .?!")
    for edge in ("the ", "my ", "another ", "a ", "new "):
        name = name.removeprefix(edge)
    for edge in (" timer", " alarm", " reminder"):
        name = name.removesuffix(edge)
    return "" if name in ("timer", "alarm", "reminder", "timers", "alarms", "reminders") else name


def cancel_timer(context: ToolContext, arguments: dict[str, Any]) -> ToolResult:
    """Cancel what the name fits; without a name all; "last": the one that was set last."""
    name, items = _name(arguments), context.scheduled()
    wanted = [item for item in items if not name or _fits(name, item)]
    if name in ("last", "last one") and not wanted:
        wanted, name = sorted(items, key=lambda item: item.number)[-1:], ""
    if not wanted:
        raise NotUnderstood(f"There is no {name + ' timer' if name else 'timer'} to cancel.")
    for item in wanted:
        context.unschedule(item.id)
    speech = f"Your {_title(wanted[0])} is cancelled." if len(wanted) == 1 else "All of them are cancelled."
    return ToolResult({"cancelled": [item.id for item in wanted], "name": name}, speech)


def _fits(name: str, item: Scheduled) -> bool:
    return name == item.name or name in item.name.split() or name in item.text.lower()


def _title(item: Scheduled) -> str:
    return f"{item.name} {item.kind}" if item.name and item.kind == "timer" else item.kind


def check_timer(context: ToolContext, arguments: dict[str, Any]) -> ToolResult:
    name, now = _name(arguments), context.now()
    wanted = sorted((item for item in context.scheduled() if not name or _fits(name, item)), key=lambda item: item.due)
    if not wanted:
        return ToolResult({"timers": [], "name": name}, f"There is no {name + ' ' if name else ''}timer running.")
    said = [_left(item, now) for item in wanted[:3]]
    value = [{"kind": item.kind, "name": item.name, "seconds": (item.due - now).total_seconds()} for item in wanted]
    return ToolResult({"timers": value, "name": name}, " ".join(said))


def _left(item: Scheduled, now: datetime) -> str:
    if item.kind == "timer":
        return f"Your {_title(item)} has {spoken_duration(item.due - now)} left."
    return f"Your {_title(item)} is {spoken_moment(item.due, now)}."


def set_alarm(context: ToolContext, arguments: dict[str, Any]) -> ToolResult:
    now = context.now()
    moments = parse_times(arguments["when"], now)
    if not moments:
        raise NotUnderstood(f"Sorry, I did not understand the time {arguments['when']}.")
    old = _replaced(context, "alarm", arguments)
    for moment in moments:
        context.schedule(moment, "alarm", f"It is {spoken_clock(moment)}. This is your alarm.")
    said = " and ".join(spoken_moment(moment, now) for moment in moments).removeprefix("at ").removeprefix("on ")
    value = {"times": [moment.isoformat(timespec="minutes") for moment in moments]}
    return ToolResult(value, f"Alarm{'s' if len(moments) > 1 else ''} {'changed to' if old else 'set for'} {said}.")


def set_reminder(context: ToolContext, arguments: dict[str, Any]) -> ToolResult:
    now = context.now()
    if not arguments.get("when") and parse_time(arguments["text"], now):
        raise NotUnderstood("What should I remind you about?")
    due = parse_time(arguments["when"], now) if arguments.get("when") else after(now, REMIND_AFTER)
    if due is None:
        raise NotUnderstood(f"Sorry, I did not understand when {arguments['when']} is.")
    task = turned(arguments["text"])
    old = _replaced(context, "reminder", arguments)
    id = context.schedule(due, "reminder", f"A reminder: {task}.", task)
    when = spoken_moment(due, now) if arguments.get("when") else "in one hour"
    speech = f"I will remind you {when}{' instead' if old else ''}: {task}."
    return ToolResult({"id": id, "due": due.isoformat(timespec="minutes"), "text": task}, speech)


def turned(text: str) -> str:
    """The caller's words from the assistant's mouth: "call my mom" becomes "call your mom"."""
    swaps = {"my": "your", "me": "you", "i": "you", "i'm": "you are", "mine": "yours", "our": "your", "am": "are",
             "myself": "yourself", "i've": "you have", "i'll": "you will"}  # fmt: skip
    words = text.strip(" .?!").split()
    return " ".join(swaps.get(word.lower(), word) for word in words)
