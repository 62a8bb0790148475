"""Generated dialogues: arguments that the tools understand, spans that stand in the question, a clean split, a seed."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from random import Random

from tests.brain.fake_context import FakeContext
from voicebot.brain.tools import TOOLS, run_tool
from voicebot.training import clinc
from voicebot.training.chat import Turn
from voicebot.training.follow import AND, CHANGED, NO, is_follow_up
from voicebot.training.generate import FILES, Generator
from voicebot.training.grammar import is_held_out, lines_of, pick, read_sections
from voicebot.training.slots import Slots

CONSTANTS = {"up", "down", "mute", "max"}


def turns(count: int, seed: int = 1, **options: bool) -> list[Turn]:
    generator = Generator(Random(seed), clinc.load_annotations("train"), **options)
    return [turn for _ in range(count) for turn in generator.dialogue()]


def test_the_same_seed_gives_the_same_dialogues() -> None:
    assert turns(50) == turns(50)
    assert turns(50) != turns(50, seed=2)


def test_arguments_are_words_of_the_question() -> None:
    said = ""
    for turn in turns(1500):
        said = f"{said} {turn.user}"[-900:]
        for _, value in turn.arguments:
            assert value in CONSTANTS or value in said, turn


def test_the_tools_understand_what_clean_patterns_ask_for() -> None:
    """All but invented places, and timers that nobody set."""
    failed: Counter[str] = Counter()
    total: Counter[str] = Counter()
    generator = Generator(Random(3), clean=True)
    for _ in range(1500):
        for turn in generator.dialogue():
            if turn.tool and turn.tool != "cancel_timer":
                total[turn.tool] += 1
                failed[turn.tool] += run_tool(FakeContext(), turn.tool, dict(turn.arguments)).failed
    assert set(total) == set(TOOLS) - {"cancel_timer"}
    assert failed["get_time"] <= 0.25 * total["get_time"]
    assert {tool: count for tool, count in failed.items() if count > 0.03 * total[tool] and tool != "get_time"} == {}


def test_every_tool_has_many_patterns_and_some_are_held_out() -> None:
    patterns: dict[str, set[str]] = {}
    for name in FILES:
        for section in read_sections(name):
            patterns.setdefault(section.act, set()).update(section.patterns)
    assert sum(len(lines) for lines in patterns.values()) > 1500
    for tool in TOOLS:
        assert len(patterns[tool]) >= 40
        assert any(map(is_held_out, patterns[tool]))
        assert not all(map(is_held_out, patterns[tool]))


def test_both_sides_of_the_split_share_no_tool_pattern() -> None:
    for name in FILES:
        for section in read_sections(name):
            train, held_out = lines_of(section, False), lines_of(section, True)
            assert set(train).isdisjoint(held_out)
            assert sorted(train + held_out) == sorted(section.patterns)
    rng = Random(5)
    sections = read_sections("timers.txt")
    for side in (False, True):
        assert {is_held_out(pick(sections, side, rng)[1]) for _ in range(300)} == {side}


def test_annotations_name_known_tools_and_hold_only_words_that_were_said() -> None:
    for part, least in (("train", 900), ("val", 200)):
        items = clinc.load_annotations(part)
        assert len(items) >= least
        for item in items:
            assert item.act in TOOLS or item.act in ("ask", "say", "know_wh")
            for key, value in item.arguments:
                assert value in item.text or (key, value) in {("level", "up"), ("level", "down")}, item


def test_training_and_validation_utterances_are_apart() -> None:
    train = {item.text for item in clinc.load_annotations("train")}
    assert train.isdisjoint(item.text for item in clinc.load_annotations("val"))


def test_invented_words_fill_open_slots() -> None:
    slots = Slots(Random(1), words=True)
    assert len({slots.timer_name() for _ in range(400)}) > 150
    assert all(slots.fill(slot) for slot in ("duration", "when", "when:at", "text", "expression", "_topic", "_title"))


def test_callers_ask_again_about_an_answer_and_what_they_do_not_repeat_comes_from_the_turn_before() -> None:
    generator = Generator(Random(4), clean=True, followed=0.8)
    pairs = [pair for _ in range(1500) for pair in pairwise(generator.dialogue()) if is_follow_up(*pair)]
    assert {turn.tool for _, turn in pairs} == set(CHANGED)
    for before, turn in pairs:
        for key, value in turn.arguments:
            assert value.lower() in turn.user.lower() or dict(before.arguments)[key] == value, turn
    assert any(turn.user.startswith("no ") for _, turn in pairs)


def test_phrases_of_asking_again_are_held_out_too() -> None:
    lines = [f"{key} {line}" for key in ("to", "value", "place", "day", "level") for line in AND + NO]
    assert 4 <= sum(map(is_held_out, lines)) <= 30
