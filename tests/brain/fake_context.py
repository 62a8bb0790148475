"""A `ToolContext` in memory, at Wednesday 4 March 2026, 15:20 in New York."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from voicebot.brain.tools import Scheduled, TooManyScheduled

NOW = datetime(2026, 3, 4, 15, 20, tzinfo=ZoneInfo("America/New_York"))


@dataclass
class FakeContext:
    moment: datetime = NOW
    said: str = "It is noon."
    percent: int = 50
    limit: int = 10
    items: list[Scheduled] = field(default_factory=list)

    def now(self) -> datetime:
        return self.moment

    def last_reply(self) -> str:
        return self.said

    def schedule(self, due: datetime, kind: str, text: str, name: str = "") -> str:
        if len(self.items) >= self.limit:
            raise TooManyScheduled
        number = max((item.number for item in self.items), default=0) + 1
        self.items.append(Scheduled(str(number), due, kind, text, name, number))
        return self.items[-1].id

    def scheduled(self) -> list[Scheduled]:
        return list(self.items)

    def unschedule(self, item_id: str) -> bool:
        before = len(self.items)
        self.items = [item for item in self.items if item.id != item_id]
        return len(self.items) < before

    def set_volume(self, percent: int) -> None:
        self.percent = percent

    def volume(self) -> int:
        return self.percent
