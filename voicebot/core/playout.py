"""Playout accounting of one reply: what was queued, what was heard, and which words that was. Counts, no audio."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class _Clause:
    text: str
    samples: int = 0
    done: bool = False


@dataclass(slots=True)
class ReplyPlayout:
    """All sample counts at the transport's playout rate."""

    heard_samples: int = 0
    _clauses: list[_Clause] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Every clause written so far."""
        return " ".join(clause.text for clause in self._clauses)

    @property
    def queued_samples(self) -> int:
        return sum(clause.samples for clause in self._clauses)

    def write(self, text: str) -> None:
        """The next clause's words; its sound follows."""
        self._clauses.append(_Clause(text))

    def queue(self, clause: int, samples: int, done: bool) -> None:
        """More sound of clause number `clause`."""
        self._clauses[clause].samples += samples
        self._clauses[clause].done |= done

    def hear(self, samples: int) -> bool:
        """The caller has now heard `samples` in all; True if that is news. Never runs back or past the queue."""
        samples = min(samples, self.queued_samples)
        if samples <= self.heard_samples:
            return False
        self.heard_samples = samples
        return True

    def heard_text(self) -> str:
        """The words heard: whole clauses, and of the one in the air its words by share of its samples.

        A clause still being synthesised has an unknown length: nothing of it counts until its samples say so, so it
        is taken as at least as long as speech of its text would be (15 characters a second is slow speech).
        """
        left, heard = self.heard_samples, []
        for clause in self._clauses:
            if left <= 0:
                break
            if clause.done and left >= clause.samples:
                heard.append(clause.text)
            else:
                heard.append(_share(clause.text, left, clause))
            left -= clause.samples
        return " ".join(part for part in heard if part)


def _share(text: str, heard: int, clause: _Clause) -> str:
    """The words whose middle has been heard, each word as long as its letters."""
    length = clause.samples if clause.done else max(clause.samples, heard) * 2
    reached = heard / length * (len(text) + 1)
    words, at = [], 0
    for word in text.split(" "):
        if at + len(word) / 2 > reached:
            break
        words.append(word)
        at += len(word) + 1
    return " ".join(words)
