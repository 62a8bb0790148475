"""`voicebot audit`: which calls of a log of a frontier model could a small model take over?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from voicebot.cli.books import JsonOption, print_json, reported, usd
from voicebot.errors import ConfigError

if TYPE_CHECKING:
    from voicebot.ledger.audit import Audit, Route

NAMED = 10
"""Malformed lines that are named; --json has them all."""


def audit(
    log: Annotated[
        Path, typer.Argument(metavar="FILE.jsonl", help="One chat completion a line, request and response.")
    ],
    as_json: JsonOption = False,
    days: Annotated[
        float | None, typer.Option(min=0.01, help="Days that the log covers; by default from its own times.")
    ] = None,
    min_confidence: Annotated[float, typer.Option(min=0, max=1, help="Of the router, to count as takeable.")] = 0.5,
) -> None:
    """Say which calls of a frontier model's log a small model could take over, by task and with money."""
    with reported():
        from voicebot.ledger.audit import audit as examine
        from voicebot.ledger.prices import Prices

        try:
            with log.open("rb") as lines:
                found = examine(lines, load_route(), Prices(), min_confidence)
        except OSError as error:
            raise ConfigError(f"cannot read {log}: {error.strerror}") from None
        if not found.total.calls:
            why = next(iter(found.malformed.items()), None)
            raise ConfigError(f"{log} holds no chat completion" + (f"; line {why[0]}: {why[1]}" if why else ""))
        print_json(found.document(days)) if as_json else show(found, days, Console())


@dataclass(frozen=True, slots=True)
class Judged:
    """A route with its probabilities decided, at the thresholds that calls have by default."""

    task: str
    hard: bool
    oos: bool
    confidence: float


def load_route() -> Route:
    """The shipped router's. Raises: ConfigError."""
    from voicebot.brain.policy import Limits
    from voicebot.brain.router import load_router
    from voicebot.cli.train import shipped_router

    router, limits = load_router("router://", shipped_router()), Limits()

    def route(text: str, context: Sequence[str]) -> Judged:
        found = router.route(text, context)
        return Judged(found.task, found.hard >= limits.hard_at, found.oos >= limits.oos_at, found.confidence)

    return route


def show(found: Audit, days: float | None, console: Console) -> None:
    """For people."""
    table = Table("task", "calls", "cost", "could be taken over", "of its cost", "a month")
    for name, line in [*sorted(found.tasks.items(), key=lambda item: -item[1].calls), ("all", found.total)]:
        share = f"{line.takeable} ({line.takeable / line.calls:.0%})"
        month = found.monthly(line.takeable_usd, days)
        monthly = "unknown" if month is None else usd(month)
        table.add_row(name, str(line.calls), usd(line.cost_usd), share, usd(line.takeable_usd), monthly)
    console.print(table)
    notes = ["a first estimate, by the router: run the small model as a shadow before it takes anything over"]
    if found.kept:
        notes.append("kept at the frontier: " + ", ".join(f"{why} {count}" for why, count in found.kept.most_common()))
    if found.monthly(1.0, days) is None:
        notes.append("the log does not say over how many days it goes; give --days for money per month")
    if found.estimated:
        notes.append(f"{found.estimated} calls had no token counts: estimated at 4 characters per token")
    if found.unknown_models:
        notes.append("price unknown, and in no sum: " + ", ".join(found.unknown_models))
    if found.malformed:
        notes.append(f"{len(found.malformed)} lines were left out:")
        notes += [f"  line {number}: {why}" for number, why in list(found.malformed.items())[:NAMED]]
    for note in notes:
        console.print(note, markup=False, highlight=False, soft_wrap=True)
