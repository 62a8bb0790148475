"""What a call's tools act on: its clock, its timers and reminders, its volume, and the bot's last words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from voicebot.brain.tools import Scheduled, TooManyScheduled

SCHEDULED_LIMIT = 50
"""Timers, alarms and reminders of one call; one more is refused."""


def local_time() -> datetime:
    """Now, by this machine's clock and time zone."""
    return datetime.now().astimezone()


@dataclass(slots=True)
class Agenda:
    """One call's; a `brain.tools_types.CallContext`. What is due is said through `notify`; all ends with the call.

    `end_call`, `transfer_call` and `play_digits` are None where the call's line cannot do that.
    """

    notify: Callable[[str], None]
    last_words: Callable[[], str]
    wall_clock: Callable[[], datetime] = local_time
    show_volume: Callable[[int], None] = field(default=lambda _percent: None)
    call_id: str = ""
    caller: str = ""
    called: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    end_call: Callable[[str], None] | None = None
    transfer_call: Callable[[str], None] | None = None
    play_digits: Callable[[str], None] | None = None
    _volume: int = 70
    _count: int = 0
    _due: dict[str, tuple[Scheduled, asyncio.TimerHandle]] = field(default_factory=dict)

    def now(self) -> datetime:
        return self.wall_clock()

    def last_reply(self) -> str:
        return self.last_words()

    def schedule(self, due: datetime, kind: str, text: str, name: str = "") -> str:
        """Say `text` when it is due. Returns its id. Raises: TooManyScheduled, at SCHEDULED_LIMIT."""
        if len(self._due) >= SCHEDULED_LIMIT:
            raise TooManyScheduled(f"{SCHEDULED_LIMIT} timers and reminders are running already; cancel one first")
        self._count += 1
        item = Scheduled(f"{kind}-{self._count}", due, kind, text, name, self._count)
        delay_s = max(0.0, (due - self.now()).total_seconds())
        handle = asyncio.get_running_loop().call_later(delay_s, self._ring, item.id)
        self._due[item.id] = (item, handle)
        return item.id

    def scheduled(self) -> list[Scheduled]:
        """What is still to come, soonest first."""
        return sorted((item for item, _ in self._due.values()), key=lambda item: item.due)

    def unschedule(self, item_id: str) -> bool:
        entry = self._due.pop(item_id, None)
        if entry is not None:
            entry[1].cancel()
        return entry is not None

    def volume(self) -> int:
        return self._volume

    def set_volume(self, percent: int) -> None:
        self._volume = max(0, min(100, percent))
        self.show_volume(self._volume)

    def hang_up(self, reason: str) -> bool:
        if self.end_call is not None:
            self.end_call(reason)
        return self.end_call is not None

    def transfer(self, target: str) -> bool:
        if self.transfer_call is not None:
            self.transfer_call(target)
        return self.transfer_call is not None

    def send_digits(self, digits: str) -> bool:
        if self.play_digits is not None:
            self.play_digits(digits)
        return self.play_digits is not None

    def close(self) -> list[Scheduled]:
        """Cancel everything; what was still to come."""
        left = self.scheduled()
        for item in left:
            self.unschedule(item.id)
        return left

    def _ring(self, item_id: str) -> None:
        item, _ = self._due.pop(item_id)
        self.notify(item.text)
