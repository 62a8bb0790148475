"""`voicebot eval shadow`: how often another model would have answered as the one did that was heard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from voicebot.cli.books import JsonOption, LedgerOption, SinceOption, ledger, print_json, reported, since_s

if TYPE_CHECKING:
    from voicebot.evals.agreement import Pair


def shadow(since: SinceOption = None, as_json: JsonOption = False, url: LedgerOption = None) -> None:
    """Compare the copies of turns (shadow.share, fleet.NAME.stage) with the answers that were heard, by task."""
    with reported(), ledger(url) as books:
        from voicebot.evals.agreement import agreement

        start = since_s(since)
        pairs = agreement(books.turns(start), books.attempts(start))
        print_json({"pairs": [pair.document() for pair in pairs]}) if as_json else _show(pairs, Console())


def _show(pairs: list[Pair], console: Console) -> None:
    table = Table("task", "heard", "shadow", "n", "failed", "agree", "95 %", "same tool", "words", "judged", "as good")
    for pair in pairs:
        told = pair.document()
        words = "" if told["words_in_common"] is None else f"{told['words_in_common']:.2f}"
        table.add_row(
            pair.task, pair.heard, pair.shadow, str(pair.n), str(pair.failed), _share(pair.agreed, pair.n),
            _interval(told["agreed_95"]), "{} of {}".format(*told["same_tool"]), words, str(told["judged"]),
            f"{_share(told['as_good'], pair.n)} ({_interval(told['as_good_95'])})" if told["judged"] else "",
        )  # fmt: skip
    console.print(table if pairs else "no turn was copied; set shadow.share")


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else ""


def _interval(bounds: list[float]) -> str:
    return f"{bounds[0]:.0%} to {bounds[1]:.0%}"
