"""The frontier model behind the fleet: how it is asked, how long it usually takes, and one question at its work.

    Errand.run:   messages --egress--> chunks -> clauses --first one--> ErrandReady
    Errand.words: the same clauses, from the first, for whoever voices them, again if need be

A question goes out once. Whatever becomes of it, the caller hears words: an answer, or why there is none and the best
that this machine can say.
"""

from __future__ import annotations

import asyncio
import math
import statistics
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from voicebot.brain.policy import ExpertState
from voicebot.brain.reply import Attempt
from voicebot.core.events import ErrandReady, Event
from voicebot.core.text import ClauseSplitter
from voicebot.engines.base import LlmChunk, LlmDone, LlmRequest, Message, Sampling, TextDelta
from voicebot.errors import EgressDenied, EngineError, EngineTimeout

REMEMBERED = 20
"""Answers whose waiting time the expected one is the median of."""
HISTORY_MESSAGES = 12
"""Earlier messages that a question is sent with: enough to know what "it" is, and no more than that leaves."""
PROMPT = (
    "You answer a caller on the telephone through a voice assistant, which reads your words aloud. Answer the last "
    "message in at most three short spoken sentences: no lists, no markdown, no links. If you do not know, say so."
)
LOST = "I am sorry, the rest of the answer did not come through."


class Ask(Protocol):
    """The one way out: labels, budget, redaction and the record of it are behind this."""

    def __call__(self, request: LlmRequest, *, call: str, turn: int, purpose: str) -> AsyncIterator[LlmChunk]:
        """Stream an answer. Raises: EgressDenied, EngineError."""
        ...


@dataclass(slots=True)
class Expert:
    """One per server. `state`: whether this call may ask it now; `timeout_s`: to the first words, and between them."""

    name: str
    ask: Ask
    state: Callable[[str], ExpertState]
    end_call: Callable[[str], None] = lambda _call: None
    """Told when a call is over, so that what was kept for it is forgotten."""
    remote: bool = True
    timeout_s: float = 20.0
    max_tokens: int = 300
    prompt: str = PROMPT
    _waits_ms: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    @property
    def expected_ms(self) -> float | None:
        """The median wait for the first words of the last answers, in vain or not; None before the first."""
        return statistics.median(self._waits_ms) if self._waits_ms else None

    def request(self, messages: Sequence[Message], question: str, call: str) -> LlmRequest:
        """A self-contained question: our instructions, what was said lately, and the caller's words."""
        system = Message("system", self.prompt, label=messages[-1].label)
        talk = [message for message in messages[:-1] if message.role in ("user", "assistant") and message.text]
        last = Message("user", question, label=messages[-1].label)
        sampling = Sampling(max_tokens=self.max_tokens)
        return LlmRequest([system, *talk[-HISTORY_MESSAGES:], last], sampling=sampling, session=call)

    async def clauses(
        self, request: LlmRequest, call: str, turn: int, attempt: Attempt, purpose: str = "live"
    ) -> AsyncIterator[str]:
        """The answer as it comes; `attempt` is filled in meanwhile.

        Raises: EgressDenied, EngineError; EngineTimeout after `timeout_s` without a word.
        """
        splitter = ClauseSplitter()
        loop = asyncio.get_running_loop()
        asked = loop.time()
        attempt.prompt_chars = sum(len(one.text) for one in request.messages)
        chunks = self.ask(request, call=call, turn=turn, purpose=purpose)
        try:
            while (chunk := await self._next(chunks)) is not None:
                if isinstance(chunk, TextDelta):
                    if math.isnan(attempt.ttft_ms):
                        attempt.ttft_ms = (loop.time() - asked) * 1000
                        self._waits_ms.append(attempt.ttft_ms)
                    attempt.completion_chars += len(chunk.text)
                    attempt.text += chunk.text
                    for clause in splitter.push(chunk.text):
                        yield clause
                elif isinstance(chunk, LlmDone):
                    attempt.done = chunk
            for clause in splitter.flush():
                yield clause
        except EngineTimeout:
            if math.isnan(attempt.ttft_ms):
                self._waits_ms.append((loop.time() - asked) * 1000)
            raise
        finally:
            attempt.ms = (loop.time() - asked) * 1000

    async def _next(self, chunks: AsyncIterator[LlmChunk]) -> LlmChunk | None:
        try:
            async with asyncio.timeout(self.timeout_s):
                return await anext(chunks, None)
        except TimeoutError:
            raise EngineTimeout(f"{self.name} said nothing for {self.timeout_s:g} s") from None


class Errand:
    """One question in the background; `run` is its task. Cancellation: the request is cancelled with it."""

    def __init__(self, number: int, turn: int, question: str, report: Callable[[Event], None]) -> None:
        self.number = number
        self.turn = turn
        self.question = question
        self._report = report
        self._clauses: list[str] = []
        self._done = False
        self._more = asyncio.Event()

    async def run(self, answer: AsyncIterator[str], instead: Callable[[Exception], Awaitable[str]]) -> None:
        """Gather the answer. `instead` gives the words for when none comes: what failed, and the best local answer."""
        try:
            async for clause in answer:
                self._add(clause)
            if not self._clauses:
                raise EngineError("the expert's answer was empty")
        except (EgressDenied, EngineError) as error:
            if self._clauses:
                self._add(LOST)
            else:
                self._add(await instead(error), failed=True)
        finally:
            self._done = True
            self._more.set()

    def _add(self, clause: str, failed: bool = False) -> None:
        first = not self._clauses
        self._clauses.append(clause)
        self._more.set()
        if first:
            self._report(ErrandReady(self.number, "failed" if failed else "answered"))

    async def words(self) -> AsyncIterator[str]:
        """Every clause from the first on, as they come."""
        spoken = 0
        while True:
            while spoken < len(self._clauses):
                spoken += 1
                yield self._clauses[spoken - 1]
            if self._done:
                return
            self._more.clear()
            await self._more.wait()
