"""The rows of the ledger: what a call did, who did it, what it cost. No words but a turn's, and those only if allowed.

Rules:
1. A row has a key; writing it again fills in what was None before and replaces what is given. So a turn is written when
   it is committed and again when it has been spoken, and a row that is replayed after a crash is not counted twice.
2. `*_s` are seconds since 1970 (UTC), `*_ms` durations; money is US dollars; None is "not known", never "nothing".
3. `reason` and `why` come from our own vocabulary, never from a caller's or a provider's words: they are stored
   whatever the label.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

Purpose = Literal["live", "shadow", "judge", "draft"]
Outcome = Literal["ok", "cancelled", "failed", "rejected"]
Destination = Literal["local", "remote"]
LONGEST_TEXT = 8_000
"""Characters of one text column; what is beyond is cut. Keeps a journal line far below its limit."""


def new_id() -> str:
    """The key of a row that has no natural one."""
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRow:
    """One call. Written when it begins and when it ends."""

    table: ClassVar[str] = "calls"
    id: str
    started_s: float
    ended_s: float | None = None
    transport: str | None = None
    tenant: str | None = None
    caller_hash: str | None = None
    """`LedgerWriter.pseudonym` of the number; never the number."""
    label: str | None = None
    """The strictest privacy label that the call had: open, redact or local_only."""
    end_reason: str | None = None
    trace: str | None = None
    """Path of the call's trace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRow:
    """One committed turn of the caller's, and who answered it."""

    table: ClassVar[str] = "turns"
    call: str
    turn: int
    at_s: float
    task: str | None = None
    hard: bool | None = None
    confidence: float | None = None
    """The router's, 0..1."""
    label: str | None = None
    reason: str | None = None
    """Why it was routed so, as the policy says it."""
    answered_by: str | None = None
    """The member of the fleet, "frontier", or "tool"."""
    heard: str | None = None
    said: str | None = None
    """Both are struck out before they touch the disk unless the label is open and the ledger keeps texts."""
    v2v_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    """One request to one model, live or not, finished or not."""

    table: ClassVar[str] = "attempts"
    id: str = field(default_factory=new_id)
    call: str
    turn: int | None = None
    member: str
    engine: str
    """The engine's URL without secrets: its host decides whose price list applies."""
    model: str
    purpose: Purpose
    started_s: float
    ms: float | None = None
    ttft_ms: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    """Of the prompt's, those that were read from a cache."""
    prompt_chars: int | None = None
    completion_chars: int | None = None
    """For an estimate where the engine does not count tokens."""
    cost_usd: float | None = None
    """None: priced by the ledger's thread where a price is known."""
    outcome: Outcome | None = None
    reason: str | None = None
    mean_logprob: float | None = None
    min_logprob: float | None = None
    label: str | None = None
    destination: Destination
    agreement: float | None = None
    """Of a shadow with the answer that was heard, or a judge's verdict on the two: 0..1; see `brain.shadow`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressRow:
    """One request that left, or was refused to leave, this machine."""

    table: ClassVar[str] = "egress"
    id: str = field(default_factory=new_id)
    at_s: float
    call: str | None = None
    turn: int | None = None
    destination: str
    """Host and port."""
    label: str
    bytes: int
    purpose: str
    sha256: str
    """Of the body sent, to compare with a provider's log."""
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EscalationRow:
    """One question handed to a stronger model. Written when asked and at each step after."""

    table: ClassVar[str] = "escalations"
    id: str = field(default_factory=new_id)
    call: str
    turn: int
    member: str | None = None
    asked_s: float
    acknowledged_s: float | None = None
    answered_s: float | None = None
    spoken_s: float | None = None
    outcome: str | None = None
    """spoken, dropped, merged, cancelled or failed; None while it is pending."""
    why: str | None = None
    """Why it was asked: "hard", "low confidence", ..."""
    reason: str | None = None
    """Why it ended as it did."""
    cost_usd: float | None = None


Row = CallRow | TurnRow | AttemptRow | EgressRow | EscalationRow


def values(row: Row) -> dict[str, Any]:
    """Column -> value of what is known, in a form that every database takes."""
    return {f.name: _storable(value) for f in fields(row) if (value := getattr(row, f.name)) is not None}


def _storable(value: Any) -> Any:
    """Text without what UTF-8 or PostgreSQL cannot hold, and not endless."""
    if isinstance(value, str):
        return value[:LONGEST_TEXT].encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")
    return value


def line(row: Row, keep_texts: bool) -> bytes:
    """The row as a line of the journal, without its newline. Texts that may not be kept are not in it, and a turn whose
    label was raised after its texts had been stored loses them."""
    given = values(row)
    if isinstance(row, TurnRow) and not (keep_texts and row.label == "open"):
        given.pop("heard", None)
        given.pop("said", None)
        if keep_texts and row.label is not None:
            given |= {"heard": "", "said": ""}
    return json.dumps([row.table, given], separators=(",", ":")).encode()


def parse_line(text: bytes) -> tuple[str, dict[str, Any]]:
    """Table and values of a journal line. Raises: ValueError."""
    parsed = json.loads(text)
    match parsed:
        case [str(table), dict(given)]:
            return table, given
    raise ValueError(f"a journal line is [table, values], not {type(parsed).__name__}")
