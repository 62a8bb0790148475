"""Writes the trained talker as GGUF: weights, tokenizer and chat template in one file that llama.cpp loads."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from voicebot.engines.llama_copying import COPIED, COPIED_KEY
from voicebot.training.chat import CONTROL_TOKENS, END, FIXED_TOKENS, PAD, TEMPLATE
from voicebot.training.shape import NORM_EPSILON, ROPE_BASE, Shape
from voicebot.training.tokenizer import token_id

LAYER_NAMES = {
    "attn_norm": "attn_norm", "ffn_norm": "ffn_norm", "q": "attn_q", "k": "attn_k", "v": "attn_v", "out": "attn_output",
    "gate": "ffn_gate", "up": "ffn_up", "down": "ffn_down",
}  # fmt: skip


Weights = dict[str, npt.NDArray[np.float32]]


def write_gguf(shape: Shape, weights: Weights, tokenizer: Tokenizer, path: Path) -> None:
    """Export as f16 (norms f32). The model rotates adjacent pairs already, as llama.cpp's `llama` does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, "llama")
    _add_shape(writer, shape)
    _add_tokenizer(writer, tokenizer)
    for name, weight in weights.items():
        writer.add_tensor(_tensor_name(name), _stored(weight))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_shape(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_name("voicebot talker")
    writer.add_license("apache-2.0")
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(ROPE_BASE)
    writer.add_layer_norm_rms_eps(NORM_EPSILON)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    tokens = [tokenizer.id_to_token(index) or "" for index in range(tokenizer.get_vocab_size())]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([_token_type(token) for token in tokens])
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    end = token_id(tokenizer, END)
    writer.add_eos_token_id(end)
    writer.add_eot_token_id(end)
    writer.add_bos_token_id(end)
    writer.add_pad_token_id(token_id(tokenizer, PAD))
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_chat_template(TEMPLATE)
    writer.add_string(COPIED_KEY, COPIED)


def _token_type(token: str) -> int:
    if token in CONTROL_TOKENS:
        return int(gguf.TokenType.CONTROL)
    return int(gguf.TokenType.USER_DEFINED if token in FIXED_TOKENS else gguf.TokenType.NORMAL)


def _tensor_name(name: str) -> str:
    parts = name.split(".")
    if parts[0] == "blocks":
        return f"blk.{parts[1]}.{LAYER_NAMES[parts[2]]}.weight"
    return {"embed.weight": "token_embd.weight", "norm.weight": "output_norm.weight"}[name]


def _stored(weight: npt.NDArray[np.float32]) -> npt.NDArray[np.float16] | npt.NDArray[np.float32]:
    return weight.astype(np.float16) if weight.ndim == 2 else weight
