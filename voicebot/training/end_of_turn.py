"""Trains the end-of-turn model of `text://`: whole utterances against their own beginnings, in a minute on one core.

    python -m voicebot.training.end_of_turn --clinc train_val.json --out models/turn/text.npz

Half of the examples are whole, half are beginnings cut at a random word, some ending in a hesitation, all with a
recogniser's noise. A beginning that is another caller's whole utterance ("what time is it" of "what time is it in
london") is left out: an answer to it makes sense, and the turn is reopened if the caller goes on. One's own utterances:
`--lines FILE`, one a line.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import numpy.typing as npt

from voicebot.core.text import normalize
from voicebot.engines.turn_text import TextWeights, rows_of
from voicebot.training import noise
from voicebot.training.generate import Generator
from voicebot.training.grammar import Piece
from voicebot.training.spoken import ANSWERS, sentences

Floats = npt.NDArray[np.float32]

TABLE_ROWS = 2**15
WIDTH = 16
BATCH = 256
EPOCHS = 4
RATE = 0.05
"""Of AdaGrad's steps."""
NOISY_SHARE = 0.35
HESITATIONS = ("um", "uh", "er", "uhm", "like", "you know", "let me see", "hmm")
HESITATING_SHARE = 0.08
LONE_HESITATIONS = 0.005
"""A hesitation with nothing before it, for each line."""
GENERATED = 40_000
SHORT_WORDS = 3
SHORT_COPIES = 3
"""Callers answer in a word or two far more often than sets of commands show: whole short lines count so many times."""
ANSWER_COPIES, SENTENCE_COPIES = 12, 2
TENS = frozenset("twenty thirty forty fifty sixty seventy eighty ninety".split())
UNITS = frozenset("one two three four five six seven eight nine".split())
NUMBER_TAILS = frozenset("hundred thousand million point".split())
MISHEARD_ENDS = {"eight": "a", "two": "to", "four": "for"}
"""What a recogniser makes of a number whose end is faint, measured with PocketSphinx: "what is seven times a"."""
MISHEARD_SHARE = 0.3
CALIBRATION_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Example:
    """A transcript, and whether the caller has finished."""

    text: str
    complete: bool


@dataclass(slots=True)
class Batch:
    """Examples as one list of table rows; example i has those from starts[i] on."""

    rows: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    labels: Floats


def clinc_lines(path: Path, part: str) -> list[str]:
    """The utterances of CLINC150's "train" or "val" part, those out of scope too."""
    rows = json.loads(path.read_text("utf-8"))
    return [text for text, _ in rows[part] + rows[f"oos_{part}"]]


def generated_lines(count: int, seed: int, held_out: bool = False) -> list[str]:
    """What callers say in generated dialogues; with noise where held out, without for training (it comes later)."""
    generator = Generator(Random(seed), held_out=held_out, clean=not held_out)
    lines: list[str] = []
    while len(lines) < count:
        lines += [turn.user for turn in generator.dialogue()]
    return lines[:count]


def examples_of(lines: Sequence[str], rng: Random) -> list[Example]:
    """For training: each line whole (a short one several times), and its beginning where that is not a line itself."""
    whole = frozenset(normalize(line) for line in lines)
    examples = []
    for line in lines:
        said = line
        if rng.random() < NOISY_SHARE:
            said = noise.joined(noise.disturb([Piece(line)], rng))
        said = misheard(said, rng)
        examples += [Example(said, True)] * (SHORT_COPIES if len(said.split()) <= SHORT_WORDS else 1)
        beginning = paused(said, rng)
        if beginning and normalize(beginning) not in whole:
            examples.append(Example(beginning, False))
        if rng.random() < LONE_HESITATIONS:
            examples.append(Example(rng.choice(HESITATIONS), False))
    return examples


def misheard(line: str, rng: Random) -> str:
    """The line, now and then with the number at its end taken for a word that ends nothing."""
    words = line.split()
    if words[-1] in MISHEARD_ENDS and rng.random() < MISHEARD_SHARE:
        return " ".join([*words[:-1], MISHEARD_ENDS[words[-1]]])
    return line


def cut(line: str, rng: Random) -> str:
    """A beginning of the line, one word or more of it, now and then with a hesitation at its end; "" of one word."""
    words = line.split()
    if len(words) < 2:
        return ""
    beginning = " ".join(words[: rng.randrange(1, len(words))])
    return f"{beginning} {rng.choice(HESITATIONS)}" if rng.random() < HESITATING_SHARE else beginning


def paused(line: str, rng: Random) -> str:
    """A beginning after which a speaker may think: hardly ever inside a number, as in "thirty | five"."""
    beginning = cut(line, rng)
    words, at = line.split(), len(beginning.split())
    inside = 0 < at < len(words) and inside_number(words[at - 1], words[at])
    return cut(line, rng) if inside else beginning


def inside_number(word: str, following: str) -> bool:
    """Whether the two are parts of one number, which is said in one breath."""
    return (word in TENS and following in UNITS) or following in NUMBER_TAILS or word == "point"


def batch_of(examples: Sequence[Example]) -> Batch:
    """The examples' features, hashed."""
    rows = [rows_of(example.text, TABLE_ROWS) for example in examples]
    starts = np.cumsum([0, *(len(row) for row in rows)])[:-1].astype(np.int64)
    labels = np.array([example.complete for example in examples], dtype=np.float32)
    return Batch(np.concatenate(rows), starts, labels)


class Trainer:
    """AdaGrad on the log-loss; gradients written out by hand, so that training needs numpy only."""

    def __init__(self, seed: int) -> None:
        draw = np.random.default_rng(seed)
        self.table: Floats = draw.normal(0, 0.05, (TABLE_ROWS, WIDTH)).astype(np.float32)
        self.hidden_bias: Floats = np.full(WIDTH, 0.1, dtype=np.float32)
        self.out: Floats = draw.normal(0, 1 / np.sqrt(WIDTH), WIDTH).astype(np.float32)
        self.bias = 0.0
        self._table_sum = np.full((TABLE_ROWS, 1), 0.01, dtype=np.float32)
        self._hidden_sum = np.full(WIDTH, 0.1, dtype=np.float32)
        self._out_sum = np.full(WIDTH, 0.1, dtype=np.float32)

    def step(self, batch: Batch, rate: float) -> float:
        """One step down; the batch's mean log-loss before it."""
        before = np.add.reduceat(self.table[batch.rows], batch.starts, axis=0) + self.hidden_bias
        hidden = np.maximum(before, 0)
        logits = hidden @ self.out + self.bias
        chances = 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
        wrong = (chances - batch.labels) / len(batch.labels)
        to_hidden = np.outer(wrong, self.out) * (before > 0)
        self._descend(self.out, self._out_sum, hidden.T @ wrong, rate)
        self._descend(self.hidden_bias, self._hidden_sum, to_hidden.sum(axis=0), rate)
        self.bias -= rate * float(wrong.sum())
        self._descend_table(batch, to_hidden, rate)
        chosen = np.where(batch.labels > 0.5, chances, 1 - chances)
        return float(-np.log(np.maximum(chosen, 1e-9)).mean())

    def _descend_table(self, batch: Batch, to_hidden: Floats, rate: float) -> None:
        counts = np.diff(np.append(batch.starts, len(batch.rows)))
        each = np.repeat(np.arange(len(counts)), counts)
        order = np.argsort(batch.rows, kind="stable")
        rows, firsts = np.unique(batch.rows[order], return_index=True)
        slope = np.add.reduceat(to_hidden[each[order]], firsts, axis=0)
        self._table_sum[rows] += np.square(slope).mean(axis=1, keepdims=True) * len(batch.labels)
        self.table[rows] -= rate * slope * len(batch.labels) ** 0.5 / np.sqrt(self._table_sum[rows])

    @staticmethod
    def _descend(weights: Floats, squares: Floats, slope: Floats, rate: float) -> None:
        squares += slope**2
        weights -= rate * slope / np.sqrt(squares)

    def weights(self) -> TextWeights:
        """Uncalibrated."""
        return TextWeights(self.table.astype(np.float16), self.hidden_bias, self.out, self.bias, 1.0, 0.0)


def calibrated(weights: TextWeights, examples: Sequence[Example]) -> TextWeights:
    """`scale` and `shift` by logistic regression on examples that were not trained on (Newton's method)."""
    logits = np.array([weights.logit(example.text) for example in examples])
    labels = np.array([example.complete for example in examples], dtype=np.float64)
    inputs = np.stack([logits, np.ones_like(logits)], axis=1)
    fit = np.array([1.0, 0.0])
    for _ in range(25):
        chances = 1 / (1 + np.exp(-np.clip(inputs @ fit, -30, 30)))
        curve = inputs.T @ (inputs * (chances * (1 - chances))[:, None]) + 1e-6 * np.eye(2)
        fit -= np.linalg.solve(curve, inputs.T @ (chances - labels))
    return TextWeights(weights.table, weights.hidden_bias, weights.out, weights.bias, float(fit[0]), float(fit[1]))


def train(lines: Sequence[str], seed: int = 1, epochs: int = EPOCHS) -> TextWeights:
    """The model for callers who say such things. The same lines and seed give the same weights."""
    rng = Random(seed)
    lines = list(lines)
    rng.shuffle(lines)
    kept = max(1, int(len(lines) * CALIBRATION_SHARE))
    trainer = Trainer(seed)
    steps = epochs * 2 * (len(lines) - kept) // BATCH + epochs
    step = 0
    for epoch in range(epochs):
        examples = examples_of(lines[kept:], rng)
        rng.shuffle(examples)
        losses = []
        for start in range(0, len(examples), BATCH):
            losses.append(trainer.step(batch_of(examples[start : start + BATCH]), RATE * max(0.02, 1 - step / steps)))
            step += 1
        sys.stderr.write(f"epoch {epoch + 1}: log-loss {np.mean(losses):.4f} of {len(examples)} examples\n")
    return calibrated(trainer.weights(), examples_of(lines[:kept] * 3, rng))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clinc", type=Path, help="CLINC150's train_val.json; its training part is used")
    parser.add_argument("--lines", type=Path, action="append", default=[], help="utterances, one a line; repeatable")
    parser.add_argument("--generated", type=int, default=GENERATED, help="utterances of generated dialogues")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    lines = generated_lines(options.generated, options.seed)
    lines += list(ANSWERS) * ANSWER_COPIES + sentences() * SENTENCE_COPIES
    if options.clinc:
        lines += clinc_lines(options.clinc, "train") * 2
    for path in options.lines:
        lines += [line for line in path.read_text("utf-8").splitlines() if line.strip()]
    weights = train(lines, options.seed)
    weights.save(options.out)
    sys.stderr.write(f"{options.out}: {options.out.stat().st_size / 2**20:.2f} MB\n")


if __name__ == "__main__":
    main()
