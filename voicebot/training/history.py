"""What a tool would have said in an earlier exchange, for the histories that the model reads but does not learn."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

from voicebot.brain.tools import Scheduled, run_tool


class PretendContext:
    """A `ToolContext` at a random moment, in which `last` was said; nothing is scheduled for real."""

    def __init__(self, rng: Random, last: str) -> None:
        self.last = last
        self.moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=rng.randrange(60 * 24 * 700))
        self.items: list[Scheduled] = []
        self.percent = rng.randrange(101)

    def now(self) -> datetime:
        return self.moment

    def last_reply(self) -> str:
        return self.last or "It is noon."

    def schedule(self, due: datetime, kind: str, text: str, name: str = "") -> str:
        self.items.append(Scheduled(str(len(self.items)), due, kind, text, name))
        return self.items[-1].id

    def scheduled(self) -> list[Scheduled]:
        return self.items

    def unschedule(self, item_id: str) -> bool:
        return True

    def set_volume(self, percent: int) -> None:
        self.percent = percent

    def volume(self) -> int:
        return self.percent


def spoken_result(tool: str, arguments: dict[str, str], rng: Random, last: str = "") -> str:
    """The sentence that the real tool speaks for these arguments, mostly with something there to cancel or replace."""
    context = PretendContext(rng, last)
    if tool in ("set_timer", "set_alarm", "set_reminder", "cancel_timer", "check_timer") and rng.random() < 0.8:
        name = arguments.get("name", "").lower()
        kind = tool.removeprefix("set_") if tool.startswith("set_") else rng.choice(("timer", "timer", "alarm"))
        due = context.moment + timedelta(minutes=rng.randrange(1, 90))
        context.schedule(due, kind, name or "milk", "" if name == "last" else name)
    return run_tool(context, tool, arguments).speech
