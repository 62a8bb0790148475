"""Playout accounting of one reply: what was queued, what was heard, and which words that was. Counts, no audio."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate

SLOWEST_CHARS_PER_S = 10
"""Slow speech: what a clause whose sound is still being made is taken to last at least."""


@dataclass(slots=True)
class _Clause:
    text: str
    samples: int = 0
    done: bool = False
    words_heard: int = 0
    starts: dict[int, int] = field(default_factory=dict)
    """Word number -> its first sample, as far as the voice has told."""


@dataclass(slots=True)
class ReplyPlayout:
    """All sample counts at the transport's playout rate, `rate_hz`."""

    rate_hz: int
    heard_samples: int = 0
    _clauses: list[_Clause] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Every clause written so far."""
        return " ".join(clause.text for clause in self._clauses)

    @property
    def queued_samples(self) -> int:
        return sum(clause.samples for clause in self._clauses)

    @property
    def unheard_ms(self) -> float:
        """Of what is queued."""
        return (self.queued_samples - self.heard_samples) * 1000 / self.rate_hz

    def write(self, clause: int, text: str) -> bool:
        """The next clause's words; its sound follows. False, and nothing done, if it is not the next."""
        if clause != len(self._clauses):
            return False
        self._clauses.append(_Clause(text))
        return True

    def queue(self, clause: int, samples: int, done: bool, words: Iterable[tuple[int, int]] = ()) -> bool:
        """More sound of clause number `clause`; False, and nothing done, if it was not written.

        `words`: (number of a word of it, split at spaces; where that begins in the clause's sound).
        """
        if not 0 <= clause < len(self._clauses):
            return False
        self._clauses[clause].starts |= dict(words)
        self._clauses[clause].samples += samples
        self._clauses[clause].done |= done
        self._count_words()
        return True

    def hear(self, samples: int) -> bool:
        """The caller has now heard `samples` in all; True if that is news. Never runs back or past the queue."""
        samples = min(samples, self.queued_samples)
        if samples <= self.heard_samples:
            return False
        self.heard_samples = samples
        self._count_words()
        return True

    def correct(self, samples: int) -> None:
        """The far end says that `samples` were heard, fewer or more than we thought; at most all that is queued."""
        self.heard_samples = min(samples, self.queued_samples)
        for clause in self._clauses:
            clause.words_heard = 0
        self._count_words()

    def heard_text(self) -> str:
        """The words heard: whole clauses, and of the one in the air those whose middle was heard; never fewer."""
        heard: list[str] = []
        for clause in self._clauses:
            words = clause.text.split(" ")
            heard += words[: clause.words_heard]
            if clause.words_heard < len(words):
                break
        return " ".join(heard)

    def _count_words(self) -> None:
        start = 0
        for clause in self._clauses:
            if self.heard_samples <= 0 or start > self.heard_samples:
                return
            heard = self.heard_samples - start
            clause.words_heard = max(clause.words_heard, _words_within(clause, heard, self.rate_hz))
            start += clause.samples


def _words_within(clause: _Clause, heard: int, rate_hz: int) -> int:
    """How many of the clause's words have been heard to their middle: by the voice's own times, or else by letters."""
    words = clause.text.split(" ")
    if clause.done and heard >= clause.samples:
        return len(words)
    if clause.starts:
        return _words_by_time(clause, heard, len(words))
    shortest = 0 if clause.done else len(clause.text) * rate_hz // SLOWEST_CHARS_PER_S
    reached = min(heard, clause.samples) / max(clause.samples, shortest, 1) * (len(clause.text) + 1)
    middles = accumulate((len(word) + 1 for word in words), initial=0)
    return sum(at + len(word) / 2 <= reached for at, word in zip(middles, words, strict=False))


def _words_by_time(clause: _Clause, heard: int, words: int) -> int:
    """A word lasts until the next one that the voice has told of; the last one told, to the end of the sound so far."""
    starts = sorted(clause.starts.items())
    ends = [at for _, at in starts[1:]] + [clause.samples]
    begun = [number for (number, at), end in zip(starts, ends, strict=True) if (at + end) / 2 <= heard and end > at]
    if not begun:
        return 0
    following = [number for number, _ in starts if number > begun[-1]]
    return min(following[0] if following else begun[-1] + 1, words)
