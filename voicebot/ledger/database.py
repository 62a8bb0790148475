"""The ledger's database: SQLite in WAL mode or PostgreSQL by URL, brought up to date before it is used.

A ledger that a newer voicebot has made is refused: writing old rows into new tables would be worse than not starting.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine, event, func, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from voicebot.errors import ConfigError, VoicebotError
from voicebot.ledger.tables import metadata

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_S = 5.0
"""How long a transaction waits for another process's lock."""
MIGRATION_LOCK = 0x766F6963
"""PostgreSQL advisory lock that one starting process holds while it migrates ("voic")."""


class LedgerError(VoicebotError):
    """The ledger's database cannot be reached or read now; it may help to try again."""


def parse_url(url: str) -> URL:
    """`sqlite:////path/ledger.db` or `postgresql://user@host/name`. Raises: ConfigError."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigError(
            f"ledger.url = {url!r} is no database URL; write sqlite:////path/ledger.db or postgresql://user@host/name"
        ) from None
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername == "sqlite" and parsed.database not in (None, "", ":memory:"):
        return parsed
    raise ConfigError(f"ledger.url = {shown(parsed)}: the ledger is a SQLite file or a PostgreSQL database")


def shown(url: URL) -> str:
    """For messages: without the password."""
    return url.render_as_string(hide_password=True)


def connect(url: str) -> Engine:
    """An engine that has not connected yet. Raises: ConfigError, for a URL or a driver that is not there."""
    parsed = parse_url(url)
    try:
        if parsed.drivername == "sqlite":
            engine = create_engine(parsed, hide_parameters=True, connect_args={"timeout": BUSY_S})
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
            return engine
        return create_engine(parsed, hide_parameters=True, pool_size=2, connect_args={"connect_timeout": int(BUSY_S)})
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise ConfigError(f"{shown(parsed)} needs a driver ({error}); install voicebot[postgres]") from None


def _prepare_sqlite(connection: Any, _: Any) -> None:
    """WAL: readers never wait for the writer. NORMAL: a power cut may cost the last rows, never the file."""
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    """Writers take the lock at once: one that read first could not wait for it."""
    mode = "DEFERRED" if connection.get_execution_options().get("reading") else "IMMEDIATE"
    connection.exec_driver_sql(f"BEGIN {mode}")


def migrate(engine: Engine) -> None:
    """Make the tables or bring them up to date. Blocks; processes that start together wait for each other.

    Raises: ConfigError, for a newer ledger; LedgerError, when the database cannot be reached.
    """
    from alembic import command
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    config = _alembic_config()
    if engine.url.drivername == "sqlite":
        _make_folder(Path(engine.url.database or ""))
    try:
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            script = ScriptDirectory.from_config(config)
            found = MigrationContext.configure(connection).get_current_revision()
            known = {revision.revision for revision in script.walk_revisions()}
            if found is not None and found not in known:
                raise ConfigError(
                    f"the ledger {shown(engine.url)} has version {found}, which this voicebot does not know "
                    f"(its newest is {script.get_current_head()}); update voicebot or set ledger.url to another"
                )
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except SQLAlchemyError as error:
        raise unreachable(engine, error) from None


def _alembic_config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def _make_folder(file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make the ledger's folder {file.parent}: {error.strerror}; set ledger.url") from None


def unreachable(engine: Engine, error: SQLAlchemyError) -> LedgerError:
    """The library's error in our words, without statements and values."""
    said = str(getattr(error, "orig", None) or error).strip().splitlines()
    return LedgerError(f"the ledger {shown(engine.url)} cannot be used: {said[0] if said else type(error).__name__}")


def upserts(engine: Engine) -> dict[str, Any]:
    """Table -> a statement that inserts a row, or fills in what is given of a row that is there."""
    insert = postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert
    statements: dict[str, Any] = {}
    for name, table in metadata.tables.items():
        statement = insert(table)
        keys = [column.name for column in table.primary_key]
        filled = {
            column.name: func.coalesce(statement.excluded[column.name], column)
            for column in table.columns
            if column.name not in keys
        }
        statements[name] = statement.on_conflict_do_update(index_elements=keys, set_=filled)
    return statements
