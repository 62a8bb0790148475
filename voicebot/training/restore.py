"""Reads an exported talker back, so that training can go on from the file that ships: shape, weights, tokenizer."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from voicebot.errors import ConfigError
from voicebot.training.chat import CONTROL_TOKENS, FIXED_TOKENS
from voicebot.training.export import LAYER_NAMES, Weights
from voicebot.training.shape import Shape

_PARTS = {stored: name for name, stored in LAYER_NAMES.items()}


def read_gguf(path: Path) -> tuple[Shape, Weights, Tokenizer]:
    """What `write_gguf` wrote; weights come back as float32 with the f16 file's precision.

    Raises: ConfigError, for a file that is no GGUF or no talker of the present tools.
    """
    try:
        reader = gguf.GGUFReader(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as GGUF ({error}); give a talker.gguf or a model.pt") from error
    weights = {_name(tensor.name): np.asarray(tensor.data, np.float32) for tensor in reader.tensors}
    return _shape(reader), weights, _tokenizer(reader, path)


def mixed(first: Path, second: Path, share: float) -> tuple[Shape, Weights, Tokenizer]:
    """Weights between a talker and one that was trained on from it, `share` of the second: what was learned last,
    without most of what was lost for it. Raises: ConfigError, also where they do not fit together.
    """
    shape, weights, tokenizer = read_gguf(first)
    other_shape, others, other_tokenizer = read_gguf(second)
    if shape != other_shape or tokenizer.get_vocab() != other_tokenizer.get_vocab():
        raise ConfigError(
            f"{first} and {second} are not of one shape and tokenizer; mix a talker with its own offspring"
        )
    between = {name: (1 - share) * value + share * others[name] for name, value in weights.items()}
    return shape, between, tokenizer


def _value(reader: gguf.GGUFReader, key: str) -> object:
    found = reader.get_field(key)
    if found is None:
        raise ConfigError(f"the GGUF has no {key}: it is no talker that was exported here")
    return found.contents()


def _shape(reader: gguf.GGUFReader) -> Shape:
    def number(key: str) -> int:
        return int(str(_value(reader, f"llama.{key}")))

    return Shape(
        vocabulary=number("vocab_size"),
        width=number("embedding_length"),
        layers=number("block_count"),
        heads=number("attention.head_count"),
        kv_heads=number("attention.head_count_kv"),
        feed_forward=number("feed_forward_length"),
        context=number("context_length"),
    )


def _tokenizer(reader: gguf.GGUFReader, path: Path) -> Tokenizer:
    """The tokenizer with every token at its old number."""
    tokens, kinds = _value(reader, "tokenizer.ggml.tokens"), _value(reader, "tokenizer.ggml.token_type")
    merges = _value(reader, "tokenizer.ggml.merges")
    assert isinstance(tokens, list) and isinstance(kinds, list) and isinstance(merges, list)
    fixed = [text for text, kind in zip(tokens, kinds, strict=True) if kind == gguf.TokenType.USER_DEFINED]
    if fixed != list(FIXED_TOKENS):
        new = json.dumps(sorted(set(FIXED_TOKENS) ^ set(fixed)))
        raise ConfigError(f"{path} was trained for other tools or arguments ({new}); train from the beginning")
    vocabulary = {text: number for number, text in enumerate(tokens[: len(tokens) - len(fixed)])}
    pairs = [(left, right) for left, _, right in (str(merge).partition(" ") for merge in merges)]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in CONTROL_TOKENS])
    tokenizer.add_tokens([AddedToken(text, normalized=False, special=False) for text in fixed])
    return tokenizer


def _name(stored: str) -> str:
    parts = stored.split(".")
    if parts[0] == "blk":
        return f"blocks.{parts[1]}.{_PARTS[parts[2]]}.weight"
    return {"token_embd.weight": "embed.weight", "output_norm.weight": "norm.weight"}[stored]
