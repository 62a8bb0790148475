"""What a caller says about the answer just heard: "and in celsius?", "no, fifteen", "what about tokyo".

Only for tools that look something up or that may be asked again: a second timer would run beside the first. What is not
said again is copied from the turn before.
"""

from __future__ import annotations

from random import Random

from voicebot.training.chat import Turn
from voicebot.training.grammar import Piece, is_held_out
from voicebot.training.slots import Slots
from voicebot.training.vocabulary import UNIT_FAMILIES

AND = ("and {}", "what about {}", "how about {}", "and what about {}", "okay and {}", "and how about {}", "now {}",
       "then {}", "also {}", "{}", "{} too", "and {} please", "what is it {}", "and what is that {}")  # fmt: skip
NO = ("no {}", "no i said {}", "i meant {}", "sorry {}", "no wait {}", "i mean {}", "no make it {}", "actually {}",
      "no no {}", "wrong i said {}", "not that {}", "no sorry i meant {}", "oops {}", "i said {}")  # fmt: skip
CHANGED = {
    "convert_units": ("to", "to", "value", "value"),
    "get_time": ("place",),
    "get_date": ("day",),
    "set_volume": ("level",),
}
"""The argument that a caller changes."""


def follow_up(before: Turn, slots: Slots, held_out: bool, rng: Random) -> tuple[list[Piece], dict[str, str]] | None:
    """What is said after `before`, and the arguments of the call that answers it; None where nothing fits."""
    known = dict(before.arguments)
    if before.tool not in CHANGED:
        return None
    changed = rng.choice(CHANGED[before.tool])
    filler = _filler(changed, known, slots, rng)
    if not filler or known.get(changed) == filler:
        return None
    phrase = rng.choice([line for line in AND + NO if is_held_out(f"{changed} {line}") == held_out])
    opening, _, closing = phrase.partition("{}")
    joint = _joint(changed, rng)
    said = [Piece(f"{opening}{joint}".strip()), Piece(filler, changed), Piece(closing.strip())]
    return [piece for piece in said if piece.text], known | {changed: filler}


def is_follow_up(before: Turn, turn: Turn) -> bool:
    """Whether `turn` asks the same again with one argument changed, in words that need the turn before."""
    if before.tool != turn.tool or turn.tool not in CHANGED:
        return False
    left, right = set(before.arguments), set(turn.arguments)
    return len(right - left) == 1 and any(line.partition("{}")[0] in turn.user.lower() for line in AND + NO)


def _joint(changed: str, rng: Random) -> str:
    """The word before the new one: "in celsius", "to fifty"."""
    words = {"to": ("in", "in", "to", "into", ""), "place": ("in", "in", "", "for"), "level": ("to", ""), "day": ("",)}
    return rng.choice(words.get(changed, ("",)))


def _filler(changed: str, known: dict[str, str], slots: Slots, rng: Random) -> str:
    """Something new of the same kind; "" where the turn before had nothing to change."""
    if changed == "to":
        family = next((kinds for kinds in UNIT_FAMILIES if any(known["to"] in names for names in kinds)), ())
        others = [names for names in family if known["to"] not in names and known["from"] not in names]
        return rng.choice(rng.choice(others)[1:]) if others else ""
    if changed == "value":
        return slots.number(2, 120) if known.get("value", "").split()[-1:] != ["a"] else ""
    if changed == "level" and known.get("level", "").isalpha():
        return slots.number(1, 10)
    return slots.fill(changed)
