"""Turns dialogues into batches: token ids, what is learned, and rows of like length so that little is padding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from voicebot.training.chat import CALL_OPEN, PAD, Turn, pieces
from voicebot.training.tokenizer import token_id

CALL_WEIGHT = 2.0
"""Tool calls count double: a wrong number in an argument does harm, another wording of a reply does not."""


@dataclass(frozen=True, slots=True)
class Row:
    """One dialogue: token ids, and for each the weight with which it is learned (0: only read)."""

    ids: list[int]
    weights: list[float]


@dataclass(frozen=True, slots=True)
class Batch:
    """`ids` int64[rows, time]; `weights` float32 of the same shape, 0 where nothing is learned, as in padding."""

    ids: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]


def encode(turns: list[Turn], tokenizer: Tokenizer) -> Row:
    ids: list[int] = []
    weights: list[float] = []
    for text, learn in pieces(turns):
        new = tokenizer.encode(text, add_special_tokens=False).ids
        ids += new
        weights += [(CALL_WEIGHT if text.startswith(CALL_OPEN) else 1.0) if learn else 0.0] * len(new)
    return Row(ids, weights)


def batches(
    dialogues: Iterator[list[Turn]], tokenizer: Tokenizer, tokens: int, pool: int, rng: Random
) -> Iterator[Batch]:
    """Endless batches of about `tokens` tokens, from pools of `pool` dialogues sorted by length."""
    pad = token_id(tokenizer, PAD)
    while True:
        rows = sorted((encode(next(dialogues), tokenizer) for _ in range(pool)), key=lambda row: len(row.ids))
        groups = list(_groups([row for row in rows if len(row.ids) <= 512], tokens))
        rng.shuffle(groups)
        for group in groups:
            yield _padded(group, pad)


def _groups(rows: list[Row], tokens: int) -> Iterator[list[Row]]:
    group: list[Row] = []
    for row in rows:
        if group and len(row.ids) * (len(group) + 1) > tokens:
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def _padded(rows: list[Row], pad: int) -> Batch:
    width = max(len(row.ids) for row in rows)
    ids = np.full((len(rows), width), pad, np.int64)
    weights = np.zeros((len(rows), width), np.float32)
    for index, row in enumerate(rows):
        ids[index, : len(row.ids)] = row.ids
        weights[index, : len(row.ids)] = row.weights
    return Batch(ids, weights)
