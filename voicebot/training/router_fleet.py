"""The shipped router's training data: `python -m voicebot.training.router_fleet CLINC.json OUT.jsonl [--held-out]`.

Tasks: talk, tools (the talker's own patterns), retrieve, extract, rewrite, classify (`patterns/router_fleet.txt`), and
oos with what is hard. CLINC150's training lines map to talk, tools, rewrite or, where nobody here can answer, to oos.
Held-out lines come from templates that no training line uses.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

from voicebot.brain.router import OOS
from voicebot.training import noise
from voicebot.training.generate import FILES
from voicebot.training.grammar import Section, expand, is_held_out, read_sections
from voicebot.training.slots import Slots

PER_LINE, PER_FLEET_LINE = 2, 50
"""Expansions of a pattern; the fleet's have more alternatives."""
TALK = frozenset(
    "who_made_you meaning_of_life who_do_you_work_for do_you_have_pets what_are_your_hobbies fun_fact what_is_your_name"
    " where_are_you_from goodbye thank_you greeting tell_joke are_you_a_bot how_old_are_you what_can_i_ask_you yes no "
    "maybe cancel".split()
)
TOOLS = frozenset("alarm date timer calculator measurement_conversion time reminder change_volume repeat".split())
OTHERS_SHARE = 0.12
"""Of CLINC150's other lines: they would outnumber all else."""
TALK_FILES = frozenset({"talk.txt", "jokes.txt", "facts.txt"})

Line = tuple[str, str, bool]


def from_patterns(rng: Random, held_out: bool) -> Iterator[Line]:
    slots = Slots(rng, words=True)
    for name in FILES:
        for section in read_sections(name):
            task, hard = _owner(section)
            for text in _expanded(section, slots, rng, held_out, PER_LINE):
                yield text, task, hard
    for section in read_sections("router_fleet.txt"):
        for text in _expanded(section, slots, rng, held_out, PER_FLEET_LINE):
            yield text, section.act, "hard" in section.notes


def _owner(section: Section) -> tuple[str, bool]:
    if section.file == "beyond.txt":
        return OOS, True
    return ("talk", False) if section.file in TALK_FILES else ("tools", False)


def _expanded(section: Section, slots: Slots, rng: Random, held_out: bool, times: int) -> Iterator[str]:
    for line in section.patterns:
        if is_held_out(line) == held_out:
            for _ in range(times):
                pieces = noise.open_and_close(expand(line, section.notes, slots), line.startswith("!"), rng)
                yield noise.joined(noise.disturb(pieces, rng) if rng.random() < 0.5 else pieces)


def from_clinc(source: Path, rng: Random) -> Iterator[Line]:
    found = json.loads(source.read_text("utf-8"))
    for text, intent in [*found["train"], *found["oos_train"]]:
        if intent in TALK or intent in TOOLS:
            yield text, "talk" if intent in TALK else "tools", False
        elif intent == OOS or rng.random() < OTHERS_SHARE:
            yield text, OOS, True


def main() -> None:
    parser = argparse.ArgumentParser(description="The shipped router's data.")
    parser.add_argument("clinc", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--held-out", action="store_true")
    given = parser.parse_args()
    rng = Random(11)
    lines = [*from_patterns(rng, given.held_out), *([] if given.held_out else from_clinc(given.clinc, rng))]
    unique = sorted(set(lines))
    documents = (json.dumps({"text": text, "task": task, "hard": hard}) for text, task, hard in unique)
    given.out.write_text("\n".join(documents) + "\n", "utf-8")


if __name__ == "__main__":
    main()
