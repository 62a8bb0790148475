"""A tiny recurrent model: it keeps a running state, so that its cache cannot forget a part."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

from tests.engines.tiny import CHAT_TEMPLATE, byte_tokens, weights

WIDTH, INNER, STATE, RANK, CONV = 32, 64, 16, 8, 4


def write_mamba(path: Path) -> Path:
    """Two layers of Mamba over bytes. Its replies are noise, but the same noise each time."""
    writer = gguf.GGUFWriter(path, "mamba")
    writer.add_context_length(1024)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(2)
    writer.add_feed_forward_length(0)
    writer.add_head_count(0)
    writer.add_ssm_conv_kernel(CONV)
    writer.add_ssm_inner_size(INNER)
    writer.add_ssm_state_size(STATE)
    writer.add_ssm_time_step_rank(RANK)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_chat_template(CHAT_TEMPLATE)
    vocabulary = byte_tokens(writer)
    for name, shape in _shapes(vocabulary).items():
        writer.add_tensor(name, _tensor(name, shape))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _tensor(name: str, shape: tuple[int, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """A state that decays: `ssm_a` is negative."""
    if name.endswith("ssm_a"):
        return -np.abs(weights(shape, name, 1.0)) - 0.1
    return weights(shape, name)


def _shapes(vocabulary: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (vocabulary, WIDTH), "output_norm.weight": (WIDTH,)}
    for layer in range(2):
        block: dict[str, tuple[int, ...]] = {
            "attn_norm.weight": (WIDTH,),
            "ssm_in.weight": (2 * INNER, WIDTH),
            "ssm_conv1d.weight": (INNER, CONV),
            "ssm_conv1d.bias": (INNER,),
            "ssm_x.weight": (RANK + 2 * STATE, INNER),
            "ssm_dt.weight": (INNER, RANK),
            "ssm_dt.bias": (INNER,),
            "ssm_a": (INNER, STATE),
            "ssm_d": (INNER,),
            "ssm_out.weight": (WIDTH, INNER),
        }
        shapes |= {f"blk.{layer}.{name}": shape for name, shape in block.items()}
    return shapes
