"""Sizes and constants of the talker, shared by training (torch) and export (numpy)."""

from __future__ import annotations

from dataclasses import dataclass

ROPE_BASE = 10_000.0
NORM_EPSILON = 1e-5


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of the model; `heads * head_width` is the width of attention."""

    vocabulary: int = 3072
    width: int = 256
    layers: int = 6
    heads: int = 4
    kv_heads: int = 2
    feed_forward: int = 704
    context: int = 1024

    @property
    def head_width(self) -> int:
        return self.width // self.heads


SHAPES = {"small": Shape(), "large": Shape(width=320, layers=8, heads=5, kv_heads=1, feed_forward=896)}
"""5.2 and 9.8 million weights with 3,072 tokens."""
