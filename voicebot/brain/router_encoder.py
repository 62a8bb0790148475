"""A sentence encoder small enough to run on every turn: words to word pieces to one vector, in numpy alone.

A word is split greedily into the longest known pieces (WordPiece); each piece has a vector; a convolution over three
neighbours sees word order; its mean and maximum over the sentence and the mean of the plain vectors are projected to
one unit vector. The weights are a student of a sentence model (see models/router/README.md). About 0.2 ms a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voicebot.errors import ConfigError

Floats = NDArray[np.float32]
MAX_PIECES = 64
"""Longer texts keep their first and last halves of this many: what is asked stands at an end."""
GROUP = 256
KEPT_PIECES = 4096
"""What the convolution makes of a piece is kept for so many, 19 MB: callers say the same words again. Then anew."""
_WORD = re.compile(r"[a-z0-9]+|'")
_NAMES = ("pieces", "table", "scale", "conv", "conv_bias", "out", "out_bias")


def words_of(text: str) -> list[str]:
    """Lower-case words; punctuation but the apostrophe is gone, as in what a recogniser writes."""
    return _WORD.findall(text.lower().replace("\u2019", "'"))


@dataclass(frozen=True, slots=True)
class Encoder:
    """`table` int8[pieces, width] times `scale` float32[pieces]; `conv` float32[3 * width, hidden]; `out`
    float32[2 * hidden + width, size]."""

    vocabulary: dict[str, int]
    table: NDArray[np.int8]
    scale: Floats
    conv: Floats
    conv_bias: Floats
    out: Floats
    out_bias: Floats
    kept: dict[int, Floats] = field(default_factory=dict, compare=False, repr=False)
    """What `_convolved` found, at most KEPT_PIECES."""

    @property
    def size(self) -> int:
        """Length of a sentence's vector."""
        return int(self.out.shape[1])

    @classmethod
    def load(cls, file: Path) -> Encoder:
        """Raises: ConfigError where the file is missing or is no encoder."""
        try:
            with np.load(file) as saved:
                parts: dict[str, Any] = {name: saved[name] for name in _NAMES}
        except (OSError, ValueError, KeyError) as error:
            raise ConfigError(f"{file} is no router encoder ({error}); reinstall the product") from None
        pieces = bytes(parts.pop("pieces")).decode().split("\n")
        halves = {name: parts[name].astype(np.float32) for name in _NAMES[2:]}
        return cls({piece: at for at, piece in enumerate(pieces)}, parts["table"], **halves)

    def pieces(self, text: str) -> list[int]:
        """Indices of the word pieces; a character that no piece begins with ends its word."""
        found: list[int] = []
        for word in words_of(text):
            whole = self.vocabulary.get(word)
            if whole is None:
                found += self._split(word)
            else:
                found.append(whole)
        if len(found) > MAX_PIECES:
            return found[: MAX_PIECES // 2] + found[-MAX_PIECES // 2 :]
        return found

    def _split(self, word: str) -> list[int]:
        found, start = [], 0
        while start < len(word):
            mark = "##" if start else ""
            ends = range(min(len(word), start + 20), start, -1)
            end = next((end for end in ends if mark + word[start:end] in self.vocabulary), None)
            if end is None:
                break
            found.append(self.vocabulary[mark + word[start:end]])
            start = end
        return found

    def encode(self, text: str) -> Floats:
        """float32[size] of length 1; zeros for a text without words."""
        pieces = self.pieces(text)
        if not pieces:
            return np.zeros(self.size, np.float32)
        before, at, after = np.stack([self._convolved(piece) for piece in pieces], axis=1)
        hidden = at + self.conv_bias
        hidden[1:] += before[:-1]
        hidden[:-1] += after[1:]
        np.maximum(hidden, 0, out=hidden)
        vectors = self.table[pieces] * self.scale[pieces][:, None]
        pooled = np.concatenate([hidden.mean(0), hidden.max(0), vectors.mean(0)])
        vector = pooled @ self.out + self.out_bias
        return np.asarray(vector / (np.linalg.norm(vector) + 1e-9), np.float32)

    def _convolved(self, piece: int) -> Floats:
        """float32[3, hidden]: what a piece adds to the place after it, to its own and to the place before it."""
        found = self.kept.get(piece)
        if found is None:
            vector = self.table[piece] * self.scale[piece]
            found = vector @ self.conv.reshape(3, len(vector), -1)
            if len(self.kept) >= KEPT_PIECES:
                self.kept.clear()
            self.kept[piece] = found
        return found

    def _together(self, pieces: NDArray[np.intp]) -> Floats:
        """`pieces` int[texts, count] -> float32[texts, size]."""
        vectors = self.table[pieces] * self.scale[pieces][..., None]
        texts, count, width = vectors.shape
        padded = np.zeros((texts, count + 2, width), np.float32)
        padded[:, 1:-1] = vectors
        windows = np.concatenate([padded[:, :-2], padded[:, 1:-1], padded[:, 2:]], axis=2)
        hidden = windows.reshape(texts * count, 3 * width) @ self.conv + self.conv_bias
        hidden = np.maximum(hidden, 0).reshape(texts, count, -1)
        pooled = np.concatenate([hidden.mean(1), hidden.max(1), vectors.mean(1)], axis=1)
        vector = pooled @ self.out + self.out_bias
        return np.asarray(vector / (np.linalg.norm(vector, axis=1, keepdims=True) + 1e-9), np.float32)

    def encode_all(self, texts: Sequence[str]) -> Floats:
        """float32[len(texts), size]; texts of one length together, which is many times faster than one by one."""
        found = np.zeros((len(texts), self.size), np.float32)
        groups: dict[int, list[tuple[int, list[int]]]] = {}
        for at, text in enumerate(texts):
            pieces = self.pieces(text)
            groups.setdefault(len(pieces), []).append((at, pieces))
        for count, group in groups.items():
            for start in range(0, len(group) if count else 0, GROUP):
                part = group[start : start + GROUP]
                found[[at for at, _ in part]] = self._together(np.array([pieces for _, pieces in part]))
        return found
