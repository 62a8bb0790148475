"""The only way out of this machine. One gate for each remote model; whatever is not allowed is denied and on record.

    request -> label -> destination -> breaker -> redaction -> money -> record -> permit -> remote model
                                                                      answer <- details put back <-'

Rules:
1. A prompt with one LOCAL_ONLY message never leaves, whoever asks and for whatever purpose: live, retry, shadow, judge.
2. Before the first byte leaves, a record of it is kept: where to, how many bytes, their hash; never the words. What
   cannot be put on record is not sent.
3. Retries are made here and nowhere else: each passes every check again, holds its own money and has its own record.
4. Nothing is sent again once the first chunk of an answer has come.
5. A local engine's requests do not leave: they pass without labels, money and record, but not past the breaker.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from random import Random
from typing import Protocol

from voicebot.brain.breaker import Breaker, BreakerSettings
from voicebot.brain.budget import Budget, Caps, Hold
from voicebot.brain.policy import ExpertState
from voicebot.brain.privacy import prompt_label
from voicebot.brain.redaction import Redactor, Restorer
from voicebot.core.labels import Label
from voicebot.engines.base import Cancel, LlmChunk, LlmDone, LlmEngine, LlmRequest, TextDelta
from voicebot.engines.remote import Permit, RemoteLlm
from voicebot.errors import ConfigError, EgressDenied, EngineError, EngineTimeout, EngineUnavailable, Refusal
from voicebot.lane import LaneLike

log = logging.getLogger(__name__)

ATTEMPTS = 2
RETRY_S = (0.1, 0.5)
"""Between two attempts: drawn evenly, so that calls which failed together do not come back together."""
BYTES_PER_TOKEN = 3
"""For the money that is held: fewer than the four or so of English prose in JSON, so that it is rather too much."""
USUAL_TOKENS = (700, 300)
"""Of prompt and answer: what a request is taken to cost before the first."""


@dataclass(frozen=True, slots=True)
class EgressRecord:
    """One request that is about to leave, or was refused to. `at_s`: Unix seconds."""

    at_s: float
    call: str
    turn: int
    destination: str
    """Host and port."""
    label: Label
    bytes: int
    purpose: str
    sha256: str
    """Of the body sent, to compare with a provider's log; "" for a refusal."""
    outcome: str
    """"sent", or "denied: " and why."""


class Cost(Protocol):
    """As `ledger.prices.Price.cost`: US dollars for tokens."""

    def __call__(self, prompt: int, completion: int, cached: int = 0) -> float: ...


@dataclass(frozen=True, slots=True)
class _Asked:
    """For whom and what for."""

    call: str
    turn: int
    purpose: str


@dataclass(slots=True)
class _Cleared:
    """A request that may go, and what came of it. `restorer` None: nothing was taken out; `hold` None: it is free."""

    work: Callable[[Cancel], Iterator[LlmChunk]]
    restorer: Restorer | None = None
    hold: Hold | None = None
    prompt_tokens: int = 0
    """Estimated."""
    done: LlmDone | None = None
    chars: int = 0
    unbilled: bool = False
    """It failed before its first word, for another reason than time."""

    def count(self, chunk: LlmChunk) -> None:
        if isinstance(chunk, LlmDone):
            self.done = chunk
        elif isinstance(chunk, TextDelta):
            self.chars += len(chunk.text)

    def usd(self, cost: Cost) -> float:
        """What it cost: by the model's own count, else by the sizes of what went and came."""
        if self.unbilled:
            return 0.0
        if self.done is None or not self.done.prompt_tokens:
            return cost(self.prompt_tokens, self.chars // BYTES_PER_TOKEN)
        return cost(self.done.prompt_tokens, self.done.completion_tokens, self.done.cached_tokens)

    def restored(self, chunk: LlmChunk) -> list[LlmChunk]:
        return [chunk] if self.restorer is None else self.restorer.feed(chunk)


class Egress:
    """The gate before one model, for all calls; it is an `expert.Ask`. Thread: the loop."""

    def __init__(
        self,
        lane: LaneLike[LlmEngine],
        record: Callable[[EgressRecord], bool],
        redactor: Callable[[], Redactor],
        *,
        allow: Collection[str] | None = None,
        breaker: Breaker | None = None,
        budget: Budget | None = None,
        cost: Cost | None = None,
        wall: Callable[[], float] = time.time,
        rng: Random | None = None,
    ) -> None:
        """`record`: keeps it for good; False or an exception denies. `redactor`: makes one, for one call.

        `allow`: "host" or "host:port"; None for the model's own alone. `cost`: None where the price is not known.
        Raises: ConfigError for a remote model that was not made by the registry, or a cap on what has no price.
        """
        engine = lane.engine
        if engine.locality == "remote" and not isinstance(engine, RemoteLlm):
            raise ConfigError(f"{engine.name} is remote and not locked; create it with engines.registry")
        self._lane = lane
        self._remote = engine if isinstance(engine, RemoteLlm) else None
        self._record = record
        self._make_redactor = redactor
        self._allow = None if allow is None else {host.lower() for host in allow}
        self._breaker = breaker or Breaker(BreakerSettings())
        self._budget = budget or Budget(Caps(), wall())
        if self._remote and cost is None and self._budget.limited:
            raise ConfigError(
                f"what may be spent is limited, but no price is known for {engine.name}; set it in ledger.prices"
            )
        self._cost = cost if self._remote and cost is not None else _nothing
        self._usual_usd = self._cost(*USUAL_TOKENS)
        self._wall = wall
        self._rng = rng or Random()
        self._redactors: dict[str, Redactor] = {}

    @property
    def remote(self) -> bool:
        """Whether words leave this machine on their way to the model."""
        return self._remote is not None

    def state(self, call: str) -> ExpertState:
        """Whether it may be asked now, labels apart."""
        if self._breaker.state(self._now()) == "open":
            return "down"
        return "over budget" if self._budget.refusal(call, self._usual_usd, self._wall()) else "ready"

    def end_call(self, call: str) -> None:
        """Forget the call's details and what it spent."""
        self._redactors.pop(call, None)
        self._budget.end_call(call)

    async def __call__(self, request: LlmRequest, *, call: str, turn: int, purpose: str) -> AsyncIterator[LlmChunk]:
        """Stream an answer. Cancellation: the request is cancelled, and counted as sent.

        Raises: EgressDenied, EngineError; EngineUnavailable while the model is left alone after failures.
        """
        asked = _Asked(call, turn, purpose)
        for left in reversed(range(ATTEMPTS)):
            begun = False
            try:
                async with aclosing(self._attempt(request, asked)) as chunks:
                    async for chunk in chunks:
                        begun = True
                        yield chunk
                return
            except EngineError as error:
                if begun or not error.retryable or not left:
                    raise
            await asyncio.sleep(self._rng.uniform(*RETRY_S))

    async def _attempt(self, request: LlmRequest, asked: _Asked) -> AsyncGenerator[LlmChunk, None]:
        label = prompt_label(request.messages)
        if self._remote is not None:
            self._check(self._remote, label, asked)
        if not self._breaker.begin(self._now()):
            raise self._resting(asked, label)
        cleared: _Cleared | None = None
        ended = self._breaker.abandoned
        try:
            cleared = self._local(request) if self._remote is None else self._clear(self._remote, request, label, asked)
            async for chunk in self._lane.stream(cleared.work):
                cleared.count(chunk)
                for piece in cleared.restored(chunk):
                    yield piece
            ended = self._breaker.succeeded
        except EngineError as error:
            ended = self._failed
            if cleared is not None:
                cleared.unbilled = not cleared.chars and not isinstance(error, EngineTimeout)
            raise
        finally:
            ended()
            if cleared is not None and cleared.hold is not None:
                self._budget.settle(cleared.hold, cleared.usd(self._cost))

    def _failed(self) -> None:
        self._breaker.failed(self._now())

    # ---- the checks

    def _check(self, engine: RemoteLlm, label: Label, asked: _Asked) -> None:
        """Whether such a prompt may go there at all. Raises: EgressDenied."""
        if label is Label.LOCAL_ONLY:
            raise self._denied(asked, label, "label", f"a private prompt may not be sent to {engine.destination}")
        where = engine.destination
        if self._allow is not None and not self._allow & {where, where.rpartition(":")[0]}:
            raise self._denied(
                asked, label, "destination", f"{where} is not a host that words may be sent to; see privacy.allow"
            )

    def _local(self, request: LlmRequest) -> _Cleared:
        engine = self._lane.engine
        return _Cleared(lambda cancel: engine.generate(request, cancel))

    def _clear(self, engine: RemoteLlm, request: LlmRequest, label: Label, asked: _Asked) -> _Cleared:
        """Take details out, hold the money, put it on record. No await: what is checked is what is sent.

        Raises: EgressDenied; EngineBadOutput for a request that the driver cannot write.
        """
        restorer: Restorer | None = None
        if label is Label.REDACT:
            request, restorer = self._redacted(request, label, asked)
        body = engine.body(request)
        tokens = len(body) // BYTES_PER_TOKEN
        hold = self._budget.reserve(asked.call, self._cost(tokens, request.sampling.max_tokens), self._wall())
        if isinstance(hold, str):
            raise self._denied(asked, label, "budget", f"{engine.name} is not asked: {hold}")
        if not self._keep(asked, label, "sent", body):
            self._budget.settle(hold, 0.0)
            raise EgressDenied("nothing is sent: the record of it cannot be kept; see the ledger's health", "record")
        permit = Permit(body)
        return _Cleared(lambda cancel: engine.send(permit, cancel), restorer, hold, tokens)

    def _redacted(self, request: LlmRequest, label: Label, asked: _Asked) -> tuple[LlmRequest, Restorer]:
        try:
            redactor = self._redactors.get(asked.call) or self._make_redactor()
            self._redactors[asked.call] = redactor
            clean = redactor.redact(request.messages)
        except Exception as error:  # noqa: BLE001 - whatever is wrong, the words stay here and out of the message
            why = str(error) if isinstance(error, EgressDenied) else f"no redactor ({type(error).__name__})"
            raise self._denied(asked, label, "redaction", why) from None
        return replace(request, messages=clean), Restorer(redactor.placeholders)

    # ---- the record

    def _denied(self, asked: _Asked, label: Label, reason: Refusal, message: str) -> EgressDenied:
        self._keep(asked, label, f"denied: {reason}")
        return EgressDenied(message, reason)

    def _resting(self, asked: _Asked, label: Label) -> EngineUnavailable:
        if self._remote is not None:
            self._keep(asked, label, "denied: breaker")
        return EngineUnavailable(f"{self._lane.engine.name} has failed too often and is left alone for a while")

    def _keep(self, asked: _Asked, label: Label, outcome: str, body: bytes = b"") -> bool:
        """Put it on record; False if that failed."""
        assert self._remote is not None
        digest = hashlib.sha256(body).hexdigest() if body else ""
        record = EgressRecord(
            self._wall(), asked.call, asked.turn, self._remote.destination, label, len(body), asked.purpose, digest,
            outcome,
        )  # fmt: skip
        try:
            return self._record(record)
        except Exception as error:  # noqa: BLE001 - fail closed; the caller denies
            log.error("egress record could not be kept: %s", type(error).__name__)
            return False

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _nothing(prompt: int, completion: int, cached: int = 0) -> float:
    return 0.0
