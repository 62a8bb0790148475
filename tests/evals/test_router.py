"""The router's measure: intervals, calibration, and a document that counts out of scope as a task."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from tests.training.router_lines import lines
from voicebot.brain.router import OOS, Router
from voicebot.evals.clinc150 import converted
from voicebot.evals.router import calibration_error, disturbed, evaluate, route_times, wilson, write_curve
from voicebot.evals.router_learning import part_of
from voicebot.training.router import Example, fit


@cache
def trained() -> Router:
    return fit(lines(), None)


def test_wilsons_interval_is_the_textbooks() -> None:
    assert wilson(8, 10) == [0.4902, 0.9433]
    assert wilson(0, 0) == [0.0, 1.0]


def test_calibration_error_is_the_gap_between_said_and_true() -> None:
    assert calibration_error([0.8] * 10, [True] * 8 + [False] * 2) == pytest.approx(0)
    assert calibration_error([0.9] * 10, [True] * 5 + [False] * 5) == pytest.approx(0.4)


def test_the_report_counts_out_of_scope_as_a_task_of_its_own(tmp_path: Path) -> None:
    router = trained()
    report = evaluate(router, [*lines(), Example("what a strange zebra", OOS)])
    assert report["n"] == 201
    assert set(report["per_task"]) == {*router.tasks, OOS}
    assert report["in_scope"]["share"] > 0.9
    assert report["oos_recall"]["n"] == 1
    assert report["hard"]["recall"] == 1
    assert report["risk_coverage"][-1] == [1.0, pytest.approx(1 - report["accuracy"], abs=1e-3)]
    json.dumps(report)
    write_curve(report["risk_coverage"], tmp_path / "curve.svg")
    assert (tmp_path / "curve.svg").read_text("utf-8").startswith("<svg")


def test_nearest_neighbours_are_measured_beside_it_where_its_training_lines_are_given() -> None:
    router = trained()
    asked = [Example("how do i get a refund now", "refund"), Example("uh what a strange zebra", OOS)]
    nearest = evaluate(router, asked, lines())["baselines"]["nearest"]
    assert (nearest["in_scope"]["right"], nearest["oos_recall"]["right"]) == (1, 0)
    assert "nearest" not in evaluate(router, asked)["baselines"]


def test_the_time_of_a_turn_is_part_of_the_report() -> None:
    times = route_times(trained(), ["book a table", "thanks a lot"])
    assert 0 < times["thread_p50"] <= times["thread_p99"]
    assert times["p99"] < 1000


def test_a_learning_curve_takes_the_same_first_lines_of_every_task() -> None:
    few, more = part_of(lines(), 2), part_of(lines(), 5)
    assert Counter(one.task for one in few) == dict.fromkeys({one.task for one in lines()}, 2)
    assert len(more) == 50
    assert set(map(str, few)) < set(map(str, more))


def test_noise_keeps_labels_and_changes_some_words() -> None:
    noisy = disturbed(lines())
    assert [one.task for one in noisy] == [one.task for one in lines()]
    assert 10 < sum(one.text != other.text for one, other in zip(noisy, lines(), strict=True)) < 150


def test_clinc150_is_converted_with_the_out_of_scope_lines_of_its_part(tmp_path: Path) -> None:
    source = tmp_path / "data.json"
    parts = {"train": [["a", "x"]], "oos_train": [["b", "oos"]], "val": [], "oos_val": []}
    source.write_text(json.dumps(parts), "utf-8")
    assert converted(source, "train") == [
        {"text": "a", "task": "x", "hard": False},
        {"text": "b", "task": "oos", "hard": False},
    ]
