"""Sentence models for routers: vectors of a tiny ONNX model, training on them, and what is said when one is missing."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tokenizers import Tokenizer, models, pre_tokenizers

from tests.training.router_lines import lines
from voicebot.brain.router import OOS, load_router
from voicebot.engines.sentences import MODEL, TOKENIZER, Sentences, open_sentences
from voicebot.errors import ConfigError, EngineUnavailable
from voicebot.training.router import fit, save

WORDS = ["[PAD]", "[UNK]", *sorted({word for one in lines() for word in one.text.split()})]
SIZE = 16


def write_sentence_model(folder: Path) -> Path:
    """Each word is a fixed random vector; the model takes no token types, as some exports do."""
    folder.mkdir(parents=True)
    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / TOKENIZER))
    table = np.random.default_rng(3).normal(size=(len(WORDS), SIZE)).astype(np.float32)
    shape = ["batch", "words"]
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])],
        "words",
        [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in ("input_ids", "attention_mask")],
        [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [*shape, SIZE])],
        [onnx.numpy_helper.from_array(table, "table")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(folder / MODEL))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sentence_model(tmp_path_factory.mktemp("models") / "router" / "tiny")


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


def test_a_missing_or_broken_model_is_named_with_the_way_to_get_one(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match=r"no model\.onnx in nowhere; .*voicebot models pull all-MiniLM-L6-v2"):
        open_sentences("nowhere", tmp_path)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / MODEL).write_bytes(b"x")
    (broken / TOKENIZER).write_text((folder / TOKENIZER).read_text("utf-8"), "utf-8")
    with pytest.raises(EngineUnavailable, match="broken holds no sentence model that can be used"):
        Sentences(broken)
