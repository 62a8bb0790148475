"""Trains a router from labelled utterances in seconds, in numpy alone: `voicebot train router`.

A line of data is {"text", "task", "hard"}; the task "oos" marks what belongs to none; "hard" (true or false) may be
left out. A softmax regression learns the tasks. Cross-validation then leaves out lines, which say how probable a right
answer is (temperature) and how sure the classifier is of what it should know; and it leaves out whole tasks, which with
the held-out oos lines say what an utterance from outside looks like.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voicebot.brain.router import ENCODER, HEAD, META, OOS, VERSION, Head, Router, sigmoid, signs_of, softmax
from voicebot.brain.router_encoder import Floats
from voicebot.brain.router_features import Features, SentenceVectors
from voicebot.errors import ConfigError

BATCH, EPOCHS, RATE, DECAY = 512, 10, 0.03, 1e-4
MIN_STEPS = 400
"""A small data set is passed over more often, up to this many steps."""
FOLDS = 3
"""Of lines."""
TASK_FOLDS, TASK_RUNS = 5, 2
"""Whole tasks are left out a fifth at a time; two of the five are enough and save time."""
REJECTED = 0.004
"""Share of in-scope lines that the out-of-scope threshold may turn away, by cross-validation. Half as much again turned
away half a point more of CLINC150's validation lines and caught five points more of what is out of scope."""
OOS_PRIOR = 0.2
"""Share of turns from outside that the probabilities assume where the data has few."""
OOS_IS_A_CLASS = 0.1
"""From this share of oos lines they are a class like any other: their share is the prior and a probability of one half
decides. Leaving out tasks would then say nothing new."""
Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Example:
    text: str
    task: str
    hard: bool = False


def read_examples(files: Sequence[Path]) -> list[Example]:
    """Raises: ConfigError that names the file and line of the first bad one."""
    found: list[Example] = []
    for file in files:
        try:
            lines = file.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read {file}: {error}") from None
        found += [_example(line, f"{file}, line {at}") for at, line in enumerate(lines, 1) if line.strip()]
    return found


def _example(line: str, place: str) -> Example:
    wanted = 'it must be like {"text": "...", "task": "...", "hard": false}'
    try:
        given = json.loads(line)
    except ValueError as error:
        raise ConfigError(f"{place} is not JSON ({error}); {wanted}") from None
    if not isinstance(given, dict):
        raise ConfigError(f"{place} is not an object; {wanted}")
    text, task, hard = given.get("text"), given.get("task"), given.get("hard", False)
    for name, value in (("text", text), ("task", task)):
        if not isinstance(value, str) or not value.strip():
            raise ConfigError(f"{place}: {name} is {value!r}; {wanted}")
    if not isinstance(hard, bool):
        raise ConfigError(f"{place}: hard is {hard!r}; {wanted}")
    return Example(str(text), str(task), hard)


def fit(
    examples: Sequence[Example], encoder: SentenceVectors | None, report: Callable[[str], None] = lambda _: None
) -> Router:
    """A router from examples of at least two tasks ("oos" not counted). Raises: ConfigError."""
    tasks = sorted({example.task for example in examples} - {OOS})
    counts = {task: sum(example.task == task for example in examples) for task in tasks}
    if len(tasks) < 2:
        raise ConfigError(f"the data has {len(tasks)} tasks besides {OOS!r}; a router chooses among two or more")
    if thin := [task for task, count in counts.items() if count < 2]:
        raise ConfigError(f"task {thin[0]!r} has one line; give every task two or more (ten are a start)")
    texts = [example.text for example in examples]
    features = Features.fitted(texts, encoder)
    rows = features.rows(texts)
    report(f"{len(rows)} lines, {len(tasks)} tasks")
    index = {task: at for at, task in enumerate(tasks)} | {OOS: len(tasks)}
    labels = np.array([index[example.task] for example in examples])
    inner = _cross_validated(rows, labels, len(tasks), report)
    temperature = _temperature(inner.logits[inner.inside], inner.labels[inner.inside])
    oos, threshold = _outside(inner)
    weights, bias = _softmax_regression(rows, labels, int(labels.max()) + 1)
    hard = _hardness(rows, np.array([example.hard for example in examples]))
    report("trained")
    centres = _centres(rows, labels, len(tasks))
    return Router(tasks, features, Head(weights, bias, centres, oos, hard, temperature, threshold))


def save(router: Router, folder: Path, encoder_file: Path | None, sentences: str = "") -> None:
    """Write a folder that `Router.load` reads; it needs nothing else but the model named by `sentences`, if any."""
    folder.mkdir(parents=True, exist_ok=True)
    head = router.head
    arrays = {name: getattr(head, name) for name in ("weights", "bias", "centres", "oos", "hard")}
    halves: dict[str, Any] = {name: value.astype(np.float16) for name, value in arrays.items() if name != "oos"}
    np.savez_compressed(folder / HEAD, **halves, oos=head.oos, idf=router.features.idf.astype(np.float16))
    about = {"version": VERSION, "tasks": router.tasks, "temperature": head.temperature, "threshold": head.threshold,
             "encoder": encoder_file is not None}  # fmt: skip
    if sentences and router.features.encoder is not None:
        about["sentences"] = {"name": sentences, "size": router.features.encoder.size}
    (folder / META).write_text(json.dumps(about, indent=2) + "\n", "utf-8")
    if encoder_file is not None and encoder_file.resolve() != (folder / ENCODER).resolve():
        shutil.copyfile(encoder_file, folder / ENCODER)


def _softmax_regression(rows: Floats, labels: Labels, classes: int) -> tuple[Floats, Floats]:
    """Adam with a rate that falls to nothing; the same data gives the same weights.

    float32[features, classes], and the bias. A feature that no row has keeps its zeros, and is left out of the work.
    """
    rng = np.random.default_rng(1)
    size, used = rows.shape[1], np.flatnonzero(rows.any(0))
    rows = rows[:, used]
    parts = np.zeros((len(used) + 1, classes), np.float32)
    first, second = np.zeros_like(parts), np.zeros_like(parts)
    epochs = max(EPOCHS, -(-MIN_STEPS * BATCH // len(rows)) if len(rows) < BATCH * 16 else 0)
    steps = epochs * -(-len(rows) // BATCH)
    step = 0
    for _ in range(epochs):
        for shown, wanted in _batches(rows, labels, rng):
            error = softmax(shown @ parts[:-1] + parts[-1])
            error[np.arange(len(wanted)), wanted] -= 1
            error /= len(wanted)
            slope = np.concatenate([shown.T @ error, error.sum(0, keepdims=True)]) + DECAY * parts
            step += 1
            first += 0.1 * (slope - first)
            second += 0.02 * (slope * slope - second)
            rate = RATE * (1 - step / steps)
            scaled = np.sqrt(second / (1 - 0.98**step)) + 1e-8
            parts -= rate * (first / (1 - 0.9**step)) / scaled
    weights = np.zeros((size, classes), np.float32)
    weights[used] = parts[:-1]
    return weights, parts[-1].copy()


def _batches(rows: Floats, labels: Labels, rng: np.random.Generator) -> Iterator[tuple[Floats, Labels]]:
    """One pass over the lines, in another order each time; few enough for one batch are not copied for it."""
    if len(rows) <= BATCH:
        yield rows, labels
        return
    order = rng.permutation(len(rows))
    for start in range(0, len(rows), BATCH):
        chosen = order[start : start + BATCH]
        yield rows[chosen], labels[chosen]


def _centres(rows: Floats, labels: Labels, tasks: int) -> Floats:
    """float32[tasks, features], unit vectors; zeros for a task that is left out."""
    found = np.stack([rows[labels == task].sum(0) for task in range(tasks)])
    return np.asarray(found / (np.linalg.norm(found, axis=1, keepdims=True) + 1e-9), np.float32)


@dataclass(frozen=True, slots=True)
class _Held:
    """Held-out lines: `signs` and `logits` of the models that never saw them; `inside`: their task was trained on."""

    logits: Floats
    signs: Floats
    labels: Labels
    inside: NDArray[np.bool_]
    known: NDArray[np.bool_]
    """In scope, or out-of-scope lines (labelled ones), as against left-out tasks."""


def _cross_validated(rows: Floats, labels: Labels, tasks: int, report: Callable[[str], None]) -> _Held:
    order = np.random.default_rng(2).permutation(len(rows))
    runs = [order[fold::FOLDS] for fold in range(FOLDS)]
    if tasks >= TASK_FOLDS and (labels == tasks).mean() < OOS_IS_A_CLASS:
        runs += [np.flatnonzero((labels < tasks) & (labels % TASK_FOLDS == fold)) for fold in range(TASK_RUNS)]
    found = []
    for at, asked in enumerate(runs):
        found.append(_held(rows, labels, tasks, asked, whole_tasks=at >= FOLDS))
        report(f"cross-validation {at + 1} of {len(runs)}")
    names = ("logits", "signs", "labels", "inside", "known")
    return _Held(*(np.concatenate([getattr(each, name) for each in found]) for name in names))


def _held(rows: Floats, labels: Labels, tasks: int, asked: Labels, whole_tasks: bool) -> _Held:
    """What a model trained on all but the `asked` lines makes of them."""
    learned = np.setdiff1d(np.arange(len(rows)), asked)
    weights, bias = _softmax_regression(rows[learned], labels[learned], int(labels.max()) + 1)
    logits = rows[asked] @ weights + bias
    if whole_tasks:
        logits[:, np.unique(labels[asked])] = -30.0
    centres = _centres(rows[learned], labels[learned], tasks)
    near = (rows[asked] @ centres.T).max(1) / (np.linalg.norm(rows[asked], axis=1) + 1e-9)
    signs = signs_of(logits, near, tasks)
    known = np.full(len(asked), not whole_tasks)
    return _Held(logits, signs, labels[asked], (labels[asked] < tasks) & known, known)


def _temperature(logits: Floats, labels: Labels) -> float:
    """The one that makes held-out right answers most probable."""
    logits = logits[:, : int(labels.max()) + 1]

    def loss(temperature: float) -> float:
        chances = softmax(logits / temperature)
        return float(-np.log(chances[np.arange(len(labels)), labels] + 1e-9).mean())

    return float(min(np.geomspace(0.2, 4, 60), key=lambda value: loss(float(value))))


def _outside(held: _Held) -> tuple[Floats, float]:
    """Logistic weights of the signs, and the threshold. Marked lines and left-out tasks share the weight in halves."""
    size = held.signs.shape[1]
    outside, marked = ~held.inside, ~held.inside & held.known
    if not outside.any():
        never = np.zeros(size, np.float32)
        never[-1] = -4.0
        return never, 0.5
    is_class = bool(marked.sum() >= OOS_IS_A_CLASS * held.known.sum())
    prior = float(marked.sum() / held.known.sum()) if is_class else OOS_PRIOR
    weight = np.zeros(len(outside))
    weight[held.inside] = (1 - prior) / held.inside.sum()
    kinds = [kind for kind in (marked, outside & ~held.known) if kind.any()]
    for kind in kinds:
        weight[kind] = prior / len(kinds) / kind.sum()
    found = _logistic(held.signs[:, :-1], outside, weight, 1e-4)
    chances = sigmoid(held.signs @ found)
    return found, 0.5 if is_class else float(np.quantile(chances[held.inside], 1 - REJECTED))


def _hardness(rows: Floats, hard: NDArray[np.bool_]) -> Floats:
    if not hard.any() or hard.all():
        constant = np.zeros(rows.shape[1] + 1, np.float32)
        constant[-1] = 6.0 if hard.all() else -6.0
        return constant
    weights, bias = _softmax_regression(rows, hard.astype(np.int64), 2)
    return np.append(weights[:, 1] - weights[:, 0], bias[1] - bias[0]).astype(np.float32)


def _logistic(rows: Floats, truth: NDArray[np.bool_], weight: NDArray[np.float64], ridge: float) -> Floats:
    """Newton's method; the last weight is the bias."""
    shown = np.concatenate([rows, np.ones((len(rows), 1))], axis=1).astype(np.float64)
    scale = np.abs(shown).max(0) + 1e-9
    shown /= scale
    found = np.zeros(shown.shape[1])
    for _ in range(30):
        chances = sigmoid(shown @ found)
        slope = shown.T @ (weight * (chances - truth)) + ridge * found
        curve = (shown * (weight * chances * (1 - chances))[:, None]).T @ shown + ridge * np.eye(len(found))
        found -= np.linalg.solve(curve, slope)
    return np.asarray(found / scale, np.float32)
