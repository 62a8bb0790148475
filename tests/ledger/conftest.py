"""Every test of the tables runs on SQLite, and on a real PostgreSQL where one is installed."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from voicebot.ledger.prices import Price, Prices
from voicebot.ledger.writer import LedgerWriter, open_ledger

PRICES = Prices({"big": Price(2.0, 10.0, 0.5)})


def find_postgres() -> Path | None:
    """The folder of the newest installed server's programs."""
    if found := shutil.which("initdb"):
        return Path(found).parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A server of its own in a temporary folder, on a Unix socket; its socket's folder."""
    programs = find_postgres()
    pytest.importorskip("psycopg", reason="no PostgreSQL driver; install psycopg")
    if programs is None or not (programs / "initdb").exists():
        pytest.skip("no PostgreSQL server is installed")
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    if os.geteuid() == 0:
        try:
            shutil.chown(folder, "postgres")
        except LookupError:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres")

    def run(*command: str | Path) -> None:
        subprocess.run(command, check=True, user=user if os.geteuid() == 0 else None, cwd=folder, capture_output=True)

    run(programs / "initdb", "-D", folder / "data", "-A", "trust", "-U", "voicebot", "--no-sync", "-E", "UTF8")
    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
    run(programs / "pg_ctl", "-D", folder / "data", "-o", options, "-l", folder / "log", "-w", "start")
    yield str(folder)
    run(programs / "pg_ctl", "-D", folder / "data", "-m", "immediate", "-w", "stop")
    shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.realtime)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/books/ledger.db"
    psycopg = pytest.importorskip("psycopg")
    socket = request.getfixturevalue("postgres")
    name = f"db{abs(hash(tmp_path))}"
    with psycopg.connect(host=socket, user="voicebot", dbname="postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"postgresql://voicebot@/{name}?host={socket}"


Opener = Callable[..., LedgerWriter]


@pytest.fixture
def opened(tmp_path: Path, url: str) -> Iterator[Opener]:
    """Opens the ledger at `url`; closed at the end of the test."""
    writers: list[LedgerWriter] = []

    def opener(**more: object) -> LedgerWriter:
        writers.append(open_ledger(url, tmp_path / "journal", PRICES, **more))  # type: ignore[arg-type]
        return writers[-1]

    yield opener
    for writer in writers:
        writer.close()
