"""Builds the recogniser's language model: PocketSphinx's general English mixed with what callers say here.

The general model was made from other text than talk with an assistant: with it PocketSphinx heard "what is twelve
plus thirty" as "one is twelve plus thirty". All its 72,000 words stay, so the vocabulary stays open; of its bigrams
those stay that matter most, and none of its trigrams. It hears assistant talk far better and other text worse: the
figures are in `models/speech/README.md`.

    python -m voicebot.training.speech_lm models/speech/en-us.lm.bin [--clinc train_val.json]

Mixing: p = share * p_here + (1 - share) * p_general for every n-gram kept, back-off weights computed anew
(static interpolation). p_here is a trigram model with Witten-Bell smoothing.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import re
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random

from voicebot.engines.sphinx_c import package_dir
from voicebot.training import clinc, noise
from voicebot.training.generate import ACT_WEIGHTS, Generator
from voicebot.training.grammar import expand, pick
from voicebot.training.slots import Slots

Gram = tuple[str, ...]
Probability = Callable[[Gram], float]

SHARE = 0.9
"""Weight of what callers say here. Chosen on the 20 sentences of `models/speech/README.md`, where 0.75 and 0.9 were
one word error apart; on other text they did not differ."""
GENERAL_BIGRAMS = 300_000
SENTENCES = 60_000
HUMS = ("mm hm", "mhm", "mm", "hmm", "uh huh")
HUM_COUNT = 2000
LISTENING = (
    "oh", "ah", "aha", "okay", "yeah", "yep", "right", "sure", "i see", "all right", "got it", "really", "great",
    "cool", "yes",
)  # fmt: skip
DEMANDS = (
    "no", "stop", "wait", "hold on", "hello", "thanks", "what", "quiet", "be quiet", "enough", "that's enough",
    "never mind", "cancel", "cancel that", "shut up", "pause", "stop it", "stop talking", "please stop",
    "wait a second", "no no", "forget it", "excuse me", "sorry",
)  # fmt: skip
OVERLAP_COUNT = 700
"""What is said while the bot speaks is a third of all utterances here. Rarer, a hum was heard as the likelier words
that it resembles, "and helen"; commoner, short demands were heard as hums."""
START, END = "<s>", "</s>"
FLOOR = 1e-9
_NOT_A_WORD = re.compile(r"[^a-z' ]")


def sentences(count: int, seed: int, clinc_file: Path | None) -> Iterator[str]:
    """What callers say: drawn from the talker's patterns, with numbers as words, and human phrasings."""
    rng = Random(seed)
    generator = Generator(rng)
    for _ in range(count):
        group = rng.choices(list(ACT_WEIGHTS), list(ACT_WEIGHTS.values()))[0]
        section, pattern = pick(generator.groups[group], False, rng)
        yield noise.joined(expand(pattern, section.notes, Slots(rng, words=True)))
    yield from HUMS * HUM_COUNT
    yield from (LISTENING + DEMANDS) * OVERLAP_COUNT
    for said in clinc.load_annotations("train"):
        yield said.text
    if clinc_file is not None:
        yield from (text for text, _ in json.loads(clinc_file.read_text("utf-8"))["train"])


def words_of(sentence: str, vocabulary: set[str]) -> list[str] | None:
    """The sentence's words with its borders, or None if the dictionary lacks one of them."""
    plain = _NOT_A_WORD.sub(" ", sentence.lower().replace("-", " ").replace("\u2019", "'"))
    words = [word if word in vocabulary else word.strip("'") for word in plain.split()]
    words = [word for word in words if word]
    return [START, *words, END] if words and vocabulary.issuperset(words) else None


class CallerModel:
    """A trigram model of the callers' sentences, smoothed after Witten and Bell."""

    def __init__(self, texts: Iterable[list[str]]) -> None:
        self.counts: tuple[Counter[Gram], ...] = (Counter(), Counter(), Counter())
        for words in texts:
            for at in range(1, len(words)):
                for order in range(min(3, at + 1)):
                    self.counts[order][tuple(words[at - order : at + 1])] += 1
        self._totals: dict[Gram, int] = defaultdict(int)
        self._types: dict[Gram, int] = defaultdict(int)
        for counts in self.counts:
            for gram, count in counts.items():
                self._totals[gram[:-1]] += count
                self._types[gram[:-1]] += 1

    def probability(self, gram: Gram) -> float:
        history = gram[:-1]
        if not history:
            return self.counts[0][gram] / self._totals[()]
        shorter = self.probability(gram[1:])
        if history not in self._totals:
            return shorter
        types = self._types[history]
        return (self.counts[len(history)][gram] + types * shorter) / (self._totals[history] + types)


class GeneralModel:
    """The wheel's unigrams, and those of its bigrams that differ most from what backing off would give."""

    def __init__(self, arpa: Path, keep: int) -> None:
        unigrams, bigrams, backoffs = read_arpa(arpa)
        self.unigrams = {gram: 10**value for gram, value in unigrams.items()}

        def importance(gram: Gram) -> float:
            backed_off = backoffs.get(gram[:1], 0.0) + unigrams.get(gram[1:], -99.0)
            return self.unigrams.get(gram[:1], FLOOR) * 10 ** bigrams[gram] * abs(bigrams[gram] - backed_off)

        self.bigrams = {gram: 10 ** bigrams[gram] for gram in heapq.nlargest(keep, bigrams, key=importance)}
        self._backoff = backoff_weights(self.bigrams, self._unigram)

    def _unigram(self, gram: Gram) -> float:
        return self.unigrams.get(gram, 0.0)

    def probability(self, gram: Gram) -> float:
        if len(gram) == 1:
            return self._unigram(gram)
        gram = gram[-2:]
        return self.bigrams.get(gram, self._backoff.get(gram[:1], 1.0) * self._unigram(gram[1:]))


def backoff_weights(explicit: dict[Gram, float], shorter: Probability) -> dict[Gram, float]:
    """For each history, the factor on `shorter` that makes all its probabilities sum to 1."""
    taken: dict[Gram, float] = defaultdict(float)
    taken_shorter: dict[Gram, float] = defaultdict(float)
    for gram, probability in explicit.items():
        taken[gram[:-1]] += probability
        taken_shorter[gram[:-1]] += shorter(gram[1:])
    return {history: max(FLOOR, 1 - total) / max(FLOOR, 1 - taken_shorter[history]) for history, total in taken.items()}


def read_arpa(path: Path) -> tuple[dict[Gram, float], dict[Gram, float], dict[Gram, float]]:
    """Unigrams, bigrams and the unigrams' back-off weights, all log10."""
    grams: tuple[dict[Gram, float], dict[Gram, float]] = ({}, {})
    backoffs: dict[Gram, float] = {}
    order = 0
    for line in path.open(encoding="utf-8", errors="replace"):
        if line.startswith("\\"):
            order = int(line[1]) if line[1].isdigit() else 0
        fields = line.split()
        if order not in (1, 2) or len(fields) < order + 1 or line.startswith("\\"):
            continue
        gram = tuple(fields[1 : order + 1])
        grams[order - 1][gram] = float(fields[0])
        if order == 1 and len(fields) == 3:
            backoffs[gram] = float(fields[2])
    return *grams, backoffs


def write_arpa(path: Path, here: CallerModel, general: GeneralModel, share: float) -> None:
    """The mixed model in ARPA's text format."""

    def mixed(gram: Gram) -> float:
        return share * here.probability(gram) + (1 - share) * general.probability(gram)

    kept = (set(general.unigrams), set(general.bigrams) | set(here.counts[1]), set(here.counts[2]))
    grams = [{gram: mixed(gram) for gram in grams | set(here.counts[n])} for n, grams in enumerate(kept)]
    grams[0][START,] = 0.0
    unigram: Probability = lambda gram: grams[0].get(gram, 0.0)  # noqa: E731
    first = backoff_weights(grams[1], unigram)

    def bigram(gram: Gram) -> float:
        return grams[1].get(gram, first.get(gram[:1], 1.0) * unigram(gram[1:]))

    backoffs: tuple[dict[Gram, float], ...] = (first, backoff_weights(grams[2], bigram), {})
    with path.open("w", encoding="utf-8") as out:
        out.write("\\data\\\n" + "".join(f"ngram {n + 1}={len(part)}\n" for n, part in enumerate(grams)))
        for order, (part, weights) in enumerate(zip(grams, backoffs, strict=True), 1):
            out.write(f"\n\\{order}-grams:\n")
            for gram in sorted(part):
                tail = f"\t{_log(weights.get(gram, 1.0))}" if order < 3 else ""
                out.write(f"{_log(part[gram])}\t{' '.join(gram)}{tail}\n")
        out.write("\n\\end\\\n")


def _log(probability: float) -> str:
    return f"{math.log10(probability):.4f}" if probability > 1e-90 else "-99.0000"


_CONVERT = """
import os, sys
from pocketsphinx import Config, LogMath, NGramModel
config, logmath = Config(), LogMath()
NGramModel(config, logmath, sys.argv[1]).write(sys.argv[2])
os._exit(0)
"""


def convert(source: Path, target: Path) -> None:
    """Between ARPA and Sphinx's binary format, by the files' names.

    In a process of its own, and judged by what it wrote: PocketSphinx 5 crashes in the trigrams when it writes the
    wheel's model as text. The unigrams and bigrams, which are all that is read here, are out by then.
    """
    subprocess.run([sys.executable, "-c", _CONVERT, str(source), str(target)], check=False)
    if not target.is_file() or not target.stat().st_size:
        raise SystemExit(f"PocketSphinx could not convert {source} to {target}")


def build(target: Path, clinc_file: Path | None, seed: int, share: float) -> None:
    """Write the mixed model to `target` (.lm.bin)."""
    wheel = package_dir() / "model" / "en-us"
    dictionary = (wheel / "cmudict-en-us.dict").read_text("utf-8").splitlines()
    vocabulary = {line.split()[0] for line in dictionary if line.strip()}
    texts = (words_of(sentence, vocabulary) for sentence in sentences(SENTENCES, seed, clinc_file))
    here = CallerModel(words for words in texts if words is not None)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        general, mixed = Path(folder) / "general.arpa", Path(folder) / "mixed.arpa"
        convert(wheel / "en-us.lm.bin", general)
        write_arpa(mixed, here, GeneralModel(general, GENERAL_BIGRAMS), share)
        convert(mixed, target)


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the recogniser's language model.")
    parser.add_argument("target", type=Path)
    parser.add_argument("--clinc", type=Path, help="CLINC150's train_val.json, for more human phrasings")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--share", type=float, default=SHARE)
    options = parser.parse_args()
    build(options.target, options.clinc, options.seed, options.share)


if __name__ == "__main__":
    main()
