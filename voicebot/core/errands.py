"""What the turn machine remembers of errands, and the rules by which one is withdrawn, replaced, delivered or let go.

Rules:
1. An answer is delivered in a gap: nobody speaks, and the bot's last words have been heard for `errand_gap_ms`, or
   `errand_answer_ms` if they asked the caller something.
2. The oldest ready answer goes first. One older than `errand_stale_ms` is let go; the page shows it.
3. "Never mind" withdraws the errand whose words it shares, else the newest. A request that says nearly the same again
   replaces the earlier one.
   Said so soon that it goes on with the question's own turn, it takes that back: the turn is these words alone.
4. An answer that was cut off before a word of it was heard is delivered again, once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from voicebot.core.errand_events import Outcome
from voicebot.core.text import normalize

SAME_REQUEST = 0.6
"""Share of content words (of both requests together) from which a request replaces an earlier one."""
DELIVERIES = 2
_SMALL = frozenset(
    """a an the my your his her our their this that these those it its is are was were be been am do does did can could
    would will should shall may might have has had i you he she we they me him us them of to for from with at by in on
    into about and or but if so as not no yes please just also what which who whom whose when where why how tell give
    know want need like let make get find look up check mind never forget cancel anymore longer thing one question
    okay oh well actually really there any some""".split()
)
_WITHDRAWAL = re.compile(
    r"\b(never ?mind|forget (it|that|about)|don't bother|do not bother|no need|(cancel|drop|skip) (it|that|the|my)|"
    r"(don't|do not) (need|want) (it|that|to know|the answer)|leave it|not (important|needed))\b"
)


@dataclass(slots=True)
class Errand:
    """One question that an expert has. `turn`: whose words asked it; `asked_at`: monotonic seconds."""

    id: int
    turn: int
    request: str
    asked_at: float
    exchanges: int
    """Exchanges in the history when it was asked, its own included."""
    outcome: Outcome | None = None
    """None until there are words to speak."""
    deliveries: int = 0
    reply: int | None = None
    """The reply that speaks it now."""


class Errands:
    """The errands of a call that are not over, oldest first."""

    def __init__(self) -> None:
        self._open: dict[int, Errand] = {}

    def __iter__(self) -> Iterator[Errand]:
        return iter(list(self._open.values()))

    def add(self, errand: Errand) -> None:
        self._open[errand.id] = errand

    def remove(self, errand: Errand) -> None:
        del self._open[errand.id]

    def find(self, errand_id: int) -> Errand | None:
        return self._open.get(errand_id)

    def spoken_by(self, reply_id: int) -> Errand | None:
        """The errand whose answer this reply speaks."""
        return next((errand for errand in self._open.values() if errand.reply == reply_id), None)

    def ready(self) -> Errand | None:
        """The oldest that can be spoken."""
        waiting = (errand for errand in self._open.values() if errand.outcome and errand.reply is None)
        return next(waiting, None)

    def withdrawn_by(self, text: str) -> Errand | None:
        """The errand that these words of the caller call off."""
        if not self._open or not _WITHDRAWAL.search(normalize(text)):
            return None
        words = content_words(text)
        best = max(self._open.values(), key=lambda errand: (len(words & content_words(errand.request)), errand.id))
        return best if not words or words & content_words(best.request) else None

    def replaced_by(self, request: str) -> Errand | None:
        """The open errand that asks for nearly the same."""
        return next((errand for errand in self._open.values() if alike(errand.request, request)), None)


def content_words(text: str) -> frozenset[str]:
    """The words that say what it is about."""
    return frozenset(normalize(text).split()) - _SMALL


def takes_back(text: str) -> bool:
    """Whether these words call off what was said before them, and say nothing else."""
    words = normalize(text)
    return bool(_WITHDRAWAL.search(words)) and not content_words(_WITHDRAWAL.sub(" ", words))


def alike(one: str, other: str) -> bool:
    a, b = content_words(one), content_words(other)
    return bool(a | b) and len(a & b) / len(a | b) >= SAME_REQUEST
