"""A tool call's arguments, held against what the caller said: their spelling, and what a tool can make sense of. Pure.

Rules of this file:
1. An argument that the caller said is spelled as they did.
2. An argument that its tool understands stays. One that it does not ("zones" for a place) gives way to the one stretch
   of the caller's latest turn that it does ("russia"): the longest that shares words with it, or the only one.
3. Nothing is made up: a number or a word that the caller did not say is never put in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

from voicebot.brain.tools_answers import percent_of
from voicebot.brain.tools_durations import parse_duration
from voicebot.brain.tools_numbers import parse_number
from voicebot.brain.tools_places import find_zone
from voicebot.brain.tools_sums import BadSum, evaluate_after
from voicebot.brain.tools_times import parse_day, parse_time, parse_times
from voicebot.brain.tools_types import NotUnderstood
from voicebot.brain.tools_units import find_units
from voicebot.engines.base import ToolCall

SPAN_WORDS = 8
"""Longest stretch that is tried."""
TURN_WORDS = 24
"""Longest turn in which a name is looked for."""
PARSED_WORDS = 8
"""The same for what has to be parsed, at 0.1 to 0.3 ms a stretch on the event loop. In a longer turn only stretches
that touch the model's words are tried, 50 at worst, in place of a call that would fail."""
_ANY_DAY = datetime(2026, 1, 1, 12, tzinfo=UTC)
"""Whether words are a time does not depend on the day."""
Understands = Callable[[str], object]
"""Something true for words that the tool can use."""


def _does(work: Callable[[str], object]) -> Understands:
    def understands(text: str) -> bool:
        try:
            work(text)
        except (BadSum, NotUnderstood):
            return False
        return True

    return understands


UNDERSTOOD: Mapping[tuple[str, str], Understands] = {
    ("get_time", "place"): lambda text: find_zone(text, close=False),
    ("get_date", "day"): lambda text: parse_day(text, _ANY_DAY),
    ("calculate", "expression"): _does(lambda text: evaluate_after(text, Fraction(1))),
    ("convert_units", "value"): lambda text: parse_number(text) is not None,
    ("convert_units", "from"): lambda text: find_units(text, close=False),
    ("convert_units", "to"): lambda text: find_units(text, close=False),
    ("set_timer", "duration"): parse_duration,
    ("set_alarm", "when"): lambda text: parse_times(text, _ANY_DAY),
    ("set_reminder", "when"): lambda text: parse_time(text, _ANY_DAY),
    ("set_volume", "level"): _does(lambda text: percent_of(text, 50)),
}
CLOSE: Mapping[tuple[str, str], Understands] = {
    ("get_time", "place"): find_zone,
    ("convert_units", "from"): find_units,
    ("convert_units", "to"): find_units,
}
"""What a tool forgives besides, such as misspellings: enough to leave an argument alone, too little to choose one."""


def as_said(call: ToolCall, turns: Sequence[str]) -> ToolCall:
    """The call by the rules above. `turns`: what the caller said, the latest last."""
    words = turns[-1].split()[: TURN_WORDS + 1] if turns else []
    arguments = dict(call.arguments)
    for key, value in call.arguments.items():
        if isinstance(value, str) and value.split() and len(words) <= TURN_WORDS:
            others = [str(other) for name, other in arguments.items() if name != key]
            arguments[key] = _mended((call.name, key), value.strip(), words, others)
    return replace(call, arguments={key: _spelled(value, turns) for key, value in arguments.items()})


def _mended(argument: tuple[str, str], value: str, words: Sequence[str], others: Sequence[str]) -> str:
    """Rule 2. `others`: the call's other arguments, whose words are taken."""
    understood = UNDERSTOOD.get(argument)
    if understood is None or CLOSE.get(argument, understood)(value):
        return value
    taken = {at for other in others for start, stop in _places(other, words) for at in range(start, stop)}
    near = {at for start, stop in _places(value, words) for at in range(start, stop)}
    tried = [span for span in _spans(len(words)) if taken.isdisjoint(range(*span))]
    if argument not in CLOSE and len(words) > PARSED_WORDS:
        tried = [span for span in tried if not near.isdisjoint(range(*span))]
    found: list[tuple[int, int]] = []
    for start, stop in tried:
        if any(left <= start and stop <= right for left, right in found):
            continue
        if understood(text := _plain(words[start:stop])):
            if not near.isdisjoint(range(start, stop)):
                return text
            found.append((start, stop))
    return _plain(words[slice(*found[0])]) if len(found) == 1 else value


def _plain(words: Sequence[str]) -> str:
    return " ".join(words).strip(" .,!?")


def _spans(count: int) -> Iterator[tuple[int, int]]:
    """Stretches of so many words, the longest first."""
    for size in range(min(SPAN_WORDS, count), 0, -1):
        yield from ((start, start + size) for start in range(count - size + 1))


def _places(text: str, words: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Where the words of `text` stand in the turn."""
    wanted = [_bare(word) for word in text.split()]
    said = [_bare(word) for word in words]
    for start in range(len(said) - len(wanted) + 1 if wanted else 0):
        if said[start : start + len(wanted)] == wanted:
            yield start, start + len(wanted)


def _bare(word: str) -> str:
    return word.strip(".,!?").lower().replace("\u2019", "'")


def _spelled(value: Any, turns: Sequence[str]) -> Any:
    """Rule 1, the latest turn first. Words that nobody said stay as the model wrote them."""
    if not isinstance(value, str) or not (words := value.split()):
        return value
    phrase = r"\s+".join(re.escape(word).replace("'", "['\u2019]") for word in words)
    pattern = re.compile(rf"(?<!\w){phrase}(?!\w)", re.IGNORECASE)
    found = next((match for turn in reversed(turns) if (match := pattern.search(turn))), None)
    return found[0] if found else value
