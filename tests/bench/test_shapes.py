"""Shapes have the real sizes, are opened by the drivers, and behave as the measurements rely on."""

from __future__ import annotations

import importlib.util
import math
import re
import threading
from pathlib import Path

import numpy as np
import pytest

from tests.bench.conftest import LLAMA, QWEN
from voicebot.bench.prompts import ASKED, QUESTION, REPLIES, SYSTEM
from voicebot.bench.shapes import SHAPES, Shape, find_shape, is_made, make_shape, shapes_dir, size_mb
from voicebot.bench.shapes_llama import LLAMA_32_1B, Q4_0, QWEN3_06B, QWEN3_17B, LlamaShape, random_blocks, tensors
from voicebot.bench.shapes_whisper import TOKENS
from voicebot.engines import registry
from voicebot.engines.base import LlmDone, LlmRequest, Message, Sampling
from voicebot.errors import ConfigError

NEVER = threading.Event()


@pytest.mark.parametrize(
    ("shape", "parameters"),
    [(QWEN3_06B, 596_049_920), (QWEN3_17B, 1_720_574_976), (LLAMA_32_1B, 1_235_814_400 + 32)],
)
def test_the_language_models_have_the_published_number_of_parameters(shape: LlamaShape, parameters: int) -> None:
    """Llama's has 32 rope factors more, which llama.cpp stores as a tensor."""
    assert sum(math.prod(dims) for dims, _ in tensors(shape).values()) == parameters


def test_random_blocks_hold_weights_of_the_size_of_trained_ones() -> None:
    (blocks,) = random_blocks(Q4_0, 4000, np.random.default_rng(1))
    nibbles = np.concatenate([blocks["nibbles"] & 15, blocks["nibbles"] >> 4], axis=1).astype(np.float32) - 8
    weights = nibbles * blocks["scale"].astype(np.float32)[:, None]
    assert weights.std() == pytest.approx(0.02, rel=0.02)


@pytest.mark.parametrize("name", ["qwen3-0.6b", "llama-3.2-1b"])
def test_a_language_model_has_a_token_for_each_word_of_the_prompts(
    small_shapes: dict[str, Shape], tmp_path: Path, name: str
) -> None:
    shape = small_shapes[name]
    make_shape(shape, tmp_path)
    engine = registry.create("llm", shape.url(tmp_path))
    engine.load()
    messages = [Message("system", f" {SYSTEM}"), Message("user", f" {QUESTION}")]
    *_, last = engine.generate(LlmRequest(messages, sampling=Sampling(max_tokens=5)), NEVER)
    engine.close()
    assert isinstance(last, LlmDone)
    words = len(SYSTEM.split()) + len(QUESTION.split())
    assert words < last.prompt_tokens < words + 45
    assert (last.finish_reason, last.completion_tokens) == ("length", 5)


def test_a_whisper_says_the_same_number_of_words_whatever_it_hears_and_is_believed(
    small_shapes: dict[str, Shape], tmp_path: Path
) -> None:
    shape = small_shapes["whisper-tiny.en"]
    make_shape(shape, tmp_path)
    engine = registry.create("stt", shape.url(tmp_path))
    engine.load()
    noise = np.random.default_rng(3).normal(0, 3000, 160_000).astype(np.int16)
    heard = [engine.transcribe(noise[:length], NEVER).text for length in (16_000, 160_000)]
    engine.close()
    assert [len(set(text.split())) for text in heard] == [TOKENS, TOKENS]  # The same word again would be a loop.


@pytest.mark.skipif(importlib.util.find_spec("piper") is None, reason="the extra piper is missing")
def test_a_voice_speaks_at_a_natural_pace(small_shapes: dict[str, Shape], tmp_path: Path) -> None:
    shape = small_shapes["piper-medium"]
    make_shape(shape, tmp_path)
    engine = registry.create("tts", shape.url(tmp_path))
    engine.load()
    pcm = np.concatenate(list(engine.synthesize("The office opens at nine.", NEVER)))
    rate_hz = engine.sample_rate_hz
    engine.close()
    assert rate_hz == 22_050
    assert 1.0 < len(pcm) / rate_hz < 3.0


def test_a_shape_is_made_once(small_shapes: dict[str, Shape], tmp_path: Path) -> None:
    shape = small_shapes["qwen3-0.6b"]
    assert not is_made(shape, tmp_path)
    path = make_shape(shape, tmp_path)
    made_at = path.stat().st_mtime_ns
    assert make_shape(shape, tmp_path) == path == shape.path(tmp_path)
    assert path.stat().st_mtime_ns == made_at
    assert size_mb(path) > 0


@pytest.mark.parametrize(
    ("failure", "said"), [(ImportError("no gguf"), "extra 'bench'"), (OSError(28, "No space left"), "free some disk")]
)
def test_a_shape_that_could_not_be_written_leaves_nothing(tmp_path: Path, failure: Exception, said: str) -> None:
    def write(path: Path) -> None:
        path.write_text("half")
        raise failure

    shape = Shape("broken", "llm", "", write, "llama", "model.gguf")
    with pytest.raises(ConfigError, match=said):
        make_shape(shape, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_shape_is_refused_with_those_known() -> None:
    with pytest.raises(ConfigError, match=r"unknown stt shape 'qwen3-0.6b'; known: whisper-tiny.en"):
        find_shape("qwen3-0.6b", "stt")
    assert find_shape("qwen3-0.6b") is SHAPES["qwen3-0.6b"]


def test_shapes_lie_in_the_state_directory_or_in_the_cache() -> None:
    assert shapes_dir({"VOICEBOT_HOME": "/there"}) == Path("/there/shapes")
    assert shapes_dir({"XDG_CACHE_HOME": "/cache"}) == Path("/cache/voicebot/shapes")


def test_the_small_shapes_differ_from_the_real_ones_in_size_only() -> None:
    def names(shape: LlamaShape) -> set[str]:
        return {name for name in tensors(shape) if name.startswith("blk.1.") or "." not in name.removesuffix(".weight")}

    assert names(QWEN) == names(QWEN3_06B)
    assert names(LLAMA) == names(LLAMA_32_1B)


@pytest.mark.parametrize("text", [*ASKED, *REPLIES])
def test_what_is_said_in_whole_calls_has_a_token_a_word(
    small_shapes: dict[str, Shape], tmp_path: Path, text: str
) -> None:
    shape = small_shapes["qwen3-0.6b"]
    make_shape(shape, tmp_path)
    engine = registry.create("llm", shape.url(tmp_path))
    engine.load()

    def tokens(words: str) -> int:
        asked = LlmRequest([Message("user", words)], sampling=Sampling(max_tokens=1))
        *_, last = engine.generate(asked, NEVER)
        assert isinstance(last, LlmDone)
        return last.prompt_tokens

    assert tokens(text) - tokens("") == len(re.findall(r"\w+|[.,?]", text))
    engine.close()
