"""The end-of-turn model is learned from lines: the same lines give the same model, and it knows what is unfinished."""

from __future__ import annotations

from random import Random

import numpy as np

from voicebot.evals.turn import at_mean_wait, auc, held_out, measure
from voicebot.training.end_of_turn import Example, cut, examples_of, generated_lines, train

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
    assert report["wait_ms"]["mean"] == 594 and report["cut_off"] == {"300": 0.0, "500": 0.0, "800": 0.5}
    assert abs(at_mean_wait(chances, labels, 400)["wait_ms"]["mean"] - 400) <= 1
