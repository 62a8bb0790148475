"""Generated dialogues: arguments that the tools understand, spans that stand in the question, a clean split, a seed."""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np

from tests.brain.fake_context import FakeContext
from voicebot.brain.tools import TOOLS, run_tool
from voicebot.training import clinc
from voicebot.training.chat import Turn
from voicebot.training.feed import Feed, feeding, said
from voicebot.training.follow import sections
from voicebot.training.generate import FILES, Generator
from voicebot.training.grammar import is_held_out, lines_of, pick, read_sections
from voicebot.training.slots import Slots
from voicebot.training.tokenizer import train_tokenizer

CONSTANTS = {"up", "down", "mute", "max", "last"}


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
            assert value in CONSTANTS or all(word in said for word in value.split()), turn


def test_the_tools_understand_what_clean_patterns_ask_for() -> None:
    """All but invented places, and timers that nobody set."""
    failed: Counter[str] = Counter()
    total: Counter[str] = Counter()
    generator = Generator(Random(3), clean=True)
    for _ in range(1500):
        for turn in generator.dialogue():
            if turn.tool and turn.tool != "cancel_timer":
                total[turn.tool] += 1
                failed[turn.tool] += run_tool(
                    FakeContext(said="That is twelve."), turn.tool, dict(turn.arguments)
                ).failed
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


@cache
def pairs() -> list[tuple[Turn, Turn]]:
    """What was said, and what is said about its answer."""
    generator = Generator(Random(4), clean=True, followed=0.8)
    found = [pair for _ in range(1500) for pair in pairwise(generator.dialogue())]
    return [(before, turn) for before, turn in found if turn.follows]


def test_what_is_said_about_an_answer_takes_what_it_does_not_repeat_from_the_turn_before() -> None:
    found = pairs()
    for before, turn in found:
        kept = {key: value.lower() for key, value in before.arguments}
        for key, value in turn.arguments:
            if value in CONSTANTS or kept.get(key) == value.lower() or value.lower() in turn.user.lower():
                continue
            number, unit = value.lower().rsplit(" ", 1)
            assert (key, unit) == ("duration", kept["duration"].split()[-1])
            assert number in turn.user.lower()
    corrected = [(before.tool, turn.tool) for before, turn in found if dict(turn.arguments).get("replaces")]
    assert {("set_timer", "set_timer"), ("set_alarm", "set_alarm"), ("set_reminder", "set_reminder")} <= set(corrected)
    kinds = {(before.tool, turn.tool) for before, turn in found}
    assert {(tool, tool) for tool in ("convert_units", "get_time", "get_date", "set_volume", "calculate")} <= kinds
    assert {("set_timer", "cancel_timer"), ("check_timer", "cancel_timer"), ("check_timer", "check_timer")} <= kinds


def test_a_place_after_what_is_not_known_is_not_known_either() -> None:
    found = [turn for before, turn in pairs() if before.talk]
    assert found
    assert all(not turn.tool and turn.talk == "know" for turn in found)


def test_more_goes_on_in_the_direction_of_before() -> None:
    more = next(section.patterns for section in sections() if "same" in section.notes)
    found = [(before, turn) for before, turn in pairs() if turn.user.lower().strip("?.!") in more]
    assert {dict(turn.arguments)["level"] for _, turn in found} == {"up", "down"}
    assert all(dict(before.arguments)["level"] == dict(turn.arguments)["level"] for before, turn in found)


def test_lines_about_an_answer_are_held_out_too_and_name_real_tools() -> None:
    kinds = {section.act for name in FILES for section in read_sections(name)}
    assert len(sections()) >= 20
    for section in sections():
        after = next(note.removeprefix("after:").split(",") for note in section.notes if note.startswith("after:"))
        assert {section.act, *after} <= kinds | set(TOOLS)
        assert len(section.patterns) == len(set(section.patterns)) >= 12
    lines = [line for section in sections() for line in lines_of(section, True)]
    assert len(lines) >= 30
    assert set(lines).isdisjoint(line for section in sections() for line in lines_of(section, False))


def test_utterances_to_choose_models_by_are_not_learned() -> None:
    learned = said(None)
    everything = clinc.load_annotations("train")
    assert not any(clinc.is_dev(item.text) for item in learned)
    assert 0.04 < 1 - len(learned) / len(everything) < 0.12


def test_workers_make_batches_from_seeds_of_their_own(tmp_path: Path) -> None:
    texts = [" " + turn.user for turn in turns(200)]
    train_tokenizer(texts, size=600).save(str(tmp_path / "tokenizer.json"))
    feed = Feed(None, tmp_path / "tokenizer.json", tokens=512, seed=1, pool=40)
    alone = [next(feed.batches(number)).ids for number in (0, 0, 1)]
    assert np.array_equal(alone[0], alone[1])
    assert not np.array_equal(alone[0], alone[2])
    with feeding(feed, workers=1) as stream:
        assert np.array_equal(next(stream).ids, alone[2])
