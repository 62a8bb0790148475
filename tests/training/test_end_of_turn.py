"""The end-of-turn model is learned from lines: the same lines give the same model, and it knows what is unfinished."""

from __future__ import annotations

from random import Random

import numpy as np

from voicebot.core.audio import silence
from voicebot.engines import registry
from voicebot.evals.turn import at_mean_wait, auc, held_out, measure
from voicebot.training import heard, spoken
from voicebot.training.end_of_turn import (
    Example,
    cut,
    examples_of,
    generated_lines,
    inside_number,
    misheard,
    paused,
    train,
)

LINES = [f"{verb} the {thing} in the {place}" for verb in ("open", "close", "clean", "paint") for thing in
         ("door", "window", "box", "car") for place in ("kitchen", "garden", "hall", "attic")]  # fmt: skip


def test_a_beginning_is_shorter_than_its_line_and_a_single_word_has_none() -> None:
    rng = Random(1)
    assert cut("hello", rng) == ""
    beginnings = {cut("open the door", rng) for _ in range(60)}
    assert {"open", "open the"} <= beginnings and "open the door" not in beginnings


def test_a_beginning_that_somebody_said_as_a_whole_is_no_example_of_an_unfinished_one() -> None:
    lines = ["what time is it", "what time is it in london"] * 50
    begun = {example.text for example in examples_of(lines, Random(1)) if not example.complete}
    assert "what time is it" not in begun and begun


def test_a_few_lines_are_learned_and_the_same_seed_gives_the_same_weights() -> None:
    first, again = train(LINES * 4, epochs=3), train(LINES * 4, epochs=3)
    np.testing.assert_array_equal(first.table, again.table)
    assert (first.bias, first.scale, first.shift) == (again.bias, again.scale, again.shift)
    assert first.logit("paint the door in the hall") > 2 > -2 > first.logit("paint the door in the")


def test_held_out_dialogues_share_no_line_of_patterns_and_are_whole_and_begun() -> None:
    examples = held_out(generated_lines(40, 7, held_out=True))
    assert {example.complete for example in examples} == {True, False}
    assert generated_lines(20, 7) == generated_lines(20, 7) != generated_lines(20, 8)
    assert Example("", False) not in examples


def test_the_figures_are_those_of_hand_worked_cases() -> None:
    chances, labels = np.array([0.9, 0.6, 0.4, 0.1]), np.array([1.0, 0.0, 1.0, 0.0])
    assert auc(chances, labels) == 0.75
    report = measure(chances, labels)
    assert report["f1"] == 0.5
    assert report["wait_ms"]["mean"] == 602
    assert report["cut_off"] == {"200": 0.0, "300": 0.0, "500": 0.0, "800": 0.5}
    assert abs(at_mean_wait(chances, labels, 400)["wait_ms"]["mean"] - 400) <= 1


def test_hardly_anybody_stops_to_think_inside_a_number() -> None:
    assert inside_number("thirty", "five") and inside_number("two", "hundred") and inside_number("point", "two")
    assert not inside_number("five", "thirty") and not inside_number("for", "thirty")
    rng, plain = Random(1), Random(1)
    line = "thirty five"
    assert [paused(line, rng) for _ in range(3)] == ["thirty"] * 3  # there is no other place in it
    begun = [paused("what is thirty five", rng) for _ in range(300)]
    assert begun.count("what is thirty") < 0.6 * [cut("what is thirty five", plain) for _ in range(300)].count(
        "what is thirty"
    )


def test_a_number_at_the_end_is_now_and_then_misheard() -> None:
    rng = Random(1)
    heard = [misheard("what is seven times eight", rng) for _ in range(1000)]
    assert set(heard) == {"what is seven times eight", "what is seven times a"}
    assert 200 < heard.count("what is seven times a") < 400
    assert misheard("set it to eight please", rng) == "set it to eight please"


def test_a_pattern_is_every_sentence_of_its_choices() -> None:
    assert list(spoken.expanded("{|so }what {can|do} you do")) == [
        "what can you do", "what do you do", "so what can you do", "so what do you do"
    ]  # fmt: skip
    sentences = spoken.sentences()
    assert len(sentences) == len(set(sentences)) > 2000
    assert not [said for said in [*sentences, *spoken.ANSWERS] if said != " ".join(said.split()) or "{" in said]


def test_what_is_heard_of_a_line_and_of_its_beginning_is_written_down() -> None:
    stt = registry.create("stt", "scripted://?text=a+set&text=a+cut&text=another")
    stt.load()
    rows = heard.rows(["asset cut", "other"], stt, 1, lambda said, _voice: silence(len(said) * 100))
    assert list(rows) == [
        (True, "asset cut", "a set"), (False, "asset", "a cut"), (True, "other", "another")
    ]  # fmt: skip


def test_a_telephone_takes_away_what_is_above_4_khz() -> None:
    time_s = np.arange(16_000) / 16_000
    low, high = ((8000 * np.sin(2 * np.pi * hz * time_s)).astype(np.int16) for hz in (1000, 6000))
    assert np.std(heard.telephoned(low)[2000:-2000]) > 5000
    assert np.std(heard.telephoned(high)[2000:-2000]) < 100
