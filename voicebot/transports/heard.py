"""What of our audio the caller has heard: one account for every vendor. Pure.

The clock leads: what was sent, less the time since. A mark that comes back can only shorten what is unplayed, so
nothing ever waits for an echo. A mark's name is `<epoch>:<n>`; each clear begins a new epoch, because a clear gives
marks back unplayed, so one of an older epoch proves nothing.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from voicebot.core.audio import EMPTY, Pcm
from voicebot.transports.pacer import FRAME_S, Pacer

MARK_LIMIT = 32
"""Marks awaited at most; the oldest beyond are forgotten."""
KEPT_S = 1.0
"""How much of what was sent is remembered, for `Held`: more than any far end is given ahead."""


class HeardAccount:
    """One call's. Sample counts are at `rate_hz`; `now` is any one monotonic clock in seconds."""

    def __init__(self, rate_hz: int, lead_s: float) -> None:
        self.pacer = Pacer(lead_s)
        self.anything_sent = False
        """Whether there was audio since the last clear."""
        self._rate_hz = rate_hz
        self._sent_samples = 0
        self._epoch = 0
        self._marks: dict[str, int] = {}
        self._marks_made = 0
        self._kept: deque[Pcm] = deque(maxlen=round(KEPT_S / FRAME_S))

    def sent(self, pcm: Pcm, now: float) -> None:
        """20 ms were handed over."""
        self.anything_sent = True
        self._sent_samples += len(pcm)
        self._kept.append(pcm)
        self.pacer.sent(now)

    def unplayed(self, now: float) -> int:
        """Samples handed over that the far end still has to play, by the clock."""
        return round(self.pacer.unplayed_s(now) * self._rate_hz)

    def mark(self) -> str:
        """The name of a mark at the end of what was sent so far."""
        self._marks_made += 1
        name = f"{self._epoch}:{self._marks_made}"
        self._marks[name] = self._sent_samples
        if len(self._marks) > MARK_LIMIT:
            del self._marks[next(iter(self._marks))]
        return name

    def confirm(self, name: str, now: float) -> None:
        """The far end says that it has played up to this mark. Unknown and cleared ones say nothing."""
        position = self._marks.pop(name, None)
        if position is not None:
            self.pacer.confirm(now, (self._sent_samples - position) / self._rate_hz)

    def clear(self, now: float) -> None:
        """The far end's buffer was emptied, or left to itself: what comes next is a new epoch."""
        self.anything_sent = False
        self._epoch += 1
        self._sent_samples = 0
        self._marks.clear()
        self.pacer.cleared(now)

    def last_sent(self, samples: int) -> Pcm:
        """The last so many samples that were sent, fewer if they are not remembered."""
        kept = np.concatenate(self._kept) if self._kept else EMPTY
        return kept[max(0, len(kept) - samples) :]


class Held:
    """What a paused far end keeps. The call goes on from the first unheard sample or with something else; its next
    samples tell which, so the transport needs no word for it.
    """

    def __init__(self, pcm: Pcm) -> None:
        self._pcm = pcm
        self.resumed = False
        """Whether the far end has been told to go on."""

    def __bool__(self) -> bool:
        return bool(len(self._pcm))

    def take(self, pcm: Pcm) -> Pcm | None:
        """What of the next `pcm` is not held already; None where it is something else (the rest is then dropped).

        Silence cannot tell one from the other: going on needs a first frame that is not silent.
        """
        common = min(len(pcm), len(self._pcm))
        same = np.array_equal(pcm[:common], self._pcm[:common]) and (self.resumed or bool(np.any(pcm[:common])))
        if not same:
            self._pcm = EMPTY
            return None
        self.resumed = True
        self._pcm = self._pcm[common:]
        return pcm[common:]
