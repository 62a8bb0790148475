"""What the router sees of a turn: the sentence's vector beside hashed word and letter n-grams, one dense row.

Each n-gram is hashed to a slot of a tf-idf table (0 for one never seen in training, which drops it) and to two signed
places of the row: a sparse random projection, so that the classifier stays small whatever is said.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from voicebot.brain.router_encoder import MAX_PIECES, Floats, words_of

PLACES = 3072
SLOTS = 1 << 17
SENTENCE_WEIGHT = 2.0
"""Length of the sentence's vector in a row; each kind of n-gram has length 1 and LETTER_WEIGHT."""
LETTER_WEIGHT = 0.6
_LETTERS = (3, 4, 5)
_TURNS = np.array([[2654435761], [2246822519]], np.uint32)
"""Odd multipliers: each turns a hash into one of its two places and signs."""


class SentenceVectors(Protocol):
    """What turns a sentence into one vector: the router's own encoder, or a sentence model's driver."""

    @property
    def size(self) -> int:
        """Length of a vector."""
        ...

    def encode(self, text: str) -> Floats:
        """float32[size] of length 1."""
        ...

    def encode_all(self, texts: Sequence[str]) -> Floats:
        """float32[len(texts), size]."""
        ...


def word_grams(words: Sequence[str]) -> Iterator[str]:
    """Words, pairs of neighbours (with the edges), and pairs with one word between."""
    framed = ["<", *words, ">"]
    yield from words
    yield from (f"{a} {b}" for a, b in pairwise(framed))
    yield from (f"{a} _ {b}" for a, b in zip(framed, framed[2:], strict=False))


def letter_grams(words: Sequence[str]) -> Iterator[str]:
    """Stretches of 3 to 5 letters within a word, so that a wrong ending still resembles the right one."""
    for word in words:
        edged = f"^{word}$"
        for size in _LETTERS:
            yield from (f"#{edged[at : at + size]}" for at in range(len(edged) - size + 1))


def hashed(text: str) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Hashes of the distinct word n-grams and letter n-grams of a text."""
    words = words_of(text)[:MAX_PIECES]
    kinds = (set(word_grams(words)), set(letter_grams(words)))
    hashes = [np.array(sorted(zlib.crc32(gram.encode()) for gram in kind), np.uint32) for kind in kinds]
    return hashes[0], hashes[1]


@dataclass(frozen=True, slots=True)
class Features:
    """Turns texts into rows. `idf` float32[SLOTS]; `encoder` None leaves the sentence's part out."""

    idf: Floats
    encoder: SentenceVectors | None

    @property
    def size(self) -> int:
        return PLACES + (self.encoder.size if self.encoder else 0)

    @classmethod
    def fitted(cls, texts: Sequence[str], encoder: SentenceVectors | None) -> Features:
        """Document frequencies from the training texts."""
        seen = np.zeros(SLOTS, np.float32)
        for text in texts:
            seen[np.unique(np.concatenate(hashed(text)) % SLOTS)] += 1
        return cls(np.where(seen > 0, np.log((len(texts) + 1) / (seen + 1)) + 1, 0).astype(np.float32), encoder)

    def row(self, text: str) -> Floats:
        """float32[size]."""
        grams = self._grams(text)
        return grams if self.encoder is None else np.concatenate([self.encoder.encode(text) * SENTENCE_WEIGHT, grams])

    def rows(self, texts: Sequence[str]) -> Floats:
        """float32[len(texts), size]."""
        found = np.zeros((len(texts), self.size), np.float32)
        front = self.encoder.size if self.encoder else 0
        if self.encoder:
            found[:, :front] = self.encoder.encode_all(texts) * SENTENCE_WEIGHT
        for at, text in enumerate(texts):
            found[at, front:] = self._grams(text)
        return found

    def _grams(self, text: str) -> Floats:
        """Both kinds of n-grams counted at once, each in places of its own, and then added at their lengths."""
        words, letters = hashed(text)
        hashes = np.concatenate([words, letters])
        turned = hashes * _TURNS
        signs = 1.0 - 2.0 * (turned >> np.uint32(31))
        places = ((turned >> np.uint32(8)) % PLACES).astype(np.intp)
        places[:, len(words) :] += PLACES
        counts = np.bincount(places.ravel(), (signs * self.idf[hashes % SLOTS]).ravel(), 2 * PLACES).reshape(2, PLACES)
        lengths = np.sqrt(np.einsum("kp,kp->k", counts, counts))
        shares = np.divide((1.0, LETTER_WEIGHT), lengths, out=np.zeros(2), where=lengths > 0)
        return np.asarray(shares @ counts, np.float32)
