"""`voicebot bill`: what was spent, and what a frontier model for every turn would have cost."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from voicebot.cli.books import JsonOption, LedgerOption, SinceOption, ledger, print_json, reported, since_s, usd
from voicebot.config import load_config

if TYPE_CHECKING:
    from voicebot.ledger.bill import Bill, Line


class By(StrEnum):
    """What the bill is broken down by."""

    TASK = "task"
    MEMBER = "member"
    DAY = "day"


def bill(
    since: SinceOption = None,
    by: Annotated[By, typer.Option(help="Break it down by task, member of the fleet or day (UTC).")] = By.TASK,
    reference: Annotated[
        str | None, typer.Option(help="The frontier model to compare with; ledger.reference by default.")
    ] = None,
    prompt_tokens: Annotated[
        int | None, typer.Option(min=0, help="Tokens of the longer prompt that one model for everything would need.")
    ] = None,
    as_json: JsonOption = False,
    url: LedgerOption = None,
) -> None:
    """Show what was spent, and what it would have cost had a frontier model answered every turn."""
    with reported(), ledger(url) as books:
        from voicebot.books import prices_of
        from voicebot.ledger.bill import make_bill

        given = load_config().ledger
        start, model = since_s(since), reference or given.reference
        made = make_bill(
            books.turns(start),
            books.attempts(start),
            list(books.escalations(start)),
            reference=model,
            price=prices_of(given).reference(model),
            prompt_tokens=given.reference_prompt_tokens if prompt_tokens is None else prompt_tokens,
            by=by.value,
        )
        print_json(made.document()) if as_json else _show(made, by, Console())


def _show(made: Bill, by: By, console: Console) -> None:
    table = Table(by.value, "turns", "escalated", "live", "shadow", "judge", "spent", "all frontier", "times less")
    for name, line in sorted(made.lines.items()):
        table.add_row(name, *_cells(line))
    table.add_section()
    table.add_row("all", *_cells(made.total))
    console.print(table)
    for text in _notes(made):
        console.print(text, markup=False, highlight=False, soft_wrap=True)


def _cells(line: Line) -> list[str]:
    share = f"{line.escalated} ({line.escalated / line.turns:.0%})" if line.turns else str(line.escalated)
    ratio = "" if line.ratio is None else f"{line.ratio:.1f}x"
    money = (line.live_usd, line.shadow_usd, line.judge_usd, line.spent_usd, line.all_frontier_usd)
    return [str(line.turns), share, *map(usd, money), ratio + (" at most" if ratio and line.unknown else "")]


def _notes(made: Bill) -> list[str]:
    """How it was counted, and what is not in it."""
    total, price = made.total, made.price
    notes = [
        f"all frontier: {total.compared} of {total.turns} turns at the price of {made.reference} "
        f"(${price.input_usd:g} in, ${price.output_usd:g} out per million tokens), with the tokens that the answering "
        f"model counted ({total.estimated} estimated at 4 characters per token), no prompt caching, "
        f"and {made.prompt_tokens} prompt tokens added per turn"
    ]
    if total.compared < total.turns:
        notes.append(f"{total.turns - total.compared} turns had no model's answer with a length and are not compared")
    if made.why:
        notes.append("escalated: " + ", ".join(f"{why} {count}" for why, count in made.why.most_common()))
    if made.unknown_models:
        named = ", ".join(f"{model} ({count})" for model, count in made.unknown_models.most_common())
        notes.append(f"cost unknown, and in no sum: {named}; set their prices in ledger.prices")
    if not total.spent_usd:
        notes.append("nothing was spent, so there is no ratio")
    return notes
