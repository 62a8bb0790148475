"""Thresholds on log-probabilities, and how one is chosen."""

from __future__ import annotations

import math

import pytest

from voicebot.brain.confidence import Threshold, auroc, calibrate


def test_an_unsure_answer_is_rejected_with_its_figure() -> None:
    assert Threshold(mean_logprob=-0.5).rejects(-0.6, -3) == "unsure: mean log-probability -0.60 is below -0.50"
    assert Threshold(min_logprob=-2).rejects(-0.6, -3) == "unsure: least log-probability -3.00 is below -2.00"


def test_a_sure_answer_and_one_without_figures_are_accepted() -> None:
    assert Threshold(-0.5, -2).rejects(-0.5, -2) == ""
    assert Threshold(-0.5, -2).rejects(math.nan, math.nan) == ""
    assert Threshold().rejects(-100, -100) == ""


def test_the_threshold_is_the_lowest_that_keeps_enough_right_answers() -> None:
    got = calibrate([-0.1, -0.2, -0.3, -0.4, -0.5], [True, True, True, False, False], wanted=0.75)
    assert (got.min_logprob, got.accepted, got.right_when_accepted) == (-0.4, 0.8, 0.75)
    assert got.auroc == 1.0


def test_equal_scores_are_accepted_or_rejected_together() -> None:
    got = calibrate([-0.1, -0.2, -0.2], [True, True, False], wanted=1.0)
    assert (got.min_logprob, got.right_when_accepted) == (-0.1, 1.0)


def test_if_no_threshold_reaches_the_share_the_best_is_taken() -> None:
    got = calibrate([-0.1, -0.2, -0.3], [False, True, False], wanted=0.9)
    assert (got.min_logprob, got.right_when_accepted) == (-0.2, 0.5)


def test_nothing_to_calibrate_on_is_refused() -> None:
    with pytest.raises(ValueError, match="no examples"):
        calibrate([], [], 0.9)


def test_auroc_counts_ties_half_and_is_unknown_without_both_kinds() -> None:
    assert auroc([1, 2, 2, 3], [False, True, False, True]) == 0.875
    assert math.isnan(auroc([1, 2], [True, True]))
