"""When to send the next frame to a far end that buffers, and how much of what was sent is still in that buffer. Pure.

The far end plays in real time whatever it has. It should hold about `lead_s` of audio, enough that jitter is not heard
and little enough that an interruption is: the first frames of a reply go at once, then one every 20 ms. After a stall
at most the lead is sent at once; what the far end went without is not made up for.
"""

from __future__ import annotations

FRAME_S = 0.02
IDLE_LOOK_S = 0.1
"""How often one looks where one is told of sound anyway."""


class Pacer:
    """Times are seconds of any one monotonic clock."""

    def __init__(self, lead_s: float = 0.1) -> None:
        self._lead_s = lead_s
        self._until = 0.0
        self._look_at = 0.0

    def due(self, now: float) -> bool:
        """Whether a frame should be asked for now."""
        return now >= self.next_at

    @property
    def next_at(self) -> float:
        """When a frame is due, to the microsecond: a sum of frames must not lie a hair behind the clock's tick."""
        return round(max(self._until - self._lead_s, self._look_at), 6)

    def sent(self, now: float) -> None:
        """A frame went out: the far end has 20 ms more, from now on if it had run dry."""
        self._until = max(self._until, now) + FRAME_S

    def idle(self, now: float, look_s: float = FRAME_S) -> None:
        """There was none to send: look again in `look_s`, or in 20 ms as long as the far end still plays."""
        self._look_at = now + (FRAME_S if self._until > now else look_s)

    def wanted(self) -> None:
        """There is one now."""
        self._look_at = 0.0

    def unplayed_s(self, now: float) -> float:
        """How long the far end can still play from its buffer, by the clock."""
        return max(0.0, self._until - now)

    def confirm(self, now: float, after_s: float) -> None:
        """The far end has said where it is: at most `after_s` of what was sent is still to be played."""
        self._until = min(self._until, now + after_s)

    def cleared(self, now: float) -> None:
        """The far end's buffer was emptied."""
        self._until = min(self._until, now)
