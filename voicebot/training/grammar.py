"""Reads the pattern files and expands a pattern into the pieces of an utterance.

A file has sections `== ACT [note] [key=value]`; then one pattern a line: `[a|b|]` takes one alternative, `{slot}` is
filled from `slots.py`, a leading `!` marks an imperative ("set a timer"), which takes polite openings. After a line
`--` come replies. One line is one template: training and held-out sets never share a line.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from importlib import resources
from random import Random

from voicebot.training.slots import Slots

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{([^{}]+)\}")
HELD_OUT_SHARE = 0.08


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of an utterance; `slot` is the argument that it fills, "" for plain words."""

    text: str
    slot: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """One act and its patterns: `act` is a tool's name, "ask" (a slot is missing) or a kind of talk."""

    file: str
    act: str
    notes: tuple[str, ...]
    constants: dict[str, str]
    patterns: list[str] = field(default_factory=list)
    replies: list[str] = field(default_factory=list)


def read_lines(name: str) -> list[str]:
    """Lines of a file beside this one, comments and blanks left out."""
    text = (resources.files("voicebot.training") / "patterns" / name).read_text("utf-8")
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def read_sections(name: str) -> list[Section]:
    sections: list[Section] = []
    replying = False
    for line in read_lines(name):
        if line.startswith("=="):
            act, *rest = line[2:].split()
            constants = dict(item.split("=", 1) for item in rest if "=" in item)
            sections.append(Section(name, act, tuple(item for item in rest if "=" not in item), constants))
            replying = False
        elif line.startswith("--"):
            replying = True
            sections[-1].replies.extend(read_lines(line.split("@")[1] + ".txt") if "@" in line else [])
        else:
            (sections[-1].replies if replying else sections[-1].patterns).append(line)
    return sections


def is_held_out(template: str) -> bool:
    """Whether a template belongs to the held-out set: decided by its own text, so that order changes nothing."""
    digest = hashlib.sha256(template.encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32 < HELD_OUT_SHARE


def expand(pattern: str, notes: tuple[str, ...], slots: Slots) -> list[Piece]:
    """Choose the alternatives and fill the slots of a pattern (without its leading `!`)."""
    text = _CHOICE.sub(lambda found: slots.rng.choice(found[1].split("|")), pattern.lstrip("!"))
    text = " ".join(text.split())
    fillers = _measure(notes, slots) if "{from}" in text else {}
    pieces: list[Piece] = []
    end = 0
    for found in _SLOT.finditer(text):
        slot = found[1]
        pieces.append(Piece(text[end : found.start()].strip()))
        filler = fillers[slot] if slot in fillers else slots.fill(_variant(slot, text[: found.start()], notes))
        pieces.append(Piece(filler, "" if slot.startswith("_") else slot.split(":")[0]))
        end = found.end()
    pieces.append(Piece(text[end:].strip()))
    return [piece for piece in pieces if piece.text]


def _variant(slot: str, before: str, notes: tuple[str, ...]) -> str:
    """The slot's form that its surroundings ask for."""
    if slot == "when" and "many" in notes:
        return "when:many"
    if slot == "when" and before.rstrip().endswith((" at", "past", "by")):
        return "when:clock"
    if slot == "expression" and "verb" in notes:
        return "expression:verb"
    return slot


def _measure(notes: tuple[str, ...], slots: Slots) -> dict[str, str]:
    value, source, target = slots.measure()
    while "bare" in notes and value in ("a", "an", "one", "1", "half a", "a half", "a quarter of a"):
        value, source, target = slots.measure()
    return {"value": value, "from": source, "to": target}


def lines_of(section: Section, held_out: bool) -> list[str]:
    """The section's patterns on one side of the split. Only patterns that lead to a tool are held out: a line of small
    talk is a phrase of its own, and who has never met "howdy" cannot guess it."""
    if section.replies:
        return [] if held_out else section.patterns
    return [line for line in section.patterns if is_held_out(line) == held_out]


def pick(sections: list[Section], held_out: bool, rng: Random) -> tuple[Section, str]:
    """A section that has patterns on this side of the split, and one of them."""
    while True:
        section = rng.choice(sections)
        if patterns := lines_of(section, held_out):
            return section, rng.choice(patterns)
