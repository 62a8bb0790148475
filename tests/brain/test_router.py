"""Routing a turn: probabilities, context, speed, and what is said about a folder that is no router."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from voicebot.brain.router import OOS, Router, load_router
from voicebot.brain.router_encoder import Encoder
from voicebot.cli.train import shipped_router
from voicebot.errors import ConfigError

SHIPPED = shipped_router()


@pytest.fixture(scope="module")
def router() -> Router:
    return load_router("router://", SHIPPED)


@pytest.mark.parametrize(
    ("text", "task"),
    [
        ("set a timer for twelve minutes", "tools"),
        ("hello how are you doing", "talk"),
        ("make this sentence more polite", "rewrite"),
        ("what does the manual say about cleaning the filter", "retrieve"),
        ("is this review positive or negative", "classify"),
    ],
)
def test_the_shipped_router_knows_the_fleets_tasks(router: Router, text: str, task: str) -> None:
    assert router.route(text).task == task


def test_the_shipped_router_knows_what_is_hard(router: Router) -> None:
    assert router.route("write a python program that finds prime numbers").hard > 0.5
    assert router.route("good morning").hard < 0.5


def test_scores_are_probabilities_of_every_task_and_out_of_scope(router: Router) -> None:
    route = router.route("could you um make it louder")
    assert set(route.scores) == {*router.tasks, OOS}
    assert sum(route.scores.values()) == pytest.approx(1, abs=1e-5)
    assert 0 <= route.hard <= 1
    assert route.confidence == route.scores[route.task]


def test_case_and_punctuation_change_nothing(router: Router) -> None:
    assert router.route("What's the time?") == router.route("what's the time")


@pytest.mark.parametrize("text", ["", "?!", "\u4f60\u597d", "a" * 5000, "word " * 2000])
def test_any_text_has_a_route(router: Router, text: str) -> None:
    assert np.isfinite(list(router.route(text).scores.values())).all()


def test_a_short_turn_is_read_with_the_one_before_and_a_long_one_is_not(router: Router) -> None:
    context = ["how many meters are in a mile"]
    assert router.route("and in feet", context) != router.route("and in feet")
    long = "set an alarm for seven in the morning"
    assert router.route(long, context) == router.route(long)


def test_a_route_takes_no_longer_than_some_small_matrix_products(router: Router) -> None:
    """A ratio, as a busy machine slows both: 40 products of [16, 576] and [576, 384] are about 8 ms of one core."""
    left, right = np.ones((16, 576), np.float32), np.ones((576, 384), np.float32)
    text = "could you please remind me to call the dentist tomorrow morning at nine"
    router.route(text)

    def took(work: int) -> float:
        began = time.process_time()
        for _ in range(40):
            left @ right if work else router.route(text)
        return time.process_time() - began

    assert min(took(0) for _ in range(5)) < 30 * min(took(1) for _ in range(5))


def test_a_folder_that_is_no_router_is_named_with_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no router .*voicebot train router --data FILE.jsonl --out"):
        load_router(f"router://{tmp_path}/none", SHIPPED)


@pytest.mark.parametrize("url", ["llama://x", "router:", "/models/router", "router://x?size=3"])
def test_another_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="it must be router://"):
        load_router(url, SHIPPED)


def test_a_broken_encoder_is_named(tmp_path: Path) -> None:
    file = tmp_path / "encoder.npz"
    file.write_bytes(b"nothing")
    with pytest.raises(ConfigError, match="is no router encoder"):
        Encoder.load(file)


def test_an_unknown_word_is_split_and_word_order_matters() -> None:
    encoder = Encoder.load(SHIPPED / "encoder.npz")
    assert len(encoder.pieces("zorblaxification")) > 1
    one, other = encoder.encode("dog bites man"), encoder.encode("man bites dog")
    assert float(one @ other) < 0.9999
    assert np.allclose(encoder.encode_all(["dog bites man", ""]), np.stack([one, np.zeros_like(one)]), atol=1e-5)


def test_what_is_kept_of_pieces_has_a_limit_and_changes_no_vector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicebot.brain.router_encoder.KEPT_PIECES", 3)
    encoder = Encoder.load(SHIPPED / "encoder.npz")
    texts = ["set a timer for ten minutes", "what is the weather in paris", "set a timer for ten minutes"]
    one_by_one = np.stack([encoder.encode(text) for text in texts])
    assert np.allclose(one_by_one, Encoder.load(SHIPPED / "encoder.npz").encode_all(texts), atol=1e-5)
    assert len(encoder.kept) <= 3


def test_a_turn_alone_and_turns_together_have_the_same_routes(router: Router) -> None:
    texts = ["set a timer for ten minutes", "make this email friendlier", "", "who won the election yesterday"]
    together = router.routes(router.features.rows(texts))
    for text, other in zip(texts, together, strict=True):
        alone = router.route(text)
        assert alone.task == other.task
        assert alone.scores == pytest.approx(other.scores, abs=1e-4)
        assert (alone.hard, alone.oos) == pytest.approx((other.hard, other.oos), abs=1e-4)
