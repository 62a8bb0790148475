"""Training a router: how fast, how good, the same again, and what is said about bad data."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from tests.training.router_lines import lines
from voicebot.brain.router import OOS, Router
from voicebot.brain.router_encoder import Encoder
from voicebot.cli.train import shipped_router
from voicebot.errors import ConfigError
from voicebot.training.router import Example, fit, read_examples, save

ENCODER = shipped_router() / "encoder.npz"


@cache
def trained() -> Router:
    return fit(lines(), Encoder.load(ENCODER))


def test_ten_tasks_are_learned_from_two_hundred_lines_in_under_ten_seconds_of_this_process() -> None:
    began = time.process_time()
    router = fit(lines(), Encoder.load(ENCODER))
    assert time.process_time() - began < 10
    assert len(lines()) == 200
    assert len(router.tasks) == 10


@pytest.mark.parametrize(
    ("text", "task"),
    [
        ("Could I get a refund, please?", "refund"),
        ("uh i uh want a human agent", "agent"),
        ("has the parcel been delivered", "delivery"),
        ("thank you so much", "thanks"),
        ("at what time do you close on sunday", "opening_hours"),
    ],
)
def test_a_phrase_that_was_not_in_the_data_finds_its_task(text: str, task: str) -> None:
    scores = trained().route(text).scores
    assert max((name for name in scores if name != OOS), key=lambda name: scores[name]) == task


def test_what_no_task_owns_is_likelier_outside_than_what_one_does() -> None:
    router = trained()
    inside = [router.route(text).oos for text in ("i want a refund for my order", "book a table for four")]
    outside = [router.route(text).oos for text in ("why did the roman empire fall", "sing me an opera in chinese")]
    assert max(inside) < min(outside)


def test_hardness_follows_the_marks_of_the_data() -> None:
    router = trained()
    assert router.route("my invoice is wrong").hard > 0.5 > router.route("book a table for two").hard


def test_the_same_data_gives_the_same_router() -> None:
    again = fit(lines(), Encoder.load(ENCODER))
    assert np.array_equal(again.head.weights, trained().head.weights)


def test_a_saved_router_routes_like_the_one_that_was_saved(tmp_path: Path) -> None:
    save(trained(), tmp_path / "mine", ENCODER)
    loaded = Router.load(tmp_path / "mine")
    for text in ("where is my parcel", "tell me about volcanoes"):
        assert loaded.route(text).task == trained().route(text).task
        assert loaded.route(text).oos == pytest.approx(trained().route(text).oos, abs=0.02)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{not json", "line 2 is not JSON"),
        ('["a"]', "line 2 is not an object"),
        ('{"text": "a"}', "line 2: task is None"),
        ('{"text": " ", "task": "b"}', "line 2: text is ' '"),
        ('{"text": "a", "task": "b", "hard": "yes"}', "line 2: hard is 'yes'"),
    ],
)
def test_a_malformed_line_is_named_with_its_number(tmp_path: Path, line: str, said: str) -> None:
    file = tmp_path / "data.jsonl"
    file.write_text('{"text": "a", "task": "b"}\n' + line + "\n", "utf-8")
    with pytest.raises(ConfigError, match="data.jsonl, ") as caught:
        read_examples([file])
    assert said in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*nowhere\.jsonl"):
        read_examples([tmp_path / "nowhere.jsonl"])


def test_one_task_is_too_few_and_one_line_of_a_task_too() -> None:
    with pytest.raises(ConfigError, match="the data has 1 tasks besides 'oos'"):
        fit([Example("a", "x"), Example("b", "x"), Example("c", OOS)], None)
    with pytest.raises(ConfigError, match="task 'y' has one line"):
        fit([Example("a", "x"), Example("b", "x"), Example("c", "y")], None)
