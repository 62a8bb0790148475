"""A language model with declared replies, tool calls, delays and failures."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

from pydantic import Field, field_validator

from voicebot.engines.base import Cancel, LlmChunk, LlmDone, LlmRequest, TextDelta, ToolCall
from voicebot.engines.options import EngineSpec
from voicebot.engines.scripted import FailingOptions, FailurePlan, ScriptedEngine, pause
from voicebot.errors import EngineBadOutput

SESSIONS_KEPT = 64
"""Calls whose prompts are remembered; beyond, the one that asked longest ago is forgotten."""
_TOKEN = re.compile(r"\s*\S+|\s+$")


class ScriptedLlm(ScriptedEngine):
    """Answers with the next `reply` of its cycle, a word a token.

    With `tool`, a user's message is answered by the next of those tool calls, and its result by the next reply.
    """

    class Options(FailingOptions):
        reply: tuple[str, ...] = ("This is a scripted reply.",)
        tool: tuple[str, ...] = ()
        """Tool calls as JSON: {"name": ..., "arguments": {...}}."""
        first_token_ms: float = Field(0.0, ge=0)
        token_ms: float = Field(0.0, ge=0)
        prompt_word_ms: float = Field(0.0, ge=0)
        """For each word of the prompt that it has not read before in this session; 0: it keeps nothing of prompts."""
        fail_after_tokens: int = Field(0, ge=0)
        """How many tokens come before a planned failure."""
        logprob: float = Field(float("nan"), le=0)
        """The log-probability of each token, for `LlmDone`."""
        max_concurrency: int = Field(1, ge=1)

        @field_validator("tool")
        @classmethod
        def _is_a_tool_call(cls, calls: tuple[str, ...]) -> tuple[str, ...]:
            for call in calls:
                parsed = json.loads(call)
                if not isinstance(parsed, dict) or not isinstance(parsed.get("name"), str):
                    raise ValueError('a tool call is {"name": ..., "arguments": {...}}')
                if not isinstance(parsed.get("arguments", {}), dict):
                    raise ValueError("a tool call's arguments are a JSON object")
            return calls

    def __init__(self, spec: EngineSpec, options: Options) -> None:
        super().__init__(spec)
        self._options = options
        self.max_concurrency = options.max_concurrency
        self._replies = itertools.cycle(options.reply)
        self._calls = itertools.cycle([json.loads(call) for call in options.tool])
        self._call_numbers = itertools.count(1)
        self._plan = FailurePlan(spec.url, options)
        self._read: dict[str, list[str]] = {}

    @property
    def caches_prompts(self) -> bool:
        return self._options.prompt_word_ms > 0

    def generate(self, request: LlmRequest, cancel: Cancel) -> Iterator[LlmChunk]:
        words = [word for message in request.messages for word in message.text.split()]
        prompt_tokens, cached = len(words), self._read_prompt(request.session, words, cancel)
        if not request.sampling.max_tokens and not cancel.is_set():
            yield LlmDone("length", prompt_tokens, cached)
            return
        if pause(self._options.first_token_ms / 1000, cancel):
            return
        if self._options.fail_after_tokens == 0:
            self._plan.check()
        asked = request.messages and request.messages[-1].role == "user" and request.schema is None
        if self._options.tool and asked:
            call = self._next_call()
            yield call
            yield self._done("tool_calls", prompt_tokens, cached, 1)
            return
        yield from self._speak(request, prompt_tokens, cached, cancel)

    def _read_prompt(self, session: str, words: list[str], cancel: Cancel) -> int:
        """How many of the words were known. Cancelled: what was read until then is."""
        if not self.caches_prompts:
            return 0
        before = zip(self._read.pop(session, []), words, strict=False)
        read = known = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], before))
        while read < len(words) and not pause(self._options.prompt_word_ms / 1000, cancel):
            read += 1
        self._read[session] = words[:read]
        if len(self._read) > SESSIONS_KEPT:
            del self._read[next(iter(self._read))]
        return known

    def _speak(self, request: LlmRequest, prompt_tokens: int, cached: int, cancel: Cancel) -> Iterator[LlmChunk]:
        reply = next(self._replies)
        if request.schema is not None:
            _check_json(reply, self.name)
        tokens = _TOKEN.findall(reply)
        for index, token in enumerate(tokens[: request.sampling.max_tokens]):
            if index == self._options.fail_after_tokens > 0:
                self._plan.check()
            if index and pause(self._options.token_ms / 1000, cancel):
                return
            if cancel.is_set():
                return
            yield TextDelta(token)
        spoken = min(len(tokens), request.sampling.max_tokens)
        if not cancel.is_set():
            yield self._done("stop" if spoken == len(tokens) else "length", prompt_tokens, cached, spoken)

    def _next_call(self) -> ToolCall:
        call: dict[str, Any] = next(self._calls)
        return ToolCall(f"call_{next(self._call_numbers)}", call["name"], call.get("arguments", {}))

    def _done(self, reason: Any, prompt_tokens: int, cached: int, completion_tokens: int) -> LlmDone:
        logprob = self._options.logprob
        return LlmDone(reason, prompt_tokens, cached, completion_tokens, mean_logprob=logprob, min_logprob=logprob)


def _check_json(reply: str, name: str) -> None:
    """A script cannot bend to a schema; one that does not even try is refused. Raises: EngineBadOutput."""
    try:
        json.loads(reply)
    except json.JSONDecodeError as error:
        raise EngineBadOutput(
            f"{name} was asked for JSON by a schema, and its declared reply {reply[:80]!r} is none ({error}); "
            "declare a reply that fits"
        ) from error
