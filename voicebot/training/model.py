"""A small Llama-architecture decoder in torch, for training only: at run time llama.cpp runs the exported file."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from voicebot.training.shape import NORM_EPSILON, ROPE_BASE, Shape


class RmsNorm(nn.Module):  # type: ignore[misc]
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return functional.rms_norm(x, (x.shape[-1],), self.weight, NORM_EPSILON)


def rope_table(shape: Shape) -> tuple[Tensor, Tensor]:
    """Cosines and sines float32[context, head_width / 2] for adjacent pairs, llama.cpp's layout for `llama`."""
    steps = torch.arange(0, shape.head_width, 2).float() / shape.head_width
    angles = torch.outer(torch.arange(shape.context).float(), ROPE_BASE**-steps)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn pairs (2i, 2i + 1) of float32[batch, time, heads, head_width] by their position's angle."""
    even, odd = x[..., 0::2], x[..., 1::2]
    cos, sin = cos[None, :, None, :], sin[None, :, None, :]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


class Layer(nn.Module):  # type: ignore[misc]
    """Pre-norm attention with grouped keys, then SwiGLU."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        kv_width = shape.kv_heads * shape.head_width
        self.attn_norm, self.ffn_norm = RmsNorm(shape.width), RmsNorm(shape.width)
        self.q = nn.Linear(shape.width, shape.width, bias=False)
        self.k = nn.Linear(shape.width, kv_width, bias=False)
        self.v = nn.Linear(shape.width, kv_width, bias=False)
        self.out = nn.Linear(shape.width, shape.width, bias=False)
        self.gate = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.up = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.down = nn.Linear(shape.feed_forward, shape.width, bias=False)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, wanted: Tensor | None = None, dropout: float = 0.0
    ) -> Tensor:
        """`wanted` bool[batch, time]: after the attention only these positions are worked on, as float32[n, width]."""
        x = x + functional.dropout(self._attend(self.attn_norm(x), cos, sin), dropout)
        if wanted is not None:
            x = x[wanted]
        y = self.ffn_norm(x)
        return x + functional.dropout(self.down(functional.silu(self.gate(y)) * self.up(y)), dropout)

    def _attend(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, time, _ = x.shape
        q = rotate(self.q(x).view(batch, time, self.shape.heads, -1), cos, sin)
        k = rotate(self.k(x).view(batch, time, self.shape.kv_heads, -1), cos, sin)
        v = self.v(x).view(batch, time, self.shape.kv_heads, -1)
        groups = self.shape.heads // self.shape.kv_heads
        k, v = k.repeat_interleave(groups, dim=2), v.repeat_interleave(groups, dim=2)
        heads = functional.scaled_dot_product_attention(
            q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal=True
        )
        return self.out(heads.transpose(1, 2).reshape(batch, time, -1))


class Talker(nn.Module):  # type: ignore[misc]
    """Token ids int64[batch, time] -> hidden states; the output table is the input table (tied)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.dropout = 0.0
        """Share of what each part of a layer adds that is left out, while training only."""
        self.embed = nn.Embedding(shape.vocabulary, shape.width)
        self.blocks = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = RmsNorm(shape.width)
        cos, sin = rope_table(shape)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self._start_small()

    def _start_small(self) -> None:
        nn.init.normal_(self.embed.weight, std=0.02)
        for name, weight in self.named_parameters():
            if weight.dim() == 2 and "embed" not in name:
                scale = (2 * self.shape.layers) ** -0.5 if name.endswith(("out.weight", "down.weight")) else 1.0
                nn.init.normal_(weight, std=scale * weight.shape[1] ** -0.5 * 0.6)

    def forward(self, ids: Tensor, wanted: Tensor | None = None) -> Tensor:
        """Hidden states after the last norm: float32[batch, time, width], or [n, width] of the `wanted` positions."""
        cos, sin = self.cos[: ids.shape[1]], self.sin[: ids.shape[1]]
        dropout = self.dropout if self.training else 0.0
        x = functional.dropout(self.embed(ids), dropout)
        for block in self.blocks[:-1]:
            x = block(x, cos, sin, None, dropout)
        x = self.blocks[-1](x, cos, sin, wanted, dropout)
        hidden: Tensor = self.norm(x)
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        return functional.linear(hidden, self.embed.weight)
