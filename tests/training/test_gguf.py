"""Tokenizer and export, on a tiny model with random weights: no torch is needed."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest
from tokenizers import Tokenizer

from voicebot.errors import ConfigError
from voicebot.training import restore
from voicebot.training.chat import ASSISTANT, END, FIXED_TOKENS, USER, call_text, pieces
from voicebot.training.export import LAYER_NAMES, write_gguf
from voicebot.training.generate import Generator
from voicebot.training.restore import mixed, read_gguf
from voicebot.training.shape import Shape
from voicebot.training.tokenizer import token_id, train_tokenizer

TEXTS = ["set a timer for ten minutes", "naïve café 你好 🙂", "  two  spaces ", "it's 7*8 & {json}", "", "\n\ttabs"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    generator = Generator(Random(1))
    texts = [" " + turn.user for _ in range(400) for turn in generator.dialogue()]
    return train_tokenizer(texts, size=600)


def random_weights(shape: Shape) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    rng = np.random.default_rng(1)
    kv = shape.kv_heads * shape.head_width
    sizes = {"q": (shape.width, shape.width), "k": (kv, shape.width), "v": (kv, shape.width)}
    sizes |= {"out": (shape.width, shape.width), "down": (shape.width, shape.feed_forward)}
    weights = {"embed.weight": (shape.vocabulary, shape.width), "norm.weight": (shape.width,)}
    for layer in range(shape.layers):
        for name in LAYER_NAMES:
            size = (shape.width,) if "norm" in name else sizes.get(name, (shape.feed_forward, shape.width))
            weights[f"blocks.{layer}.{name}.weight"] = size
    return {name: rng.normal(0, 0.1, size).astype(np.float32) for name, size in weights.items()}


@pytest.fixture(scope="module")
def tiny(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    shape = Shape(tokenizer.get_vocab_size(), width=32, layers=2, heads=4, kv_heads=2, feed_forward=64, context=128)
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_gguf(shape, random_weights(shape), tokenizer, path)
    return path


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_survives_the_tokenizer(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text


def test_a_span_has_the_same_tokens_in_question_and_call(tokenizer: Tokenizer) -> None:
    question = tokenizer.encode(f"{USER} set a timer for ten minutes{END}").tokens
    call = tokenizer.encode(call_text("set_timer", (("duration", "ten minutes"),))).tokens
    assert "Ġten" in question
    assert "Ġten" in call
    assert len(call) <= 9


def test_the_exported_file_loads_and_generates(tiny: Path) -> None:
    from llama_cpp import Llama

    llama = Llama(str(tiny), n_ctx=128, n_threads=1, verbose=False)
    reply = llama.create_chat_completion([{"role": "user", "content": "hello"}], max_tokens=5, temperature=0.0)
    assert reply["usage"]["completion_tokens"] >= 1  # type: ignore[index]
    assert llama.metadata["llama.context_length"] == "128"


def test_llama_cpp_cuts_text_into_the_same_tokens(tiny: Path, tokenizer: Tokenizer) -> None:
    from llama_cpp import Llama

    llama = Llama(str(tiny), vocab_only=True, verbose=False)
    generator = Generator(Random(2))
    texts = [*TEXTS, *("".join(text for text, _ in pieces(generator.dialogue())) for _ in range(60))]
    for text in texts:
        assert llama.tokenize(text.encode(), add_bos=False, special=True) == tokenizer.encode(text).ids
    assert llama.token_eos() == token_id(tokenizer, END)
    assert llama.detokenize([token_id(tokenizer, "<tool_call>")]) == b"<tool_call>"
    assert token_id(tokenizer, ASSISTANT) != token_id(tokenizer, USER)


def test_llama_cpp_and_torch_compute_the_same(tiny: Path, tokenizer: Tokenizer) -> None:
    torch = pytest.importorskip("torch")
    from llama_cpp import Llama

    from voicebot.training.model import Talker

    shape = Shape(tokenizer.get_vocab_size(), width=32, layers=2, heads=4, kv_heads=2, feed_forward=64, context=128)
    model = Talker(shape)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in random_weights(shape).items()})
    ids = tokenizer.encode("set a timer for ten minutes").ids
    with torch.no_grad():
        wanted = model.logits(model(torch.tensor([ids])))[0].numpy()
    llama = Llama(str(tiny), n_ctx=128, n_threads=1, logits_all=True, verbose=False)
    llama.eval(ids)
    np.testing.assert_allclose(llama.scores[: len(ids)], wanted, atol=0.02)


def test_training_goes_on_from_the_exported_file_as_it_was(tiny: Path, tmp_path: Path) -> None:
    shape, weights, tokenizer = read_gguf(tiny)
    write_gguf(shape, weights, tokenizer, tmp_path / "again.gguf")
    assert (tmp_path / "again.gguf").read_bytes() == tiny.read_bytes()
    text = "set a timer for ten minutes, naïve"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_a_file_that_is_no_talker_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match=r"x\.gguf cannot be read as GGUF"):
        read_gguf(tmp_path / "x.gguf")


def test_a_talker_of_other_tools_cannot_go_on(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore, "FIXED_TOKENS", (*FIXED_TOKENS, "another"))
    with pytest.raises(ConfigError, match=r'trained for other tools or arguments \(\["another"\]\)'):
        read_gguf(tiny)


def test_a_mix_lies_between_a_talker_and_its_offspring(tiny: Path, tmp_path: Path) -> None:
    shape, weights, tokenizer = read_gguf(tiny)
    write_gguf(shape, {name: value + 1 for name, value in weights.items()}, tokenizer, tmp_path / "more.gguf")
    _, between, _ = mixed(tiny, tmp_path / "more.gguf", 0.25)
    for name, value in between.items():
        np.testing.assert_allclose(value, weights[name] + 0.25, atol=2e-3)


def test_talkers_of_two_shapes_are_not_mixed(tiny: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    shape = Shape(tokenizer.get_vocab_size(), width=32, layers=1, heads=4, kv_heads=2, feed_forward=64, context=128)
    write_gguf(shape, random_weights(shape), tokenizer, tmp_path / "less.gguf")
    with pytest.raises(ConfigError, match="not of one shape and tokenizer"):
        mixed(tiny, tmp_path / "less.gguf", 0.5)
