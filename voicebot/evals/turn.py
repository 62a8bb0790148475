"""Measures end-of-turn models against the rule of the last word: `python -m voicebot.evals.turn --clinc FILE --json`.

1. `clinc`, `generated`: whole utterances that were not trained on, and beginnings of them cut at a random word. All
   beginnings count as unfinished here, those too that could be whole.
2. `heard` (needs --heard FILE of `voicebot.training.heard`): the same as a recogniser wrote it.
3. `speech` (needs --smart FILE.onnx and flite): the same by synthetic voices, with 200 ms of silence behind it.

Of each: AUC, F1 at P = 0.5, the silence that whole utterances must wait, and the share of beginnings that are cut
off by a pause of 300, 500 and 800 ms. `equal_wait` compares at the rule's own mean wait, by shifting the log-odds.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt

from voicebot.core.audio import EMPTY, Pcm, silence
from voicebot.core.settings import TurnSettings
from voicebot.core.talk import wait_ms
from voicebot.core.text import completeness
from voicebot.engines import registry
from voicebot.engines.base import TurnEngine
from voicebot.training.end_of_turn import Example, clinc_lines, cut, generated_lines
from voicebot.training.heard import SILENCE_SAMPLES, VOICES, speak

Numbers = npt.NDArray[np.float64]
PAUSES_MS = (200, 300, 500, 800)
HELD_OUT_SEED = 999


def held_out(lines: Sequence[str], seed: int = 5) -> list[Example]:
    """Each line whole, and a beginning of it."""
    rng = Random(seed)
    beginnings = [beginning for line in lines if (beginning := cut(line, rng))]
    return [Example(line, True) for line in lines] + [Example(line, False) for line in beginnings]


def auc(scores: Numbers, labels: Numbers) -> float:
    """P(a finished one scores higher than an unfinished one), ties counted half."""
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    positive = labels.sum()
    return float((ranks[labels == 1].sum() - positive * (positive + 1) / 2) / (positive * (len(labels) - positive)))


def f1(chances: Numbers, labels: Numbers) -> float:
    """Of "finished", at P >= 0.5."""
    said = chances >= 0.5
    right = float((said & (labels == 1)).sum())
    return 2 * right / float(said.sum() + labels.sum())


def waits(chances: Numbers) -> Numbers:
    """What the turn machine makes of each probability, in ms."""
    return np.array([wait_ms(TurnSettings(), float(chance)) for chance in chances])


def ece(chances: Numbers, labels: Numbers, bins: int = 10) -> float:
    """Mean gap between what was said and what was so, over ten even ranges of P."""
    place = np.minimum((chances * bins).astype(int), bins - 1)
    gaps = [abs(chances[place == b].mean() - labels[place == b].mean()) * (place == b).mean() for b in set(place)]
    return float(sum(gaps))


def measure(chances: Numbers, labels: Numbers) -> dict[str, Any]:
    """The figures of one judge on one set."""
    wait, whole = waits(chances), labels == 1
    return {
        "auc": round(auc(chances, labels), 4),
        "f1": round(f1(chances, labels), 4),
        "ece": round(ece(chances, labels), 4),
        "wait_ms": {
            "mean": round(float(wait[whole].mean())),
            **{f"p{p}": round(float(np.percentile(wait[whole], p))) for p in (50, 90)},
        },
        "cut_off": {str(pause): round(float((wait[~whole] <= pause).mean()), 4) for pause in PAUSES_MS},
    }


def at_mean_wait(chances: Numbers, labels: Numbers, mean_ms: float) -> dict[str, Any]:
    """The same judge, its log-odds shifted until whole utterances wait `mean_ms` on average."""
    logits = np.log(np.clip(chances, 1e-6, 1 - 1e-6) / (1 - np.clip(chances, 1e-6, 1 - 1e-6)))
    low, high = -15.0, 15.0
    for _ in range(40):
        shift = (low + high) / 2
        slow = waits(1 / (1 + np.exp(-(logits + shift))))[labels == 1].mean() > mean_ms
        low, high = (shift, high) if slow else (low, shift)
    return {"shift": round(shift, 2), **measure(1 / (1 + np.exp(-(logits + shift))), labels)}


def judged(score: Callable[[Example], float], examples: Sequence[Example]) -> tuple[Numbers, dict[str, float]]:
    """Each example's probability, and how long the answers took."""
    chances, costs_ms = [], []
    for example in examples:
        began = time.perf_counter()
        chances.append(score(example))
        costs_ms.append((time.perf_counter() - began) * 1000)
    return np.array(chances), {f"p{p}": round(float(np.percentile(costs_ms, p)), 3) for p in (50, 99)}


def compare(engines: dict[str, Callable[[Example], float]], examples: Sequence[Example]) -> dict[str, Any]:
    """Every judge and the rule on the same examples."""
    labels = np.array([example.complete for example in examples], dtype=np.float64)
    rule = measure(np.array([completeness(example.text) for example in examples]), labels)
    report: dict[str, Any] = {"n": len(examples), "rule": rule}
    for name, score in engines.items():
        chances, cost = judged(score, examples)
        equal = at_mean_wait(chances, labels, rule["wait_ms"]["mean"])
        report[name] = {**measure(chances, labels), "inference_ms": cost, "equal_wait": equal}
    return report


def spoken_set(lines: Sequence[str]) -> tuple[list[Example], dict[str, Pcm]]:
    """Whole lines, and beginnings CUT from the sound of the whole, where flite's own word times put the gap."""
    rng, examples, sounds = Random(3), [], {}
    for index, line in enumerate(lines):
        voice = VOICES[index % len(VOICES)]
        beginning = cut(line, rng)
        whole = speak(line, voice)
        sounds[line] = whole
        examples.append(Example(line, True))
        if beginning and beginning in line and beginning not in sounds:
            share = len(speak(beginning, voice)) / max(1, len(speak(line, voice)))
            stop = int((len(whole) - SILENCE_SAMPLES) * min(0.95, share * 0.97))
            sounds[beginning] = np.concatenate((whole[:stop], silence(SILENCE_SAMPLES)))
            examples.append(Example(beginning, False))
    return examples, sounds


def on_speech(smart: Path, lines: Sequence[str]) -> dict[str, Any]:
    """Words, sound and both on the same utterances."""
    examples, sounds = spoken_set(lines)
    engines: dict[str, Callable[[Example], float]] = {}
    for name, url in (("text", "text://"), ("smart", f"smart://{smart}"), ("fused", f"fused://{smart}")):
        engine = _loaded(url)
        engines[name] = lambda example, engine=engine: engine.end_probability(sounds[example.text], example.text)  # type: ignore[misc]
    return compare(engines, examples)


def _loaded(url: str) -> TurnEngine:
    engine = registry.create("turn", url)
    engine.load()
    return engine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clinc", type=Path, help="CLINC150's train_val.json; its validation part is used")
    parser.add_argument("--engine", default="text://", help="engine that needs no sound")
    parser.add_argument("--smart", type=Path, help="Smart Turn's ONNX file: measure on synthetic speech too")
    parser.add_argument("--heard", type=Path, help="what a recogniser wrote of such utterances")
    parser.add_argument("--spoken", type=int, default=150, help="utterances to speak")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    options = parser.parse_args()
    engine = _loaded(options.engine)
    judge = {"model": lambda example: engine.end_probability(EMPTY, example.text)}
    lines = generated_lines(1500, HELD_OUT_SEED, held_out=True)
    report = {"engine": options.engine, "generated": compare(judge, held_out(lines))}
    if options.clinc:
        said = clinc_lines(options.clinc, "val")
        report["clinc"] = compare(judge, held_out(said))
        if options.smart:
            report["speech"] = on_speech(options.smart, Random(1).sample(said, options.spoken))
    if options.heard:
        rows = [line.split("\t") for line in options.heard.read_text("utf-8").splitlines()]
        report["heard"] = compare(judge, [Example(heard, whole == "1") for whole, _said, heard in rows if heard])
    text = json.dumps(report, indent=None if options.json else 2)
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
