"""What the turn machine remembers: the turn being heard, the reply being made or played, and the timers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from voicebot.core.errands import takes_back
from voicebot.core.history import Exchange, ToolUse
from voicebot.core.latency import TurnMarks
from voicebot.core.playout import ReplyPlayout
from voicebot.core.settings import TurnSettings
from voicebot.core.text import completeness

DIGIT_WAIT_MS = 1500
"""After this long without a key, the keys pressed are a turn."""
MOST_KEYS = 32
"""Longer than any number that people key in: a card's has 19 digits."""


@dataclass(slots=True)
class Reply:
    """One spoken answer, from its first clause to its last heard word.

    Held while its turn is open; live once committed; at most one is live.
    """

    id: int
    number: int
    """The turn that it is published under."""
    playout: ReplyPlayout
    key: str = ""
    """Its caller's words, normalised: a draft with the same words keeps this reply."""
    marks: TurnMarks = field(default_factory=TurnMarks)
    tools: list[ToolUse] = field(default_factory=list)
    model: str = ""
    route: dict[str, Any] = field(default_factory=dict)
    """Which task, who answers and why, as the policy says it."""
    exchange: Exchange | None = None
    turn: Turn | None = None
    """The turn that it answers; None for what the bot says unasked."""
    request: str = ""
    """What an expert shall find out, where this reply only acknowledges; "" for a reply that answers."""
    acted: bool = False
    """A tool of it changed something: its turn can no longer be taken back."""
    completed: bool = False
    failed: bool = False
    paused: bool = False
    started: bool = False
    shown: tuple[str, str] = ("", "")
    """(text, heard) as last published."""


@dataclass(slots=True)
class Turn:
    """The caller's words from the first voiced window to the commit."""

    id: int
    number: int
    """Published number: that of the earlier turn when this one reopens it."""
    marks: TurnMarks = field(default_factory=TurnMarks)
    start_sample: int = 0
    prefix: str = ""
    """The words of the turn that this one reopened."""
    overlaps: bool = False
    """Spoken over the bot and not judged yet: a backchannel, a noise, or an interruption."""
    postponed: int | None = None
    """Where the speech ended that is to be transcribed later: drafts are not allowed now."""
    draft: int | None = None
    draft_text: str | None = None
    """None until the draft is transcribed."""
    audio_end: float | None = None
    """P(end) by an end-of-turn model."""
    reply: Reply | None = None
    by_client: bool = False
    """The client has said where it begins and ends; it stands as soon as it is words."""
    shown: str = ""

    @property
    def words(self) -> str:
        """All of it; what was said before "never mind" is no part of it any more."""
        if self.prefix and takes_back(self.draft_text or ""):
            return self.draft_text or ""
        return " ".join(part for part in (self.prefix, self.draft_text) if part)

    def end_probability(self) -> float:
        """P(the caller has finished): an end-of-turn model's word stands; where there is none, the last word's rule."""
        return completeness(self.words) if self.audio_end is None else self.audio_end


def wait_ms(settings: TurnSettings, end_probability: float) -> float:
    """The silence that commits a turn: a straight line from max_wait_ms at 0 to min_wait_ms at sure_end and above."""
    doubt = max(0.0, 1 - end_probability / settings.sure_end)
    return settings.min_wait_ms + (settings.max_wait_ms - settings.min_wait_ms) * doubt


class Keypad:
    """DTMF keys that gather until # or a pause; at most MOST_KEYS, further ones are let go."""

    def __init__(self) -> None:
        self._keys = ""

    def press(self, key: str) -> bool:
        """False, and nothing done, if it is no key or there are too many."""
        if key not in tuple("0123456789*ABCD") or len(self._keys) >= MOST_KEYS:
            return False
        self._keys += key
        return True

    def take(self) -> str:
        """The keys as the words of a turn, "" if none were pressed; begins anew."""
        keys, self._keys = self._keys, ""
        return f"I pressed {' '.join(keys)}." if keys else ""


class Timers:
    """Named times (monotonic seconds) at which the machine wants to be woken."""

    def __init__(self) -> None:
        self._at: dict[str, float] = {}

    @property
    def next(self) -> float | None:
        return min(self._at.values(), default=None)

    def __contains__(self, name: str) -> bool:
        return name in self._at

    def set(self, name: str, at: float) -> None:
        self._at[name] = at

    def drop(self, *names: str) -> None:
        for name in names:
            self._at.pop(name, None)

    def due(self, now: float) -> list[str]:
        """The names that are due, earliest first."""
        return [name for at, name in sorted((at, name) for name, at in self._at.items()) if at <= now]

    def take(self, name: str, now: float) -> bool:
        """Unset it if it is due still: a timer that went before it may have dropped or moved it."""
        if self._at.get(name, now + 1) > now:
            return False
        del self._at[name]
        return True

    def clear(self) -> None:
        self._at.clear()
