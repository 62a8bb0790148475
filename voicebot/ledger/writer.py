"""Write-behind: `write` puts a row into the journal and returns; a thread carries the journal into the database.

What may happen, and what then:
- the process is killed: the row is in the journal, and the next `open_ledger` on the folder carries it over;
- the database is locked or down: the journal grows to its bound, with one warning; it is tried again each second;
- the bound is reached or the disk is full: the row is lost, counted and warned of; the call goes on;
- the database refuses a row itself: the row is counted and named in the log, without its values; the others go in.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from voicebot.errors import ConfigError
from voicebot.ledger.database import connect, migrate, unreachable
from voicebot.ledger.journal import Journal
from voicebot.ledger.prices import Prices
from voicebot.ledger.rows import Row, line
from voicebot.ledger.store import BATCH_ROWS, Store

log = logging.getLogger(__name__)
BATCH_WAIT_S = 0.1
"""How long rows may gather before a transaction."""
RETRY_S = 1.0
JOURNAL_BYTES = 64 * 2**20
"""About 200,000 rows: a day of a busy server without its database."""


@dataclass(frozen=True, slots=True)
class LedgerHealth:
    """How the ledger does, for metrics. Rows since it was opened, but `waiting_bytes` and `failing`: now."""

    stored: int
    lost: int
    rejected: int
    waiting_bytes: int
    failing: str
    """Why the database cannot be written to; "" when it can."""


class LedgerWriter:
    """Use `open_ledger`. `write`, `pseudonym` and `health` are the loop's; the others block."""

    def __init__(self, store: Store, journal: Journal, keep_texts: bool, key: bytes) -> None:
        self._store = store
        self._journal = journal
        self._keep_texts = keep_texts
        self._key = key
        self._lost = 0
        self._failing = ""
        self._closing = False
        self._wake = threading.Event()
        self._urgent = threading.Event()
        """Set: do not wait for more rows to gather."""
        self._flushes: deque[threading.Event] = deque()
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()

    def write(self, row: Row) -> bool:
        """Keep a row for good, in microseconds; a row of the same key fills in the earlier one. False: it is lost."""
        if not self._closing and self._journal.append(line(row, self._keep_texts)):
            self._wake.set()
            return True
        self._lost += 1
        if self._lost & (self._lost - 1) == 0:
            log.error("the ledger has lost %d rows: its journal is full or cannot be written", self._lost)
        return False

    def pseudonym(self, number: str) -> str:
        """What stands for a caller's number in the ledger: the same each time, of no use without this folder's key."""
        return hashlib.blake2b(number.encode(), key=self._key, digest_size=8).hexdigest()

    @property
    def health(self) -> LedgerHealth:
        store = self._store
        return LedgerHealth(store.stored, self._lost, store.rejected, self._journal.waiting_bytes, self._failing)

    def flush(self, timeout_s: float) -> bool:
        """Wait until every row written before is in the database; False when `timeout_s` was too short."""
        done = threading.Event()
        self._flushes.append(done)
        self._hurry()
        return done.wait(timeout_s)

    def close(self) -> None:
        """Carry over what is left, once, and end the thread; what could not be stays for the next start. Idempotent."""
        if self._closing:
            return
        self._closing = True
        self._hurry()
        self._thread.join()
        self._journal.close()
        self._store.close()

    def _hurry(self) -> None:
        self._urgent.set()
        self._wake.set()

    def _run(self) -> None:
        """Thread: the ledger's."""
        while not self._closing:
            self._wake.wait()
            self._urgent.wait(BATCH_WAIT_S)
            self._wake.clear()
            self._urgent.clear()
            flushes = [self._flushes.popleft() for _ in range(len(self._flushes))]
            if self._settled():
                for done in flushes:
                    done.set()
            elif not self._closing:
                self._flushes.extend(flushes)
                self._urgent.wait(RETRY_S)
                self._wake.set()
        self._settled()

    def _settled(self) -> bool:
        """Carry over all that waits. False: the database could not be written to."""
        try:
            while lines := self._journal.lines(BATCH_ROWS):
                self._store.put(lines)
                self._journal.acknowledge()
            if self._journal.rotate():
                return self._settled()
        except (SQLAlchemyError, OSError) as error:
            if not self._failing:
                log.warning("%s; its rows wait in the journal", _said(self._store.engine, error))
            self._failing = _said(self._store.engine, error)
            return False
        if self._failing:
            log.warning("the ledger can be written to again")
        self._failing = ""
        return True


def _said(engine: Engine, error: SQLAlchemyError | OSError) -> str:
    return str(unreachable(engine, error)) if isinstance(error, SQLAlchemyError) else f"the ledger's journal: {error}"


def open_ledger(
    url: str,
    journal_dir: Path,
    prices: Prices | None = None,
    *,
    keep_texts: bool = False,
    journal_bytes: int = JOURNAL_BYTES,
) -> LedgerWriter:
    """Bring the database up to date, carry over what killed processes have left, and start the thread. Blocks.

    `keep_texts`: store what was heard and said in turns labelled open. Raises: ConfigError, LedgerError.
    """
    engine = connect(url)
    store = Store(engine, prices or Prices())
    try:
        migrate(engine)
        try:
            journal_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            key = _key(journal_dir)
            adopted = store.adopt(journal_dir)
            journal = Journal(journal_dir, journal_bytes)
        except OSError as error:
            raise ConfigError(f"cannot keep the ledger's journal in {journal_dir}: {error.strerror}") from None
        except SQLAlchemyError as error:
            raise unreachable(engine, error) from None
    except BaseException:
        engine.dispose()
        raise
    if adopted:
        log.info("the ledger took over %d rows of processes that have ended", adopted)
    return LedgerWriter(store, journal, keep_texts, key)


def _key(folder: Path) -> bytes:
    """The secret that pseudonyms are made with; made at the first start, readable by this user only."""
    path = folder / "pseudonym.key"
    unseen = folder / f"pseudonym.{secrets.token_hex(4)}"
    fd = os.open(unseen, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(secrets.token_bytes(32))
    try:
        os.link(unseen, path)
    except FileExistsError:
        return path.read_bytes()
    finally:
        unseen.unlink()
    return path.read_bytes()
