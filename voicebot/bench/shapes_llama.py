"""Language models of a real shape as GGUF, Q4_0: random blocks are written as they are, nothing is quantised.

As llama.cpp quantises a model with tied embeddings to "Q4_0", its embedding table (the output layer too) is Q6_K. The
vocabulary has the real size. It holds the bytes, the words of the bench's own prompts, so that a word is one token as
with the real tokenizers, and placeholders.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from voicebot.bench.prompts import WORDS, byte_alphabet

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant\n"
)
WEIGHT_STD = 0.02
Q4_0 = np.dtype([("scale", "<f2"), ("nibbles", "u1", (16,))])
"""32 weights: scale * (nibble - 8). Source: block_q4_0 in ggml-common.h."""
Q6_K = np.dtype([("low", "u1", (128,)), ("high", "u1", (64,)), ("scales", "i1", (16,)), ("scale", "<f2")])
"""256 weights: scale * scales[i] * (q - 32), q of 6 bits. Source: block_q6_K in ggml-common.h."""
_Q4_STD, _Q6_STD, _Q6_SCALE = 4.61, 18.5, 32
"""Standard deviation of nibbles and of 6-bit numbers that are drawn evenly."""
PIECE_BLOCKS = 1 << 18
Plan = dict[str, tuple[tuple[int, ...], Literal["F32", "Q4_0", "Q6_K"]]]


@dataclass(frozen=True, slots=True)
class LlamaShape:
    """The hyper-parameters in a model's config.json. Widths are multiples of 256, the size of a block of Q6_K."""

    architecture: Literal["qwen3", "llama"]
    layers: int
    width: int
    heads: int
    kv_heads: int
    head_width: int
    ffn_width: int
    vocabulary: int
    context: int
    rope_base: float
    epsilon: float


QWEN3_06B = LlamaShape("qwen3", 28, 1024, 16, 8, 128, 3072, 151_936, 40_960, 1e6, 1e-6)
QWEN3_17B = LlamaShape("qwen3", 28, 2048, 16, 8, 128, 6144, 151_936, 40_960, 1e6, 1e-6)
LLAMA_32_1B = LlamaShape("llama", 16, 2048, 32, 8, 64, 8192, 128_256, 131_072, 5e5, 1e-5)


def write_llama(shape: LlamaShape, path: Path) -> Path:
    """Write the model in pieces of a few megabytes. Raises: ImportError without the package gguf; OSError."""
    import gguf

    writer = gguf.GGUFWriter(path, shape.architecture)
    _describe(writer, shape)
    plan = tensors(shape)
    types = gguf.GGMLQuantizationType
    for name, (dims, kind) in plan.items():
        if kind == "F32":
            writer.add_tensor_info(name, dims, np.dtype("<f4"), int(np.prod(dims)) * 4)
            continue
        block, weights = (Q4_0, 32) if kind == "Q4_0" else (Q6_K, 256)
        row = dims[1] // weights * block.itemsize
        writer.add_tensor_info(name, (dims[0], row), np.dtype("u1"), dims[0] * row, raw_dtype=types[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    random = np.random.default_rng(0)
    for dims, kind in plan.values():
        _write_tensor(writer, dims, kind, random)
    writer.close()
    return path


def tensors(shape: LlamaShape) -> Plan:
    """Name -> (rows and columns, type), in the file's order; the embedding table is the output layer too."""
    width, q_width, kv_width = shape.width, shape.heads * shape.head_width, shape.kv_heads * shape.head_width
    plan: Plan = {"token_embd.weight": ((shape.vocabulary, width), "Q6_K"), "output_norm.weight": ((width,), "F32")}
    if shape.architecture == "llama":
        plan["rope_freqs.weight"] = ((shape.head_width // 2,), "F32")
    for layer in range(shape.layers):
        block: Plan = {
            "attn_norm": ((width,), "F32"),
            "attn_q": ((q_width, width), "Q4_0"),
            "attn_k": ((kv_width, width), "Q4_0"),
            "attn_v": ((kv_width, width), "Q4_0"),
            "attn_output": ((width, q_width), "Q4_0"),
            "ffn_norm": ((width,), "F32"),
            "ffn_gate": ((shape.ffn_width, width), "Q4_0"),
            "ffn_up": ((shape.ffn_width, width), "Q4_0"),
            "ffn_down": ((width, shape.ffn_width), "Q4_0"),
        }
        if shape.architecture == "qwen3":
            block |= {"attn_q_norm": ((shape.head_width,), "F32"), "attn_k_norm": ((shape.head_width,), "F32")}
        plan |= {f"blk.{layer}.{name}.weight": value for name, value in block.items()}
    return plan


def vocabulary(size: int) -> tuple[list[str], list[str]]:
    """`size` tokens, and the merges that join a word of the bench's prompts from its left to its right."""
    tokens = dict.fromkeys(byte_alphabet())
    merges = []
    for word in WORDS:
        for cut in range(1, len(word)):
            if word[: cut + 1] not in tokens:
                tokens[word[: cut + 1]] = None
                merges.append(f"{word[:cut]} {word[cut]}")
    filler = size - len(tokens) - len(SPECIAL)
    assert filler >= 0, f"a vocabulary of {size} has no room for {len(tokens)} bytes and words"
    return [*tokens, *(f"Ġ{number}" for number in range(10, 10 + filler)), *SPECIAL], merges


def _describe(writer: Any, shape: LlamaShape) -> None:
    import gguf

    tokens, merges = vocabulary(shape.vocabulary)
    ordinary = len(tokens) - len(SPECIAL)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_0)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.ffn_width)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_width)
    writer.add_value_length(shape.head_width)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2" if shape.architecture == "qwen3" else "llama-bpe")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.NORMAL] * ordinary + [gguf.TokenType.CONTROL] * len(SPECIAL))
    writer.add_token_merges(merges)
    writer.add_bos_token_id(ordinary)
    writer.add_eos_token_id(len(tokens) - 1)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def _write_tensor(writer: Any, dims: tuple[int, ...], kind: str, random: np.random.Generator) -> None:
    if kind == "F32":
        writer.write_tensor_data(np.ones(dims, dtype=np.float32))
        return
    weights = 32 if kind == "Q4_0" else 256
    block = Q4_0 if kind == "Q4_0" else Q6_K
    raw = np.empty(dims[0] * dims[1] // weights * block.itemsize, dtype=np.uint8)
    start = 0
    for piece in random_blocks(block, dims[0] * dims[1] // weights, random):
        raw[start : start + piece.nbytes] = piece.view(np.uint8)
        start += piece.nbytes
    writer.write_tensor_data(raw)


def random_blocks(block: np.dtype[Any], count: int, random: np.random.Generator) -> Iterator[npt.NDArray[Any]]:
    """`count` blocks whose weights have `WEIGHT_STD`, at most `PIECE_BLOCKS` at once."""
    for start in range(0, count, PIECE_BLOCKS):
        size = min(PIECE_BLOCKS, count - start)
        piece = np.frombuffer(random.bytes(size * block.itemsize), dtype=block).copy()
        if block == Q4_0:
            piece["scale"] = WEIGHT_STD / _Q4_STD
        else:
            piece["scales"] = _Q6_SCALE
            piece["scale"] = WEIGHT_STD / _Q6_STD / _Q6_SCALE
        yield piece
