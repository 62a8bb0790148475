"""Rows for tests, and what a database holds."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from voicebot.ledger.database import connect
from voicebot.ledger.rows import AttemptRow, TurnRow
from voicebot.ledger.tables import metadata

NOON = 1_700_049_600.0
"""2023-11-15 12:00 UTC."""


def turn(number: int, **more: Any) -> TurnRow:
    given: dict[str, Any] = {"call": "c1", "turn": number, "at_s": NOON + number, "label": "open", "task": "chat"}
    return TurnRow(**given | more)


def attempt(number: int, **more: Any) -> AttemptRow:
    """A local model's attempt that answered a turn."""
    given: dict[str, Any] = {
        "id": f"a{number}", "call": "c1", "turn": number, "member": "talker", "engine": "llama:///x.gguf",
        "model": "small", "purpose": "live", "started_s": NOON + number, "ms": 90.0, "prompt_tokens": 1000,
        "completion_tokens": 100, "outcome": "ok", "destination": "local",
    }  # fmt: skip
    return AttemptRow(**given | more)


def frontier(number: int, **more: Any) -> AttemptRow:
    """A remote model's attempt: 0.003 dollars at the tests' prices."""
    return attempt(
        number,
        **{"id": f"f{number}", "member": "frontier", "engine": "openai://api.example.com/v1", "model": "big"}
        | {"destination": "remote"}
        | more,
    )


def stored(url: str, table: str) -> list[dict[str, Any]]:
    """A table's rows by key, without what is NULL."""
    engine = connect(url)
    source = metadata.tables[table]
    with engine.begin() as connection:
        rows = connection.execute(select(source).order_by(*source.primary_key)).mappings().all()
    engine.dispose()
    return [{name: value for name, value in row.items() if value is not None} for row in rows]
