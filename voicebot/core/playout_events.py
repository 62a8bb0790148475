"""Events of a reply's sound: queued, begun, heard, ended. Part of the vocabulary of `core/events.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AudioQueued:
    """More sound of a clause lies in the reply's playout queue; `done` with the clause's last piece.

    `words`: where words of the clause begin in its sound, as far as the voice has told: (number of the word, sample).
    """

    reply: int
    clause: int
    samples: int
    done: bool
    words: Sequence[tuple[int, int]] = ()


@dataclass(frozen=True, slots=True)
class PlayoutStarted:
    """The reply's first sample has been handed to the transport."""

    reply: int


@dataclass(frozen=True, slots=True)
class PlayoutHeard:
    """How much of the live reply the caller has heard by now, told where no windows come that tell it."""

    reply: int
    heard_samples: int


@dataclass(frozen=True, slots=True)
class PlayoutFinished:
    """The caller has heard all that was queued of a completed reply."""

    reply: int
