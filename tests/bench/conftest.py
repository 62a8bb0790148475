"""Shapes scaled down: the same code and formats, made in milliseconds."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from voicebot.bench.shapes import SHAPES, Shape
from voicebot.bench.shapes_llama import LlamaShape, write_llama
from voicebot.bench.shapes_piper import PiperShape, write_piper
from voicebot.bench.shapes_whisper import WhisperShape, write_whisper

QWEN = LlamaShape("qwen3", 2, 256, 4, 2, 32, 256, 1500, 1024, 1e6, 1e-6)
LLAMA = LlamaShape("llama", 2, 256, 4, 2, 64, 256, 1500, 1024, 5e5, 1e-5)
WHISPER = WhisperShape(1, 64, 2, words=400)
PIPER = PiperShape(
    width=16, filter_width=16, layers=1, flows=1, flow_layers=1, predictor_layers=1, decoder_width=16
)  # fmt: skip
SMALL = {
    "whisper-tiny.en": partial(write_whisper, WHISPER),
    "qwen3-0.6b": partial(write_llama, QWEN),
    "llama-3.2-1b": partial(write_llama, LLAMA),
    "piper-medium": partial(write_piper, PIPER),
}


@pytest.fixture
def small_shapes() -> Iterator[dict[str, Shape]]:
    """The catalogue with every shape scaled down."""
    small = {
        name: Shape(name, SHAPES[name].kind, "scaled down", write, SHAPES[name].scheme, SHAPES[name].file,
                    SHAPES[name].options)
        for name, write in SMALL.items()
    }  # fmt: skip
    kept = dict(SHAPES)
    _replace_all(small)
    yield small
    _replace_all(kept)


def _replace_all(shapes: dict[str, Shape]) -> None:
    """In their order, which messages show."""
    SHAPES.clear()
    SHAPES.update(shapes)
