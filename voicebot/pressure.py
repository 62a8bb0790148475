"""Whether a server has computing to spare. Drafts are the first thing that it gives up: they are work that may be for
nothing, and callers wait longer for others' drafts than they gain by their own. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

LAG_S = 0.03
"""A timer that is later than this: the loop is held, and sound will be late soon."""
WAITING_JOBS = 2
"""Jobs that no engine has begun: one may be just arriving, two wait."""
ON_AFTER = 3
"""Looks in a row that saw pressure."""
OFF_AFTER = 20
"""Looks in a row that saw none: long after it has gone, so that drafts do not come and go with each turn."""


@dataclass(slots=True)
class Pressure:
    """Fed with a look at the server every tenth of a second."""

    pressed: bool = False
    _against: int = 0
    """Looks in a row that contradict `pressed`."""

    def look(self, lag_s: float, waiting_jobs: int) -> bool:
        """Whether `pressed` has changed."""
        seen = lag_s > LAG_S or waiting_jobs >= WAITING_JOBS
        self._against = self._against + 1 if seen != self.pressed else 0
        if self._against < (OFF_AFTER if self.pressed else ON_AFTER):
            return False
        self.pressed, self._against = seen, 0
        return True
