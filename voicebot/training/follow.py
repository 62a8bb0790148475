"""What a caller says about the answer just heard: "and in celsius?", "no, fifteen", "cancel that", "and times two".

The lines are in `patterns/follow.txt`. What is not said again is copied from the turn before, as a caller means it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

from voicebot.brain.tools import TOOLS
from voicebot.training.chat import Turn
from voicebot.training.grammar import Piece, Section, expand, lines_of, read_sections
from voicebot.training.slots import Slots
from voicebot.training.vocabulary import UNIT_FAMILIES

FILE = "follow.txt"
UNITS = {"second", "minute", "hour", "sec", "min", "hr", "seconds", "minutes", "hours", "secs", "mins", "hrs"}

ONWARDS = (
    "times {number}", "times {number}", "plus {number}", "plus {number}", "minus {number}", "divided by {number}",
    "multiplied by {number}", "over {number}", "squared", "cubed",
)  # fmt: skip
POINTING = (
    "multiply {that} by {number}", "divide {that} by {number}", "add {number} to {that}", "add {number}",
    "subtract {number} from {that}", "take {number} away from {that}", "take away {number}", "subtract {number}",
    "multiply by {number}", "divide by {number}", "double {that}", "square {that}", "{that} squared",
    "{that} times {number}", "{that} plus {number}", "{that} divided by {number}", "half of {that}",
    "a third of {that}", "a tenth of {that}", "twice {that}", "{number} percent of {that}", "the square root of {that}",
)  # fmt: skip
"""Sums that go on from the last result; `tools_sums.evaluate_after` works them out."""


class NothingFits(Exception):
    """The turn before has nothing that this line could change."""


@dataclass(frozen=True, slots=True)
class Followed:
    """`act` is a tool or a kind of talk, `pieces` what is said, `kept` the arguments that are not in them; `unit` of
    the bare number that is said in place of a duration, "" where it is none."""

    act: str
    pieces: list[Piece]
    kept: dict[str, str]
    replies: list[str]
    unit: str = ""


@cache
def sections() -> tuple[Section, ...]:
    return tuple(read_sections(FILE))


def _after(section: Section, before: Turn) -> bool:
    names = next(note for note in section.notes if note.startswith("after:")).removeprefix("after:").split(",")
    directed = "same" not in section.notes or dict(before.arguments).get("level") in ("up", "down")
    return (before.tool or before.talk) in names and directed


def follow_up(before: Turn, held_out: bool, rng: Random, lexicon: Sequence[str] = ()) -> Followed | None:
    """Something that may be said after `before`; None where nothing fits."""
    fitting = [section for section in sections() if _after(section, before) and lines_of(section, held_out)]
    if not fitting:
        return None
    section = rng.choices(fitting, [len(section.patterns) ** 0.5 for section in fitting])[0]
    line = rng.choice(lines_of(section, held_out))
    words = not any(character.isdigit() for character in before.user)
    slots = FollowSlots(rng, words, lexicon, dict(before.arguments))
    try:
        pieces = expand(line, section.notes, slots)
    except NothingFits:
        return None
    known = TOOLS[section.act].parameters["properties"] if section.act in TOOLS else {}
    kept = {} if "anew" in section.notes else {key: text for key, text in before.arguments if key in known}
    said = {piece.slot: piece.text for piece in pieces if piece.slot in known}
    if said and kept | said == kept:
        return None
    pieces = [piece if piece.slot in known else Piece(piece.text) for piece in pieces]
    kept = {key: text for key, text in (kept | section.constants).items() if key not in said}
    return Followed(section.act, pieces, kept, section.replies, slots.unit if "{duration:count}" in line else "")


class FollowSlots(Slots):
    """Fillers that fit the arguments of the turn before. Raises: NothingFits."""

    def __init__(self, rng: Random, words: bool, lexicon: Sequence[str], known: dict[str, str]) -> None:
        super().__init__(rng, words, lexicon)
        self._known = known
        self.unit = self._unit_of_duration()
        self._makers |= {
            "to": self._other_unit,
            "value": lambda: self._number_in_place_of("value"),
            "level": self._other_level,
            "duration:count": self._count,
            "expression:on": self._onwards,
            "expression:that": self._pointing,
        }

    def measure(self) -> tuple[str, str, str]:
        """An amount that can be turned into the unit of before."""
        names = self.rng.choice(self._others(("to",)))
        return self.show(self.rng.randint(2, 120)), self.rng.choice(names[1:]), self._known["to"]

    def _others(self, taken: tuple[str, ...]) -> list[tuple[str, ...]]:
        """Units of the same dimension that the turn before did not name as one of `taken`."""
        to = self._known.get("to", "")
        family = next((kinds for kinds in UNIT_FAMILIES if any(to in names for names in kinds)), ())
        others = [names for names in family if not any(self._known.get(key) in names for key in taken)]
        if not others:
            raise NothingFits
        return others

    def _other_unit(self) -> str:
        return self.rng.choice(self.rng.choice(self._others(("to", "from")))[1:])

    def _number_in_place_of(self, key: str) -> str:
        if self._known.get(key, "").split()[-1:] == ["a"]:
            raise NothingFits
        return self.number(2, 120)

    def _other_level(self) -> str:
        return self.number(1, 10) if self._known.get("level", "").isalpha() else self.level()

    def _unit_of_duration(self) -> str:
        spoken = self._known.get("duration", "").split()
        return spoken[1] if len(spoken) == 2 and spoken[1] in UNITS else ""

    def _count(self) -> str:
        """A bare number, where minutes were spoken of."""
        if not self.unit:
            raise NothingFits
        return self.show(self.rng.choice((self.rng.randint(2, 60), 5 * self.rng.randint(1, 12))))

    def _onwards(self) -> str:
        number = self.rng.choice((self.number(2, 12), self.number(2, 100), self._operand()))
        return self.rng.choice(ONWARDS).format(number=number)

    def _pointing(self) -> str:
        number = self.rng.choice((self.number(2, 12), self.number(2, 100)))
        return self.rng.choice(POINTING).format(number=number, that=self.rng.choice(("that", "that", "it")))
