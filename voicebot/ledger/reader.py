"""Reads the ledger for people and for the bill; the only other user of the tables."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from voicebot.errors import ConfigError
from voicebot.ledger.database import connect, migrate, shown, unreachable
from voicebot.ledger.prices import Prices
from voicebot.ledger.store import Store
from voicebot.ledger.tables import attempts, calls, egress, escalations, turns

Record = dict[str, Any]
PARTS = {"turns": turns.c.turn, "attempts": attempts.c.started_s, "escalations": escalations.c.asked_s,
         "egress": egress.c.at_s}  # fmt: skip
"""What a call is made of, and what each is sorted by."""
READ_AHEAD = 1000


class LedgerReader:
    """Use `reading`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def calls(self, since_s: float = 0.0, limit: int | None = None) -> list[Record]:
        """Newest first, each with its turns, its escalations, what is known of its cost, and of how many it is not."""
        query = select(calls).where(calls.c.started_s >= since_s).order_by(calls.c.started_s.desc()).limit(limit)
        found = [dict(row) for row in self._connection.execute(query).mappings()]
        unpriced = attempts.c.cost_usd.is_(None)
        counts: dict[str, dict[str, Any]] = {
            name: {row[0]: row[1] for row in self._connection.execute(query)}
            for name, query in {
                "turns": select(turns.c.call, func.count()).group_by(turns.c.call),
                "escalations": select(escalations.c.call, func.count()).group_by(escalations.c.call),
                "cost_usd": select(attempts.c.call, func.sum(attempts.c.cost_usd)).group_by(attempts.c.call),
                "unknown_costs": select(attempts.c.call, func.count()).where(unpriced).group_by(attempts.c.call),
            }.items()
        }
        return [call | {name: count.get(call["id"], 0) for name, count in counts.items()} for call in found]

    def call(self, call_id: str) -> Record:
        """A call and all of its rows. Raises: ConfigError, when there is none of that id."""
        row = self._connection.execute(select(calls).where(calls.c.id == call_id)).mappings().first()
        if row is None:
            raise ConfigError(f"the ledger has no call {call_id!r}; `voicebot calls list` shows those that it has")
        return dict(row) | {name: self._part(name, call_id) for name in PARTS}

    def export(self, since_s: float = 0.0) -> Iterator[Record]:
        """Every call as `call` gives it, oldest first."""
        query = select(calls.c.id).where(calls.c.started_s >= since_s).order_by(calls.c.started_s)
        for (call_id,) in self._connection.execute(query).all():
            yield self.call(call_id)

    def spent_usd(self, since_s: float, call_id: str | None = None, *, compared: bool | None = None) -> float:
        """What is known to have been spent: a day's or a call's share of its cap. `compared`: on shadows and judges
        (True), on everything else (False), on both (None)."""
        query = select(func.sum(attempts.c.cost_usd)).where(attempts.c.started_s >= since_s)
        if call_id is not None:
            query = query.where(attempts.c.call == call_id)
        if compared is not None:
            comparing = attempts.c.purpose.in_(("shadow", "judge"))
            query = query.where(comparing if compared else ~comparing)
        return float(self._connection.execute(query).scalar() or 0.0)

    def turns(self, since_s: float) -> Iterator[Record]:
        yield from self._stream(select(turns).where(turns.c.at_s >= since_s).order_by(turns.c.at_s))

    def attempts(self, since_s: float) -> Iterator[Record]:
        query = select(attempts).where(attempts.c.started_s >= since_s).order_by(attempts.c.started_s)
        yield from self._stream(query)

    def escalations(self, since_s: float) -> Iterator[Record]:
        yield from self._stream(select(escalations).where(escalations.c.asked_s >= since_s))

    def _part(self, name: str, call_id: str) -> list[Record]:
        table, order = PARTS[name].table, PARTS[name]
        rows = self._connection.execute(select(table).where(table.c.call == call_id).order_by(order)).mappings()
        return [{key: value for key, value in row.items() if key != "call"} for row in rows]

    def _stream(self, query: Any) -> Iterator[Record]:
        result = self._connection.execution_options(yield_per=READ_AHEAD).execute(query)
        for row in result.mappings():
            yield dict(row)


@contextlib.contextmanager
def reading(url: str, journal_dir: Path, prices: Prices | None = None) -> Iterator[LedgerReader]:
    """The ledger as it is now, with what killed processes have left in their journals.

    Raises: ConfigError, when there is no ledger yet; LedgerError, when it cannot be read.
    """
    engine = connect(url)
    try:
        _must_exist(engine)
        migrate(engine)
        if journal_dir.is_dir():
            Store(engine, prices or Prices()).adopt(journal_dir)
        with engine.connect().execution_options(reading=True) as connection:
            yield LedgerReader(connection)
    except SQLAlchemyError as error:
        raise unreachable(engine, error) from None
    except OSError as error:
        raise ConfigError(f"cannot read the ledger's journal in {journal_dir}: {error.strerror}") from None
    finally:
        engine.dispose()


def _must_exist(engine: Engine) -> None:
    if engine.url.drivername == "sqlite" and not Path(engine.url.database or "").is_file():
        raise ConfigError(f"there is no ledger at {shown(engine.url)} yet; the server makes it when it starts")
