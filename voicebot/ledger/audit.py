"""Reads a log of frontier calls and says which of them a small model could take over: a first estimate, by the router.

One JSON object a line, in any of the forms in which chat completions are commonly logged:

    {"messages": [...], "response": {...}}        {"request": {...}, "response": {...}}
    {"messages": [..., {"role": "assistant"}]}    Batch API input and output lines, joined by their custom_id

A line that is none of these is counted and named, and the rest goes on.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from voicebot.ledger.prices import Prices, estimated_tokens

DAYS_PER_MONTH = 30.44
SHORTEST_SPAN_DAYS = 1 / 24
"""A log of less than an hour says nothing of a month."""
LONG_PROMPT_TOKENS = 4000
"""A longer request is kept at the frontier: small models have small contexts."""
CONTEXT_TURNS = 4
"""Earlier messages of the user's that the router is shown."""


class RouteLike(Protocol):
    """What the router says of a text."""

    @property
    def task(self) -> str: ...
    @property
    def hard(self) -> bool: ...
    @property
    def oos(self) -> bool: ...
    @property
    def confidence(self) -> float: ...


Route = Callable[[str, Sequence[str]], RouteLike]
"""Text and the user's earlier texts -> route."""


class Malformed(ValueError):
    """A line that holds no call; says why."""


@dataclass(frozen=True, slots=True)
class Interaction:
    """One logged call. `at_s` None: the line has no time. `estimated`: tokens by length, 4 characters each."""

    model: str
    texts: tuple[str, ...]
    """What the user said, oldest first; the last is what was asked."""
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    estimated: bool
    at_s: float | None
    only_text: bool
    """Nothing but text was sent: no picture, sound or file."""


@dataclass(slots=True)
class TaskLine:
    """Money in US dollars, over the whole log."""

    calls: int = 0
    cost_usd: float = 0.0
    takeable: int = 0
    takeable_usd: float = 0.0


@dataclass(slots=True)
class Audit:
    """What a log comes to. `kept`: why a call stays with the frontier -> how many; `malformed`: line -> why."""

    lines: int = 0
    total: TaskLine = field(default_factory=TaskLine)
    tasks: dict[str, TaskLine] = field(default_factory=dict)
    kept: Counter[str] = field(default_factory=Counter)
    malformed: dict[int, str] = field(default_factory=dict)
    estimated: int = 0
    unknown_models: Counter[str] = field(default_factory=Counter)
    """Models without a known price; their calls are in no sum of money."""
    first_s: float | None = None
    last_s: float | None = None

    def monthly(self, usd: float, days: float | None = None) -> float | None:
        """Money of the log as money of a month; None where it is not known over how long the log goes."""
        if days is None:
            if self.first_s is None or self.last_s is None:
                return None
            days = (self.last_s - self.first_s) / 86_400
        return usd / days * DAYS_PER_MONTH if days >= SHORTEST_SPAN_DAYS else None

    def document(self, days: float | None = None) -> dict[str, Any]:
        """As JSON shows it."""

        def shown(line: TaskLine) -> dict[str, Any]:
            plain = {name: getattr(line, name) for name in TaskLine.__slots__}
            return plain | {"takeable_usd_per_month": self.monthly(line.takeable_usd, days)}

        return {
            "lines": self.lines,
            "total": shown(self.total),
            "tasks": {name: shown(line) for name, line in sorted(self.tasks.items())},
            "kept_because": dict(self.kept.most_common()),
            "tokens_estimated": self.estimated,
            "unknown_cost_models": dict(self.unknown_models.most_common()),
            "malformed": {str(number): why for number, why in self.malformed.items()},
        }


def audit(lines: Iterable[bytes], route: Route, prices: Prices, min_confidence: float = 0.5) -> Audit:
    """Read and judge a log. `min_confidence`: of the router, below which a call stays where it is."""
    result = Audit()
    halves: dict[str, tuple[int, dict[str, Any]]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        result.lines += 1
        try:
            record = _joined(_parsed(line), number, halves)
            if record is not None:
                _judge(result, _interaction(record), route, prices, min_confidence)
        except Malformed as error:
            result.malformed[number] = str(error)
    for number, half in halves.values():
        missing = "request" if "response" in half else "response"
        result.malformed[number] = f"its {missing} is not in the file (custom_id {half['custom_id']!r})"
    return result


def _judge(result: Audit, call: Interaction, route: Route, prices: Prices, min_confidence: float) -> None:
    judged = route(call.texts[-1], call.texts[-1 - CONTEXT_TURNS : -1])
    reason = _reason_to_keep(call, judged, min_confidence)
    tokens = call.prompt_tokens, call.completion_tokens, call.cached_tokens
    cost = prices.cost(call.model, "", "remote", *tokens)
    if cost is None:
        result.unknown_models[call.model] += 1
    if reason:
        result.kept[reason] += 1
    for line in (result.total, result.tasks.setdefault(judged.task, TaskLine())):
        line.calls += 1
        line.cost_usd += cost or 0.0
        if not reason:
            line.takeable += 1
            line.takeable_usd += cost or 0.0
    result.estimated += call.estimated
    if call.at_s is not None:
        result.first_s = min(call.at_s, result.first_s or call.at_s)
        result.last_s = max(call.at_s, result.last_s or call.at_s)


def _reason_to_keep(call: Interaction, judged: RouteLike, min_confidence: float) -> str:
    """Why a small model should not take the call; "" when it could."""
    if not call.only_text:
        return "not only text"
    if call.prompt_tokens > LONG_PROMPT_TOKENS:
        return "long prompt"
    if judged.oos:
        return "out of scope"
    if judged.hard:
        return "hard"
    return "router unsure" if judged.confidence < min_confidence else ""


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"not JSON: {type(error).__name__}") from None
    if not isinstance(record, dict):
        raise Malformed(f"a {type(record).__name__}, not an object")
    return record


def _joined(
    record: dict[str, Any], number: int, halves: dict[str, tuple[int, dict[str, Any]]]
) -> dict[str, Any] | None:
    """A whole call; None while the other half of a batch line has not been seen."""
    custom_id = record.get("custom_id")
    if not isinstance(custom_id, str):
        return record
    if record.get("error"):
        raise Malformed("the batch reports an error for it")
    if custom_id not in halves or ("response" in record) == ("response" in halves[custom_id][1]):
        halves[custom_id] = (number, record)
        return None
    whole = halves.pop(custom_id)[1] | record
    return {"request": whole.get("body"), "response": whole["response"]}


def _interaction(record: dict[str, Any]) -> Interaction:
    """Raises: Malformed."""
    request = _mapping(record, "request", "input", "inputs", "body") or record
    response = _mapping(record, "response", "output", "outputs", "completion") or {}
    response = _mapping(response, "body") or response
    messages = [message for message in _list(request.get("messages")) if isinstance(message, dict)]
    reply = _reply(response)
    if not reply and messages and messages[-1].get("role") == "assistant":
        reply = messages.pop()
    texts = tuple(text for m in messages if m.get("role") == "user" and (text := _text(m.get("content"))))
    if not texts:
        raise Malformed("no messages with a text of the user's")
    usage = _mapping(response, "usage") or _mapping(record, "usage") or {}
    counted = _count(usage, "prompt_tokens", "input_tokens"), _count(usage, "completion_tokens", "output_tokens")
    written = json.dumps(reply.get("tool_calls") or "") if not reply.get("content") else _text(reply["content"])
    spoken = sum(len(_text(message.get("content"))) for message in messages)
    return Interaction(
        model=str(response.get("model") or request.get("model") or record.get("model") or "(unnamed)"),
        texts=texts,
        prompt_tokens=estimated_tokens(spoken) if counted[0] is None else counted[0],
        completion_tokens=estimated_tokens(len(written)) if counted[1] is None else counted[1],
        cached_tokens=_count(_mapping(usage, "prompt_tokens_details") or {}, "cached_tokens") or 0,
        estimated=None in counted,
        at_s=_time(response.get("created"), *(record.get(k) for k in ("timestamp", "created_at", "created", "time"))),
        only_text=all(_only_text(message.get("content")) for message in messages),
    )


def _reply(response: Mapping[str, Any]) -> Mapping[str, Any]:
    """The message that was answered, or nothing."""
    choices = _list(response.get("choices"))
    if choices and isinstance(choices[0], dict):
        return _mapping(choices[0], "message") or {}
    return response if "content" in response else {}


def _mapping(record: Mapping[str, Any], *names: str) -> dict[str, Any] | None:
    return next((value for name in names if isinstance(value := record.get(name), dict)), None)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _count(usage: Mapping[str, Any], *names: str) -> int | None:
    counts = (usage.get(name) for name in names)
    return next((n for n in counts if isinstance(n, int) and not isinstance(n, bool) and n >= 0), None)


def _text(content: Any) -> str:
    """Of a message's content: a string, or a list of parts."""
    if isinstance(content, str):
        return content.strip()
    parts = (part.get("text") for part in _list(content) if isinstance(part, dict))
    return " ".join(text.strip() for text in parts if isinstance(text, str))


def _only_text(content: Any) -> bool:
    return all(isinstance(part, dict) and part.get("type") in ("text", "input_text") for part in _list(content))


def _time(*candidates: Any) -> float | None:
    """The first that is a time: seconds since 1970, or ISO 8601."""
    for value in candidates:
        if isinstance(value, int | float) and not isinstance(value, bool) and 1e9 < value < 1e11:
            return float(value)
        if isinstance(value, str):
            try:
                moment = datetime.fromisoformat(value)
            except ValueError:
                continue
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return None
