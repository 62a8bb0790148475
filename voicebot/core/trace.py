"""A call as JSON lines: its settings, then every event with the commands it caused; and the replay that checks them.

{"trace": 1, "call_id": ..., "transport": ..., "settings": {...}, ...}      the header
{"now": 0.52, "event": "DraftTranscribed", "draft": 2, "text": "hello"}     an event
{"w": [0.55, 8704, 0.012, 0]}                                               WindowHeard, the commonest, in short
{"command": "BeginReply", "reply": 3, "turn": 1, "text": "hello"}           what it caused, in order
{"end": "caller hung up", "counts": {...}}                                  the last line of a call that closed

A step of a private turn has "left_out": true and tokens for its words; see `trace_words.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any, get_args, get_type_hints

from voicebot.core.client_turns import ClientTurns
from voicebot.core.events import Command, Event, WindowHeard
from voicebot.core.settings import TurnSettings
from voicebot.core.trace_words import LEFT_OUT, Tokens
from voicebot.errors import ProtocolError

SCHEMA = 1
_hints = cache(get_type_hints)
_WINDOW_FIELDS = ("stop_sample", "speech_probability", "heard_samples")
_EVENTS: dict[str, Any] = {kind.__name__: kind for kind in get_args(Event)}
_JSON_TYPES: dict[Any, tuple[type, ...]] = {str: (str,), bool: (bool,), int: (int,), float: (int, float)}


@dataclass(frozen=True, slots=True)
class Difference:
    """The first place where a replay did otherwise. `line` counts from 1."""

    line: int
    event: str
    recorded: list[str]
    replayed: list[str]
    left_out: bool = False
    """Words of private turns had been left out before; that may be all there is to it."""


def header_line(call_id: str, transport: str, settings: TurnSettings, **more: Any) -> str:
    """The first line of a trace. `more`: version, wall clock start, engine names."""
    return _dump({"trace": SCHEMA, "call_id": call_id, "transport": transport, **more, "settings": asdict(settings)})


def event_line(event: Event, now: float, without: Tokens | None = None, left_out: bool = False) -> str:
    """`without`: its words are left out, and these stand for them. `left_out`: so are words of its commands."""
    if isinstance(event, WindowHeard) and not left_out:
        return _dump({"w": [now, event.stop_sample, event.speech_probability, event.heard_samples]})
    mark = {LEFT_OUT: True} if left_out or without is not None else {}
    given = asdict(event) if without is None else without.without(event)
    return _dump({"now": now, "event": type(event).__name__, **mark, **given})


def command_line(command: Command, without: Tokens | None = None) -> str:
    """`without`: as for `event_line`."""
    given = asdict(command) if without is None else without.without(command)
    return _dump({"command": type(command).__name__, **given})


def end_line(reason: str, counts: dict[str, int]) -> str:
    return _dump({"end": reason, "counts": counts})


def _dump(entry: dict[str, Any]) -> str:
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":"))


def _parse(lines: Iterable[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Every line with its number; a broken last one is where a killed server stopped writing."""
    rest = iter(lines)
    for number, line in enumerate(rest, start=1):
        try:
            entry = json.loads(line)
        except ValueError as error:
            if number > 1 and next(rest, None) is None:
                return
            raise ProtocolError(f"trace line {number} is not JSON ({error}): {line[:80]!r}") from None
        if not isinstance(entry, dict):
            raise ProtocolError(f"trace line {number} is not an object: {line[:80]!r}")
        yield number, entry


def _checked(kind: Any, fields: dict[str, Any]) -> Any:
    """Raises: TypeError, for unknown or missing fields, and where a plain value is of another type."""
    for name, hint in _hints(kind).items():
        if name in fields and hint in _JSON_TYPES and type(fields[name]) not in _JSON_TYPES[hint]:
            raise TypeError(f"{name} is {fields[name]!r}, not {hint.__name__}")
    return kind(**fields)


def _event(entry: dict[str, Any], line: int) -> tuple[Event, float]:
    try:
        if "w" in entry:
            now, *values = entry["w"]
            kind, fields = WindowHeard, dict(zip(_WINDOW_FIELDS, values, strict=True))
        else:
            now, kind = entry["now"], _EVENTS[entry["event"]]
            fields = {key: value for key, value in entry.items() if key not in ("now", "event", LEFT_OUT)}
        return _checked(kind, fields), float(now)
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"trace line {line} is no event that this version knows: {error!r}") from None


def _machine(line: int, header: dict[str, Any]) -> ClientTurns:
    if header.get("trace") != SCHEMA:
        raise ProtocolError(f"trace line {line}: schema {header.get('trace')!r} is not {SCHEMA}; not a voicebot trace?")
    try:
        return ClientTurns(_checked(TurnSettings, header["settings"]))
    except (KeyError, TypeError) as error:
        raise ProtocolError(f"trace line {line}: settings do not fit this version: {error}") from None


def replay(lines: Iterable[str]) -> Difference | None:
    """Step a fresh machine through a trace; the first difference in commands, or None.

    A trace may end anywhere (a killed server): what is there must agree.
    Raises: ProtocolError, with the line, for what is not a trace.
    """
    entries = _parse(lines)
    first = next(entries, None)
    if first is None:
        raise ProtocolError("the trace is empty")
    machine = _machine(*first)
    step: tuple[int, str, list[str]] | None = None
    recorded: list[str] = []
    left_out = False
    for number, entry in entries:
        if "command" in entry:
            if step is None:
                raise ProtocolError(f"trace line {number}: a command before any event")
            recorded.append(_dump(entry))
            continue
        if difference := _compare(step, recorded):
            return replace(difference, left_out=left_out)
        if "end" in entry:
            return None
        left_out |= LEFT_OUT in entry
        event, now = _event(entry, number)
        step = (number, type(event).__name__, [command_line(command) for command in machine.step(event, now)])
        recorded = []
    difference = _compare(step, recorded, cut_short=True)
    return replace(difference, left_out=left_out) if difference else None


def words_left_out(lines: Iterable[str]) -> bool:
    """Whether any step's words are left out of a trace."""
    return any(f'"{LEFT_OUT}":true' in line for line in lines)


def _compare(
    step: tuple[int, str, list[str]] | None, recorded: list[str], cut_short: bool = False
) -> Difference | None:
    if step is None:
        return None
    line, event, replayed = step
    seen = replayed[: len(recorded)] if cut_short else replayed
    return None if seen == recorded else Difference(line, event, recorded, replayed)
