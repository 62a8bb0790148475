"""Sentence models for routers: vectors of a tiny ONNX model, training on them, and what is said when one is missing."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.engines.tiny import write_sentences
from tests.training.router_lines import lines
from voicebot.brain.router import OOS, load_router
from voicebot.engines.sentences import MODEL, TOKENIZER, SentenceEngine, Sentences, open_sentences, pulled_sentences
from voicebot.errors import ConfigError, EngineUnavailable
from voicebot.training.router import fit, save

SIZE = 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = {word for one in lines() for word in one.text.split()}
    return write_sentences(tmp_path_factory.mktemp("models") / "router" / "tiny", words, SIZE)


def test_a_sentence_is_the_mean_of_its_words_however_it_is_padded(folder: Path) -> None:
    model = Sentences(folder)
    texts = ["book a table", "refund", "when will it be delivered today please", ""]
    alone = np.stack([model.encode(text) for text in texts])
    assert model.size == SIZE
    np.testing.assert_allclose(model.encode_all(texts), alone, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(alone[:3], axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(model.encode("table book"), model.encode("book table"), atol=1e-5)


def test_a_router_is_trained_on_it_saved_and_loaded_by_its_url(folder: Path, tmp_path: Path) -> None:
    router = fit(lines(), Sentences(folder))
    save(router, tmp_path / "mine", None, "tiny")
    opened = partial(open_sentences, models_dir=folder.parent.parent)
    for name in ("tiny", str(folder)):
        loaded = load_router(f"router://{tmp_path}/mine?embed={name}", tmp_path, opened)
        route = loaded.route("how do i get my money back")
        assert max((task for task in route.scores if task != OOS), key=route.scores.__getitem__) == "refund"
    with pytest.raises(ConfigError, match=r"was trained on tiny, whose vectors have 16 numbers, and was given none"):
        load_router(f"router://{tmp_path}/mine", tmp_path, opened)


def test_a_router_without_one_takes_none(folder: Path, tmp_path: Path) -> None:
    save(fit(lines()[:40], None), tmp_path / "plain", None)
    with pytest.raises(ConfigError, match="was trained without a sentence model; leave embed out"):
        load_router(f"router://{tmp_path}/plain?embed={folder}", tmp_path, partial(open_sentences, models_dir=tmp_path))


def test_the_engine_of_a_lane_loads_a_pulled_model_by_name_and_tells_models_apart(folder: Path, tmp_path: Path) -> None:
    models_dir = folder.parent.parent
    engine, other = SentenceEngine("tiny", models_dir), SentenceEngine(str(folder), tmp_path)
    engine.load()
    assert engine.name == other.name == "sentences tiny" and engine.model.size == SIZE
    assert pulled_sentences(models_dir) == ["tiny"] and pulled_sentences(tmp_path) == []
    changed = write_sentences(tmp_path / "changed", {"book"}, SIZE)
    digests = {engine.digest(), other.digest(), SentenceEngine(str(changed), tmp_path).digest()}
    assert len(digests) == 2
    engine.close()


def test_a_missing_or_broken_model_is_named_with_the_way_to_get_one(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match=r"no model\.onnx in nowhere; .*voicebot models pull all-MiniLM-L6-v2"):
        open_sentences("nowhere", tmp_path)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / MODEL).write_bytes(b"x")
    (broken / TOKENIZER).write_text((folder / TOKENIZER).read_text("utf-8"), "utf-8")
    with pytest.raises(EngineUnavailable, match="broken holds no sentence model that can be used"):
        Sentences(broken)
