"""`voicebot calls list | show | export`."""

from __future__ import annotations

import csv
import json
import sys
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from voicebot.cli.books import JsonOption, LedgerOption, SinceOption, ledger, print_json, reported, since_s, usd, utc

app = typer.Typer(help="Read the ledger's calls: list, show, export.", no_args_is_help=True)
CALL_COLUMNS = ("id", "started_s", "ended_s", "transport", "tenant", "caller_hash", "label", "end_reason")
TURN_COLUMNS = (
    "turn",
    "at_s",
    "task",
    "hard",
    "confidence",
    "label",
    "reason",
    "answered_by",
    "heard",
    "said",
    "v2v_ms",
)


class Format(StrEnum):
    """Of an export."""

    JSONL = "jsonl"
    CSV = "csv"


@app.command("list")
def list_calls(
    since: SinceOption = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 50,
    as_json: JsonOption = False,
    url: LedgerOption = None,
) -> None:
    """List the calls, the newest first."""
    with reported(), ledger(url) as books:
        found = books.calls(since_s(since), limit)
        if as_json:
            print_json({"calls": found})
            return
        table = Table(
            "call", "began (UTC)", "seconds", "transport", "turns", "escalated", "cost", "label", "ended because"
        )
        for call in found:
            seconds = "" if call["ended_s"] is None else f"{call['ended_s'] - call['started_s']:.0f}"
            cost = usd(call["cost_usd"]) + (" and unknown" if call["unknown_costs"] else "")
            counts = str(call["turns"]), str(call["escalations"]), cost
            ending = call["label"] or "", call["end_reason"] or ""
            table.add_row(call["id"], utc(call["started_s"]), seconds, call["transport"] or "", *counts, *ending)
        Console().print(table)


@app.command()
def show(
    call_id: Annotated[str, typer.Argument(metavar="ID", help="From `voicebot calls list`.")],
    as_json: JsonOption = False,
    url: LedgerOption = None,
) -> None:
    """Show one call: its turns, who answered and why, every attempt, and what left this machine."""
    with reported(), ledger(url) as books:
        call = books.call(call_id)
        if as_json:
            print_json(call)
            return
        console = Console()
        for name in ("turns", "attempts", "escalations", "egress"):
            rows = call.pop(name)
            shown = [
                key for key in (rows[0] if rows else {}) if any(row[key] is not None for row in rows) and key != "id"
            ]
            table = Table(*shown, title=f"{name} ({len(rows)})", title_justify="left")
            for row in rows:
                table.add_row(*(_cell(key, row[key]) for key in shown))
            console.print(table if rows else f"no {name}")
        for key, value in call.items():
            if value is not None:
                console.print(f"{key:<12} {_cell(key, value)}", markup=False, highlight=False)


@app.command()
def export(
    since: SinceOption = None,
    form: Annotated[Format, typer.Option("--format", help="jsonl: a call a line; csv: a turn a line.")] = Format.JSONL,
    url: LedgerOption = None,
) -> None:
    """Write the calls to standard output, the oldest first."""
    with reported(), ledger(url) as books:
        calls = books.export(since_s(since))
        if form is Format.JSONL:
            for call in calls:
                typer.echo(json.dumps(call, ensure_ascii=False))
            return
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow([f"call_{name}" for name in CALL_COLUMNS] + list(TURN_COLUMNS) + ["cost_usd"])
        for call in calls:
            for turn in call["turns"]:
                costs = [a["cost_usd"] for a in call["attempts"] if a["turn"] == turn["turn"]]
                cost = None if None in costs else sum(costs)
                writer.writerow([*(call[name] for name in CALL_COLUMNS), *(turn[n] for n in TURN_COLUMNS), cost])


def _cell(key: str, value: Any) -> str:
    if value is None:
        return ""
    if key.endswith("_s") and isinstance(value, float):
        return utc(value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
