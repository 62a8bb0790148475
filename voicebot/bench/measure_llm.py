"""Time to the first token with a cold and with a cached prefix, and tokens a second: of one caller and of several."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from voicebot.bench.measure import Figure, summary
from voicebot.bench.prompts import OTHER_QUESTION, QUESTION, SYSTEM
from voicebot.engines.base import CachesPrompts, LlmDone, LlmEngine, LlmRequest, Message, Sampling
from voicebot.lane import Lane

REPLY_TOKENS = 48
AHEAD_WORDS = 12
TURNS = 4
"""Questions that each of several callers asks, one after the other."""
CALLS = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True)
class _Reply:
    first_ms: float
    rest_s: float
    done: LlmDone


@dataclass(frozen=True, slots=True)
class _Level:
    """What one level of concurrency gave."""

    tokens_s: float
    first_ms: list[float]


async def measure_llm(
    lane: Lane[LlmEngine], repeat: int, notes: list[str], calls: Sequence[int] = CALLS
) -> list[Figure]:
    """`calls`: how many callers at once. Raises: EngineError."""
    cold, cached, ahead, rates = [], [], [], []
    for run in range(repeat):
        prefix = f"{run} {SYSTEM}"  # A first word of its own: nothing of it can be in the cache.
        first = await _ask(lane, prefix, QUESTION)
        second = await _ask(lane, prefix, OTHER_QUESTION)
        cold.append(first.first_ms)
        cached.append(second.first_ms)
        if isinstance(lane.engine, CachesPrompts) and lane.engine.caches_prompts:
            await _ask(lane, prefix, " ".join(QUESTION.split()[:AHEAD_WORDS]), 0)
            ahead.append((await _ask(lane, prefix, QUESTION, 1)).first_ms)
        rates += [(reply.done.completion_tokens - 1) / reply.rest_s for reply in (first, second) if reply.rest_s > 0]
    tokens, kept = second.done.prompt_tokens, second.done.cached_tokens
    notes.append(f"prompt of {tokens} tokens, {kept} of them cached; replies of {second.done.completion_tokens} tokens")
    figures = [summary("first token, cold prefix", "ms", cold), summary("first token, cached prefix", "ms", cached)]
    figures += [summary(f"first token, {AHEAD_WORDS} of 16 words read ahead", "ms", ahead)] if ahead else []
    figures += [summary("tokens alone", "tokens/s", rates)] if rates else []
    return figures + await _measure_levels(lane, repeat, calls, notes)


async def _measure_levels(lane: Lane[LlmEngine], repeat: int, calls: Sequence[int], notes: list[str]) -> list[Figure]:
    """The levels take turns, so that a machine which slows down slows all of them."""
    runs = [[await _measure_level(lane, level) for level in calls] for _ in range(repeat)]
    figures = []
    for level, results in zip(calls, zip(*runs, strict=True), strict=True):
        firsts = [np.percentile(result.first_ms, (50, 95)).tolist() for result in results]
        who = f"{level} call{'s' if level > 1 else ''}"
        figures.append(summary(f"tokens in all, {who}", "tokens/s", [result.tokens_s for result in results]))
        figures.append(summary(f"first token p50, {who}", "ms", [p50 for p50, _ in firsts]))
        figures.append(summary(f"first token p95, {who}", "ms", [p95 for _, p95 in firsts]))
    if calls:
        notes.append(f"several calls: each asks {TURNS} questions on the cached prefix, as soon as it is answered")
    return figures


async def _measure_level(lane: Lane[LlmEngine], calls: int) -> _Level:
    """`calls` callers, out of step with each other as calls are: their first replies have different lengths."""
    lengths = [max(1, REPLY_TOKENS * (call + 1) // calls) for call in range(calls)]
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_talk(lane, call, length), name=f"caller {call}") for call, length in enumerate(lengths)
        ]
    took_s = time.perf_counter() - began
    replies = [reply for task in tasks for reply in task.result()]
    tokens = sum(reply.done.completion_tokens for reply in replies)
    later = [reply.first_ms for task in tasks for reply in task.result()[1:]]
    return _Level(tokens / took_s, later)


async def _talk(lane: Lane[LlmEngine], call: int, first_tokens: int) -> list[_Reply]:
    """The first question is asked by all at once, and not counted as a wait."""
    replies = []
    for turn in range(TURNS + 1):
        question = f"{OTHER_QUESTION if turn % 2 else QUESTION} call {call}"
        tokens = REPLY_TOKENS if turn else first_tokens
        replies.append(await _ask(lane, SYSTEM, question, tokens, f"call {call}"))
    return replies


async def _ask(
    lane: Lane[LlmEngine], prefix: str, question: str, tokens: int = REPLY_TOKENS, session: str = "bench"
) -> _Reply:
    """The first token is the first chunk of any kind: text, a tool call, or the end."""
    messages = [Message("system", prefix), Message("user", question)]
    request = LlmRequest(messages, sampling=Sampling(max_tokens=tokens), session=session)
    began = time.perf_counter()
    first, last = None, None
    async for chunk in lane.stream(lambda cancel: lane.engine.generate(request, cancel)):
        first, last = first or time.perf_counter(), chunk
    assert first is not None, "a reply that is not cancelled has chunks"
    assert isinstance(last, LlmDone), "and LlmDone is the last"
    return _Reply((first - began) * 1000, time.perf_counter() - first, last)
