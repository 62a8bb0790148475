"""Which kind of model a turn is for: its task, whether it is hard, and whether it is outside every task.

Rules of this file:
1. Pure and deterministic: the same text, context and folder give the same route. No network, no torch.
2. Probabilities are calibrated on texts that the classifier was not trained on (`voicebot/training/router.py`).
3. Out of scope is a decision of its own, from how sure the classifier is: most of what callers may say was never in
   anybody's training data.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np

from voicebot.brain.router_encoder import Encoder, Floats
from voicebot.brain.router_features import Features, SentenceVectors
from voicebot.errors import ConfigError

OOS = "oos"
"""The task of an utterance that no task owns."""
HEAD, META, ENCODER = "head.npz", "router.json", "encoder.npz"
VERSION = 1
SHORT_WORDS = 3
"""A turn of at most this many words is doubtful alone ("and in celsius"): the turn before it counts too."""
CONTEXT_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Route:
    """`task`: a task of the training data or "oos"; `hard`, `oos`: probabilities; `confidence`: probability that
    `task` is right; `scores`: probability of each task, "oos" among them, summing to 1."""

    task: str
    hard: float
    oos: float
    confidence: float
    scores: dict[str, float]


@dataclass(frozen=True, slots=True)
class Head:
    """The trained part. `weights` float32[features, tasks (+ 1 for oos lines)], `bias` to match; `temperature` of the
    softmax; `oos` float32[6] and `hard` float32[features + 1]: logistic weights (see `signs_of`, `hardness`)."""

    weights: Floats
    bias: Floats
    centres: Floats
    oos: Floats
    hard: Floats
    temperature: float
    threshold: float


def softmax(scores: Floats) -> Floats:
    """Along the last axis."""
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True), np.float32)


def signs_of(logits: Floats, near: Floats, tasks: int) -> Floats:
    """float32[n, 6]: what tells an utterance from outside: the best task's logit, its lead over the second, the
    out-of-scope column's lead over the best task, entropy, likeness to the nearest task's centre, and 1.

    `logits` float32[n, tasks (+ 1)]; `near` float32[n], the cosine to that centre.
    """
    inside = logits[:, :tasks]
    best = np.partition(inside, -2, axis=1)[:, -2:] if tasks > 1 else inside[:, [0, 0]]
    first, lead = best[:, 1], best[:, 1] - best[:, 0]
    outside = logits[:, tasks] - first if logits.shape[1] > tasks else np.zeros_like(first)
    chances = softmax(inside)
    entropy = -(chances * np.log(chances + 1e-9)).sum(1)
    return np.stack([first, lead, outside, entropy, near * 5, np.ones_like(first)], axis=1).astype(np.float32)


def sigmoid(value: Any) -> Any:
    return 1 / (1 + np.exp(-np.clip(value, -30, 30)))


class Router:
    """A trained router; `Router.load(folder)` or fresh from `voicebot.training.router`."""

    def __init__(self, tasks: Sequence[str], features: Features, head: Head) -> None:
        self.tasks = tuple(tasks)
        self.features = features
        self.head = head
        self._columns = np.concatenate([head.weights, head.centres.T, head.hard[:-1, None]], axis=1)
        """Everything that a row is multiplied by, float32[features, classes + tasks + 1]: read once for a turn."""

    @classmethod
    def load(cls, folder: Path, sentences: SentenceVectors | None = None) -> Router:
        """`sentences`: the sentence model that it was trained on, if it was trained on one.

        Raises: ConfigError that names the folder and what is wrong with it.
        """
        try:
            about = json.loads((folder / META).read_text("utf-8"))
            with np.load(folder / HEAD) as saved:
                parts = {name: saved[name].astype(np.float32) for name in saved.files}
            if about["version"] != VERSION:
                raise ConfigError(f"{folder} was trained by another version ({about['version']}); train it again")
            encoder = Encoder.load(folder / ENCODER) if about["encoder"] else sentences
            check_sentences(folder, about.get("sentences"), sentences)
            features = Features(parts.pop("idf"), encoder)
            head = Head(**parts, temperature=about["temperature"], threshold=about["threshold"])
            return cls(about["tasks"], features, head)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{folder} is no router ({error}); train one: voicebot train router --data FILE.jsonl --out {folder}"
            ) from None

    def route(self, text: str, context: Sequence[str] = ()) -> Route:
        """`context`: the caller's earlier turns, the latest last; it counts where the text is short."""
        row = self.features.row(text)
        if context and len(text.split()) <= SHORT_WORDS:
            row = (1 - CONTEXT_SHARE) * row + CONTEXT_SHARE * self.features.row(context[-1])
        said = np.flatnonzero(row)  # A sixth of all features; memory is what takes the time.
        return self._routes(row[None], (row[said] @ self._columns[said])[None])[0]

    def routes(self, rows: Floats) -> list[Route]:
        """The routes of feature rows, for evaluation in one go."""
        return self._routes(rows, rows @ self._columns)

    def _routes(self, rows: Floats, found: Floats) -> list[Route]:
        """`found` float32[n, columns]: the rows times `_columns`."""
        head, count, classes = self.head, len(self.tasks), len(self.head.bias)
        logits = found[:, :classes] + head.bias
        near = found[:, classes:-1].max(1) / (np.linalg.norm(rows, axis=1) + 1e-9)
        outside = sigmoid(signs_of(logits, near, count) @ head.oos)
        inside = softmax(logits[:, :count] / head.temperature)
        hard = sigmoid(found[:, -1] + head.hard[-1])
        return [self._route(*each) for each in zip(inside, outside, hard, strict=True)]

    def _route(self, inside: Floats, outside: float, hard: float) -> Route:
        oos = float(outside)
        scores = {task: float(chance) * (1 - oos) for task, chance in zip(self.tasks, inside, strict=True)} | {OOS: oos}
        best = self.tasks[int(inside.argmax())]
        task = OOS if oos >= self.head.threshold else best
        return Route(task, float(hard), oos, scores[task], scores)


def check_sentences(folder: Path, trained_on: dict[str, Any] | None, given: SentenceVectors | None) -> None:
    """Raises: ConfigError where the sentence model is not the one that the router was trained on."""
    if trained_on is None and given is not None:
        raise ConfigError(f"{folder} was trained without a sentence model; leave embed out")
    if trained_on is not None and (given is None or given.size != trained_on["size"]):
        other = f"one with {given.size}" if given is not None else "none"
        raise ConfigError(
            f"{folder} was trained on {trained_on['name']}, whose vectors have {trained_on['size']} numbers, and was "
            f"given {other}; add ?embed= with that model's folder or name"
        )


def load_router(url: str, shipped: Path, open_sentences: Callable[[str], SentenceVectors] | None = None) -> Router:
    """`router://` is the shipped one, `router:///path/to/DIR` the operator's, `router:///path/to/DIR?embed=MODEL` one
    that was trained on a sentence model, which `open_sentences` opens. Raises: ConfigError, EngineUnavailable."""
    scheme, mark, rest = url.partition("://")
    target, _, query = rest.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    if scheme != "router" or not mark or (query and set(options) != {"embed"}):
        raise ConfigError(
            f"router.url is {url!r}; it must be router://, router:///path/to/DIR or router:///path/to/DIR?embed=MODEL"
        )
    sentences = open_sentences(options["embed"]) if options and open_sentences else None
    return Router.load(Path(target) if target else shipped, sentences)
