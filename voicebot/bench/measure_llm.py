"""Time to the first token with a cold and with a cached prefix, and tokens a second of one caller alone."""

from __future__ import annotations

import time
from dataclasses import dataclass

from voicebot.bench.measure import Figure, summary
from voicebot.bench.prompts import OTHER_QUESTION, QUESTION, SYSTEM
from voicebot.engines.base import LlmDone, LlmEngine, LlmRequest, Message, Sampling
from voicebot.lane import Lane

REPLY_TOKENS = 48


@dataclass(frozen=True, slots=True)
class _Reply:
    first_ms: float
    rest_s: float
    done: LlmDone


async def measure_llm(lane: Lane[LlmEngine], repeat: int, notes: list[str]) -> list[Figure]:
    """Raises: EngineError."""
    cold, cached, rates = [], [], []
    for run in range(repeat):
        prefix = f"{run} {SYSTEM}"  # A first word of its own: nothing of it can be in the cache.
        first = await _ask(lane, prefix, QUESTION)
        second = await _ask(lane, prefix, OTHER_QUESTION)
        cold.append(first.first_ms)
        cached.append(second.first_ms)
        rates += [(reply.done.completion_tokens - 1) / reply.rest_s for reply in (first, second) if reply.rest_s > 0]
    tokens, kept = second.done.prompt_tokens, second.done.cached_tokens
    notes.append(f"prompt of {tokens} tokens, {kept} of them cached; replies of {second.done.completion_tokens} tokens")
    notes.append("one caller alone: the engine answers one request at a time")
    figures = [summary("first token, cold prefix", "ms", cold), summary("first token, cached prefix", "ms", cached)]
    return [*figures, summary("tokens alone", "tokens/s", rates)] if rates else figures


async def _ask(lane: Lane[LlmEngine], prefix: str, question: str) -> _Reply:
    """The first token is the first chunk of any kind: text, a tool call, or the end."""
    sampling = Sampling(max_tokens=REPLY_TOKENS)
    request = LlmRequest([Message("system", prefix), Message("user", question)], sampling=sampling, session="bench")
    began = time.perf_counter()
    first, last = None, None
    async for chunk in lane.stream(lambda cancel: lane.engine.generate(request, cancel)):
        first, last = first or time.perf_counter(), chunk
    assert first is not None, "a reply that is not cancelled has chunks"
    assert isinstance(last, LlmDone), "and LlmDone is the last"
    return _Reply((first - began) * 1000, time.perf_counter() - first, last)
