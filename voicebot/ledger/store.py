"""Journal lines into the tables, a batch at a time; a row that the database refuses does not hold up the others."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError, StatementError

from voicebot.ledger.database import upserts
from voicebot.ledger.journal import orphans
from voicebot.ledger.prices import Prices
from voicebot.ledger.rows import parse_line
from voicebot.ledger.tables import metadata

log = logging.getLogger(__name__)
BATCH_ROWS = 100
"""Rows of one transaction; few enough that the thread soon lets the loop run again."""
ROW_FAULTS = (DataError, IntegrityError, ProgrammingError)
"""What the database says of a row that is wrong: trying again would not help."""
Refused = (StatementError, OverflowError, ValueError)


class Store:
    """Journal lines into the tables. Thread: the ledger's, or the one that opens it."""

    def __init__(self, engine: Engine, prices: Prices) -> None:
        self.engine = engine
        self.stored = 0
        self.rejected = 0
        self._prices = prices
        self._statements = upserts(engine)

    def put(self, lines: Iterable[bytes]) -> None:
        """All in one transaction. Raises: SQLAlchemyError, when the database cannot be written to."""
        rows = list(self._parsed(lines))
        try:
            self._execute(rows)
        except Refused as error:
            if _is_outage(error):
                raise
            self._one_by_one(rows)

    def adopt(self, folder: Path) -> int:
        """Carry over what processes that are gone have left in a folder; how many lines that was.

        Raises: SQLAlchemyError, OSError; then all of it is still there.
        """
        adopted = 0
        for orphan in orphans(folder):
            done = False
            try:
                lines = orphan.lines()
                while batch := list(islice(lines, BATCH_ROWS)):
                    self.put(batch)
                    adopted += len(batch)
                done = True
            finally:
                orphan.close(delete=done)
        return adopted

    def close(self) -> None:
        self.engine.dispose()

    def _parsed(self, lines: Iterable[bytes]) -> Iterator[tuple[str, dict[str, Any]]]:
        for text in lines:
            if not text:
                continue
            try:
                yield self._complete(*parse_line(text))
            except ValueError as error:
                self.rejected += 1
                log.error("a row of %d bytes in the ledger's journal cannot be read: %s", len(text), error)

    def _complete(self, name: str, given: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Every column, and the price of an attempt that has ended. Raises: ValueError."""
        table = metadata.tables.get(name)
        if table is None:
            raise ValueError("no such table")
        if unknown := given.keys() - {column.name for column in table.columns}:
            raise ValueError(f"{name} has no column {sorted(unknown)[0]!r}")
        row = {column.name: given.get(column.name) for column in table.columns}
        if any(isinstance(value, list | dict) for value in row.values()):
            raise ValueError(f"a column of {name} holds one value")
        if name == "attempts" and row["cost_usd"] is None and row["outcome"] is not None:
            row["cost_usd"] = self._cost(row)
        return name, row

    def _cost(self, row: dict[str, Any]) -> float | None:
        tokens = row["prompt_tokens"], row["completion_tokens"], row["cached_tokens"]
        return self._prices.cost(row["model"], row["engine"], row["destination"], *tokens, row["ms"])

    def _execute(self, rows: list[tuple[str, dict[str, Any]]]) -> None:
        grouped: dict[str, list[dict[str, Any]]] = {}
        for name, row in rows:
            grouped.setdefault(name, []).append(row)
        if not grouped:
            return
        with self.engine.begin() as connection:
            for name, values in grouped.items():
                connection.execute(self._statements[name], values)
        self.stored += len(rows)

    def _one_by_one(self, rows: list[tuple[str, dict[str, Any]]]) -> None:
        """The rows of a batch that was refused, each in its own transaction."""
        for name, row in rows:
            try:
                self._execute([(name, row)])
            except Refused as error:
                if _is_outage(error):
                    raise
                self.rejected += 1
                key = row.get("id") or (row.get("call"), row.get("turn"))
                log.error("the ledger refused a row of %s, %s: %s", name, key, type(error).__name__)


def _is_outage(error: Exception) -> bool:
    return isinstance(error, DBAPIError) and (error.connection_invalidated or not isinstance(error, ROW_FAULTS))
