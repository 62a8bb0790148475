"""End of turn by the words: P(this transcript is a complete utterance), by the small model shipped in `models/turn`.

A transcript becomes a set of features, most of them about its last words; each is hashed to a row of a table, the rows
are added up, and one hidden layer judges the sum. Trained by `voicebot/training/end_of_turn.py`; numpy only.
"""

from __future__ import annotations

import math
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import Field

from voicebot.core.text import normalize
from voicebot.engines.base import Locality, Pcm
from voicebot.engines.options import DriverOptions, EngineSpec
from voicebot.errors import EngineUnavailable

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

SHIPPED = Path("turn") / "text.npz"
_PACKAGE = Path(__file__).resolve().parent.parent
_DIGIT = re.compile(r"\d")
LONGEST_WORDS = 24
"""The first and the last twelve words of a longer transcript are looked at."""


def words_of(text: str) -> list[str]:
    """The words that the model sees: lower case, no punctuation, digits as 0, the middle of a long text left out."""
    words = _DIGIT.sub("0", normalize(text)).split()
    half = LONGEST_WORDS // 2
    return words if len(words) <= LONGEST_WORDS else words[:half] + words[-half:]


def features(words: list[str]) -> Iterator[str]:
    """What is known of a transcript, as text: its endings, its openings, and what goes with its last word."""
    framed = ["<", *words]
    last = framed[-1]
    for length in range(1, 5):
        yield f"end{length} {' '.join(framed[-length:])}"
    for back in (2, 3, 4):
        yield f"back{back} {framed[-back] if len(framed) >= back else ''}"
    for length in range(1, 5):
        yield f"tail {last[-length:]}"
    for length in (1, 2, 3):
        start = " ".join(words[:length])
        yield f"start {start}"
        yield f"frame {start}|{last}"
    yield f"length {min(len(words), 16)}"
    yield f"length {min(len(words), 16)}|{last}"
    for word in set(words[:-1]):
        yield f"has {word}"
        yield f"with {word}|{last}"
    for pair in zip(words[-7:-1], words[-6:], strict=False):
        yield f"pair {pair[0]} {pair[1]}"


def rows_of(text: str, table_rows: int) -> Rows:
    """The table rows of a transcript's features, each once, sorted: int64[n], 0 <= row < table_rows."""
    hashes = {zlib.crc32(feature.encode()) % table_rows for feature in features(words_of(text))}
    return np.array(sorted(hashes), dtype=np.int64)


@dataclass(frozen=True, slots=True)
class TextWeights:
    """The model: logit = scale * (out . relu(sum of the features' table rows + hidden_bias) + bias) + shift."""

    table: npt.NDArray[np.float16]
    """[rows, width]."""
    hidden_bias: Floats
    """[width]."""
    out: Floats
    """[width]."""
    bias: float
    scale: float
    """With `shift`: the calibration, fitted on transcripts that were not trained on."""
    shift: float

    def logit(self, text: str) -> float:
        """Log-odds that the transcript is complete, at even odds before anything is known."""
        rows = self.table[rows_of(text, len(self.table))]
        hidden = rows.sum(axis=0, dtype=np.float32) + self.hidden_bias
        np.maximum(hidden, 0, out=hidden)
        return self.scale * (float(hidden @ self.out) + self.bias) + self.shift

    def save(self, path: Path) -> None:
        """Write an .npz without pickles."""
        numbers = np.array([self.bias, self.scale, self.shift], dtype=np.float32)
        np.savez_compressed(path, table=self.table, hidden_bias=self.hidden_bias, out=self.out, numbers=numbers)

    @classmethod
    def read(cls, path: Path) -> TextWeights:
        """Raises: EngineUnavailable, for a file that is not there or is no such model."""
        if not path.is_file():
            raise EngineUnavailable(f"text://: no end-of-turn model at {path}; fix the path, or leave it out")
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                table, hidden_bias, out, numbers = (arrays[name] for name in ("table", "hidden_bias", "out", "numbers"))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise EngineUnavailable(f"text://: {path} is no end-of-turn model: {error}") from error
        shapes = (table.shape[1:], hidden_bias.shape, out.shape)
        if table.ndim != 2 or not table.size or len(set(shapes)) != 1 or numbers.shape != (3,):
            raise EngineUnavailable(f"text://: {path} is no end-of-turn model: its arrays are {shapes}; train it again")
        if not all(np.isfinite(array).all() for array in (table, hidden_bias, out, numbers)):
            raise EngineUnavailable(f"text://: {path} holds numbers that are not finite; train it again")
        bias, scale, shift = (float(number) for number in numbers)
        return cls(table, hidden_bias.astype(np.float32), out.astype(np.float32), bias, scale, shift)


def shipped_weights() -> Path:
    """In the package, else beside it in the repository."""
    places = [root / "models" / SHIPPED for root in (_PACKAGE, _PACKAGE.parent)]
    return next((place for place in places if place.is_file()), places[0])


def log_odds(probability: float) -> float:
    """Of a probability strictly between 0 and 1."""
    return math.log(probability / (1 - probability))


def sigmoid(logit: float) -> float:
    """The probability of log-odds, safe for large ones."""
    return 1 / (1 + math.exp(-max(-60.0, min(60.0, logit))))


class TextTurn:
    """`text://` for the shipped model, `text:///path/model.npz` for one's own. English."""

    locality: Locality = "local"
    max_concurrency = 1
    wants_audio = False

    class Options(DriverOptions):
        prior: float = Field(0.75, gt=0, lt=1)
        """How often a caller who has been silent for the shortest wait has finished, whatever was said. Lower waits
        longer. Measured in `models/turn/README.md`."""

    def __init__(self, spec: EngineSpec, options: Options) -> None:
        self._spec = spec
        self._prior_logit = log_odds(options.prior)
        self._weights: TextWeights | None = None

    @property
    def name(self) -> str:
        return self._spec.short_name

    def load(self) -> None:
        self._weights = TextWeights.read(self._spec.find() if self._spec.target else shipped_weights())
        self._weights.logit("what time is it")

    def close(self) -> None:
        self._weights = None

    def end_probability(self, _pcm: Pcm, text: str) -> float:
        assert self._weights is not None, "load() comes before end_probability()"
        return sigmoid(self._weights.logit(text) + self._prior_logit)
