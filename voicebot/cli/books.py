"""What the commands that read the ledger share: where it is, since when, and how errors and JSON are shown."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from voicebot.config import ledger_places, load_config
from voicebot.errors import ConfigError, VoicebotError

if TYPE_CHECKING:
    from voicebot.ledger.reader import LedgerReader

FAILED, BAD_INPUT = 1, 2
SPANS = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
LedgerOption = Annotated[
    str | None,
    typer.Option("--ledger", envvar="VOICEBOT_LEDGER__URL", help="sqlite:////path/ledger.db or postgresql://..."),
]
SinceOption = Annotated[
    str | None, typer.Option("--since", help="A day (2026-11-24), a time, or how long ago: 30m, 24h, 7d, 4w.")
]


@contextlib.contextmanager
def ledger(url: str | None) -> Iterator[LedgerReader]:
    """The ledger, read: the one named, else that of ./voicebot.toml, else the server's own. Raises: ConfigError,
    LedgerError."""
    from voicebot.ledger.reader import reading

    configured, journal = ledger_places(load_config())
    with reading(url or configured, journal) as reader:
        yield reader


def since_s(text: str | None, now_s: float | None = None) -> float:
    """Seconds since 1970 that --since means; 0 for none. Raises: ConfigError."""
    if text is None:
        return 0.0
    if span := re.fullmatch(r"(\d+)([mhdw])", text):
        return (time.time() if now_s is None else now_s) - int(span[1]) * SPANS[span[2]]
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--since {text!r} is no time; write 2026-11-24, 2026-11-24T18:00, 24h or 7d") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def utc(seconds: float | None) -> str:
    """For people."""
    return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))


def usd(amount: float | None) -> str:
    """For people: enough digits for one small request."""
    return "unknown" if amount is None else f"${amount:,.2f}" if amount >= 100 else f"${amount:.4f}"


def print_json(document: Any) -> None:
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2))


@contextlib.contextmanager
def reported() -> Iterator[None]:
    """One clear line and an exit code for our errors."""
    try:
        yield
    except VoicebotError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(BAD_INPUT if isinstance(error, ConfigError) else FAILED) from None
