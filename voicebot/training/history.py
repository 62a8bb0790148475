"""What a tool would have said in an earlier exchange, for the histories that the model reads but does not learn."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

from voicebot.brain.tools import Scheduled, run_tool


class PretendContext:
    """A `ToolContext` at a random moment; nothing is scheduled for real."""

    def __init__(self, rng: Random) -> None:
        self.moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=rng.randrange(60 * 24 * 700))
        self.items: list[Scheduled] = []
        self.percent = rng.randrange(101)

    def now(self) -> datetime:
        return self.moment

    def last_reply(self) -> str:
        return "It is noon."

    def schedule(self, due: datetime, kind: str, text: str, name: str = "") -> str:
        self.items.append(Scheduled(str(len(self.items)), due, kind, text, name))
        return self.items[-1].id

    def scheduled(self) -> list[Scheduled]:
        return self.items

    def unschedule(self, item_id: str) -> bool:
        return False

    def set_volume(self, percent: int) -> None:
        self.percent = percent

    def volume(self) -> int:
        return self.percent


def spoken_result(tool: str, arguments: dict[str, str], rng: Random) -> str:
    """The sentence that the real tool speaks for these arguments."""
    return run_tool(PretendContext(rng), tool, arguments).speech
