"""English Whisper models of a real shape, as CTranslate2 int8 folders that faster-whisper opens.

Random weights would say one word over and over until they are cut off, which the driver rightly takes for a loop and
asks again. Here `TOKENS` words and the end of text have a direction each, in which one position after the other points:
every transcript is the same `TOKENS` different words, whatever was spoken.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from voicebot.bench.prompts import byte_alphabet

TOKENS = 8
"""As many as two or three seconds of speech have, which is what callers say in a turn. Longer ones are read a few
milliseconds a word faster than with true weights."""
PROMPT_TOKENS = 2
"""Start of transcript, no timestamps."""
END = "<|endoftext|>"
BANDS = 80
SPECIAL_COUNT = 1607
ENCODER_POSITIONS, DECODER_POSITIONS = 1500, 448
LOGIT_STD, SAID_LOGIT, SAID_PUSH = 2.0, 1.0, 1e4
Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class WhisperShape:
    layers: int
    """On each side."""
    width: int
    heads: int
    words: int = 50_256
    """Tokens before the end of text."""


TINY_EN, BASE_EN, SMALL_EN = WhisperShape(4, 384, 6), WhisperShape(6, 512, 8), WhisperShape(12, 768, 12)


def write_whisper(shape: WhisperShape, folder: Path) -> Path:
    """Fill `folder`. Raises: OSError."""
    import ctranslate2

    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    tokens, special = _tokens(shape.words)
    spec: Any = ctranslate2.specs.WhisperSpec(shape.layers, shape.heads, shape.layers, shape.heads)
    spec.encoder.conv1.weight, spec.encoder.conv1.bias = _linear(random, shape.width, BANDS, 3)
    spec.encoder.conv2.weight, spec.encoder.conv2.bias = _linear(random, shape.width, shape.width, 3)
    _fill_side(spec.encoder, shape.width, random)
    _fill_side(spec.decoder, shape.width, random)
    spec.encoder.position_encodings.encodings = _normal(random, (ENCODER_POSITIONS, shape.width), 0.02)
    _fill_words(spec.decoder, shape, len(tokens), random)
    spec.register_vocabulary(tokens)
    spec.config.suppress_ids, spec.config.suppress_ids_begin = [], []
    spec.config.alignment_heads, spec.config.lang_ids = [(0, 0)], [tokens.index("<|en|>")]
    spec.validate()
    spec.optimize(quantization="int8")
    spec.save(str(folder))
    _write_tokenizer(folder / "tokenizer.json", tokens[: shape.words], special)
    (folder / "preprocessor_config.json").write_text(json.dumps({"feature_size": BANDS}))
    return folder


def _tokens(words: int) -> tuple[list[str], list[str]]:
    """All tokens in the order of their ids, and the special ones among them."""
    alphabet = byte_alphabet()
    ordinary = [*alphabet, *(f"Ġ{number}" for number in range(10, 10 + words - len(alphabet)))]
    tasks = ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
    stamps = [f"<|{index * 0.02:.2f}|>" for index in range(1501)]
    languages = ["<|en|>", *(f"<|language{n}|>" for n in range(SPECIAL_COUNT - 2 - len(tasks) - len(stamps)))]
    special = [END, "<|startoftranscript|>", *languages, *tasks, *stamps]
    return [*ordinary, *special], special


def _fill_words(decoder: Any, shape: WhisperShape, vocabulary: int, random: np.random.Generator) -> None:
    """Embeddings and positions, with a dimension set apart for each word that is spoken, and the last for the end."""
    embeddings = _normal(random, (vocabulary, shape.width), LOGIT_STD / np.sqrt(shape.width))
    embeddings[:, : TOKENS + 1] = 0
    embeddings[: len(byte_alphabet())] = 0
    embeddings[shape.words :] = 0
    positions = _normal(random, (DECODER_POSITIONS, shape.width), 0.02)
    said = [*range(len(byte_alphabet()), len(byte_alphabet()) + TOKENS), shape.words]
    for order, token in enumerate(said):
        embeddings[token] = 0
        embeddings[token, order] = SAID_LOGIT
        positions[PROMPT_TOKENS - 1 + order, order] = SAID_PUSH
    positions[PROMPT_TOKENS + TOKENS :, TOKENS] = SAID_PUSH
    decoder.embeddings.weight = decoder.projection.weight = embeddings
    decoder.position_encodings.encodings = positions


def _fill_side(side: Any, width: int, random: np.random.Generator) -> None:
    _fill_norm(side.layer_norm, width)
    for layer in side.layer:
        _fill_attention(layer.self_attention, width, [3 * width, width], random)
        if hasattr(layer, "attention"):
            _fill_attention(layer.attention, width, [width, 2 * width, width], random)
        _fill_norm(layer.ffn.layer_norm, width)
        layer.ffn.linear_0.weight, layer.ffn.linear_0.bias = _linear(random, 4 * width, width)
        layer.ffn.linear_1.weight, layer.ffn.linear_1.bias = _linear(random, width, 4 * width)


def _fill_attention(attention: Any, width: int, outputs: list[int], random: np.random.Generator) -> None:
    _fill_norm(attention.layer_norm, width)
    for linear, rows in zip(attention.linear, outputs, strict=True):
        linear.weight, linear.bias = _linear(random, rows, width)


def _fill_norm(norm: Any, width: int) -> None:
    norm.gamma, norm.beta = np.ones(width, dtype=np.float32), np.zeros(width, dtype=np.float32)


def _linear(random: np.random.Generator, *dims: int) -> tuple[Array, Array]:
    """Weights that keep a signal's size, and no bias."""
    return _normal(random, dims, 1 / np.sqrt(np.prod(dims[1:]))), np.zeros(dims[0], dtype=np.float32)


def _normal(random: np.random.Generator, dims: tuple[int, ...], std: float) -> Array:
    return random.standard_normal(dims, dtype=np.float32) * np.float32(std)


def _write_tokenizer(path: Path, ordinary: list[str], special: list[str]) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    tokenizer = Tokenizer(models.BPE(vocab={token: index for index, token in enumerate(ordinary)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special)
    tokenizer.save(str(path))
