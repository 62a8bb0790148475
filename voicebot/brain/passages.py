"""An index of passages by words (BM25) and, where a sentence model is there, by meaning; and how much of a question a
passage covers. Pure.

Own code and not a library: an answer needs to know how MUCH of the question was found, which the libraries do not tell,
and a folder of documents is small (ADR 36).
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from voicebot.brain.meanings import Floats, Meanings

K1, B = 1.2, 0.75
"""Source: Robertson and Zaragoza 2009, the usual values of BM25."""
PASSAGE_WORDS = 90
"""A spoken answer comes from a paragraph; longer ones are cut at a sentence."""
FEW = 50
"""Passages below which their number says nothing of how rare a word is."""
LEAST_TERMS = 2
"""Words that say something which a question must have to be recognised as one for the documents."""
FUSED, FUSION = 20, 60
"""Of each ranking that many are fused, a passage at rank r for 1 / (FUSION + r).
Source: Cormack et al. 2009, reciprocal rank fusion; BM25 and cosines have no common scale."""
TITLE_WEIGHT = 2
"""A word of the heading counts as often: headings say what a passage is about."""
ALIKE = 0.8
"""Of the closest sentence's closeness: one after it that has as much is spoken as well."""
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[\"'(]?[A-Z0-9])")
_HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$")
_MARKUP = re.compile(r"[*_`~]{1,3}|^\s*(?:[-*+]|\d+[.)])\s+|^\s*>\s?|\|", re.MULTILINE)
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
SMALL = frozenset(
    """a an the my your our their his her its this that these those is are was were be been am do does did done can
    could would will shall should may might must has have had i you he she we they it me him us them of to for
    from with at by in on into about and or but if so as not no yes please what which who whom whose when where
    why how many much tell say says said know want need give show find look there here any some just also get
    got let us im id whats""".split()
)


@dataclass(frozen=True, slots=True)
class Passage:
    """`source`: the file's path in the folder; `title`: the headings above it; `text`: plain, without markup."""

    source: str
    title: str
    text: str

    @property
    def whole(self) -> str:
        """With its headings: what its meaning is made of."""
        return f"{self.title}. {self.text}" if self.title else self.text


@dataclass(frozen=True, slots=True)
class Hit:
    """`score`: orders them; `coverage`: 0..1, how much of the question's weight of words is in the passage; `weights`:
    of each of the question's stems; `meaning`: 0..1 on the same scale, 0 where no sentence model is.

    `alike`: how close each of its sentences is to the question, where the meaning says more than the words.
    """

    passage: Passage
    score: float
    coverage: float
    weights: Mapping[str, float]
    meaning: float = 0.0
    alike: tuple[float, ...] = ()

    @property
    def found(self) -> float:
        """0..1: how much of the question it answers, by words or by meaning."""
        return max(self.coverage, self.meaning)


def stem(word: str) -> str:
    """Plurals and the commonest endings off: enough to match "opening" and "open", "fees" and "fee"."""
    for ending, least in (("ies", 5), ("ing", 6), ("ed", 5), ("es", 5), ("s", 4)):
        if len(word) >= least and word.endswith(ending) and not word.endswith("ss"):
            word = word[: -len(ending)] + ("y" if ending == "ies" else "")
            break
    return word[:-1] if len(word) > 4 and word.endswith("e") else word


def terms(text: str) -> list[str]:
    """Stems of all words but the small ones."""
    words = (word.replace("'", "") for word in _WORD.findall(text.casefold()))
    return [stem(word) for word in words if word not in SMALL]


def sentences(text: str) -> list[str]:
    return [part.strip() for part in _SENTENCE.split(" ".join(text.split())) if part.strip()]


def split(source: str, text: str) -> list[Passage]:
    """Passages of a document: paragraphs under their headings, long ones cut at a sentence."""
    passages, titles = list[Passage](), dict[int, str]()
    for block in re.split(r"\n\s*\n|(?=^#{1,6}\s)", text, flags=re.MULTILINE):
        lines = block.strip().splitlines()
        while lines and (heading := _HEADING.match(lines[0].strip())):
            level = len(lines[0].strip()) - len(lines[0].strip().lstrip("#"))
            titles = {at: title for at, title in titles.items() if at < level} | {level: plain(heading[1])}
            lines = lines[1:]
        if body := plain("\n".join(lines)):
            title = ": ".join(titles.values())
            passages += [Passage(source, title, part) for part in _cut(body)]
    return passages


def plain(text: str) -> str:
    """Markdown's marks off, white space to single spaces."""
    return " ".join(_MARKUP.sub(" ", _LINK.sub(r"\1", text)).split())


def _cut(text: str) -> Iterable[str]:
    part: list[str] = []
    for sentence in sentences(text):
        if part and len(" ".join(part).split()) + len(sentence.split()) > PASSAGE_WORDS:
            yield " ".join(part)
            part = []
        part.append(sentence)
    if part:
        yield " ".join(part)


class PassageIndex:
    """Built once, never changed: a changed folder gets a new one."""

    def __init__(self, passages: Sequence[Passage], meanings: Meanings | None = None) -> None:
        """`meanings`: of these passages, in their order."""
        self.passages = list(passages)
        self.meanings = meanings
        self._postings: dict[str, list[tuple[int, int]]] = defaultdict(list)
        lengths = []
        for number, passage in enumerate(self.passages):
            counts = Counter(terms(passage.text) + TITLE_WEIGHT * terms(passage.title))
            lengths.append(sum(counts.values()))
            for term, count in counts.items():
                self._postings[term].append((number, count))
        self._lengths = lengths
        self._usual = sum(lengths) / len(lengths) if lengths else 1.0

    def __len__(self) -> int:
        return len(self.passages)

    def search(self, question: str, limit: int = 3, meaning: Floats | None = None) -> list[Hit]:
        """The best passages, best first; by words alone, none where no word of the question is in any.

        `meaning`: the question's vector, for an index with `meanings`.
        """
        wanted = dict.fromkeys(terms(question))
        weights = {term: self._weight(term) for term in wanted}
        total = sum(weights.values())
        scores, covered = defaultdict[int, float](float), defaultdict[int, float](float)
        for term, weight in weights.items():
            for number, count in self._postings.get(term, ()):
                norm = K1 * (1 - B + B * self._lengths[number] / self._usual)
                scores[number] += weight * count * (K1 + 1) / (count + norm)
                covered[number] += weight
        closeness: Mapping[int, float] = {}
        if self.meanings is not None and meaning is not None:
            closeness = dict(enumerate(self.meanings.closeness(meaning).tolist()))
            scores = _fused(scores, closeness)
        share = self.meanings.share if self.meanings is not None else lambda _closeness: 0.0
        return [
            Hit(self.passages[at], scores[at], covered[at] / (total or 1.0), weights, share(closeness.get(at, -1.0)))
            for at in _best(scores, limit)
        ]

    def covers(self, question: str, meaning: Floats | None = None) -> float:
        """0..1: how much of it the best passage has. By words 0 for questions of fewer than LEAST_TERMS that say
        anything, which prove nothing ("what time is it")."""
        enough = len(set(terms(question))) >= LEAST_TERMS
        hits = self.search(question, FUSED, meaning)
        return max((hit.found if enough else hit.meaning for hit in hits), default=0.0)

    def _weight(self, term: str) -> float:
        """Rare words say more. A word that no passage has weighs as one that a single passage has."""
        n, holding = max(len(self.passages), FEW), max(1, len(self._postings.get(term, ())))
        return math.log(1 + (n - holding + 0.5) / (holding + 0.5))


def _best(scores: Mapping[int, float], limit: int) -> list[int]:
    return sorted(scores, key=lambda number: (-scores[number], number))[:limit]


def _fused(*rankings: Mapping[int, float]) -> defaultdict[int, float]:
    fused = defaultdict[int, float](float)
    for ranking in rankings:
        for rank, number in enumerate(_best(ranking, FUSED), start=1):
            fused[number] += 1 / (FUSION + rank)
    return fused


def best_sentences(hit: Hit, most: int = 2) -> str:
    """The sentences of a passage that answer best, in its own order: the one with most of the question's words (rare
    ones count more) or of its meaning, and the one after it if that has some too."""
    parts = sentences(hit.passage.text)
    shares = [sum(hit.weights.get(term, 0.0) for term in set(terms(part))) for part in parts]
    if hit.alike:
        shares = [value if value >= ALIKE * max(hit.alike) else 0.0 for value in hit.alike]
    at = shares.index(max(shares))
    stop = at + 1
    while stop < len(parts) and stop - at < most and shares[stop]:
        stop += 1
    return " ".join(parts[at:stop])
