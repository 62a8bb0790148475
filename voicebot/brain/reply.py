"""The making of one reply: words -> clauses -> sound, reported to the turn machine as it goes.

    whoever writes --put--> clause queue (at most CLAUSES_AHEAD) --> tts lane --PCM--> the call's speaker
    attempt: llm lane --text--> ClauseSplitter --put-->

Until its turn is committed a reply is a draft: it may write clauses and voice the FIRST of them, and run tools that
only look something up; the second clause and tools that act wait for `commit`.
Sees engines only through `engines.base`.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

from voicebot.brain.phrases import Phrases, converted, split
from voicebot.brain.privacy import prompt_label
from voicebot.brain.spans import as_said
from voicebot.brain.tools_runs import ReplyTools
from voicebot.brain.tools_types import HANDED_OVER, ToolResult
from voicebot.core.audio import Pcm
from voicebot.core.events import (
    AudioQueued,
    ClauseWritten,
    Event,
    ReplyBegan,
    ReplyCompleted,
    ReplyFailed,
    Stage,
    ToolFinished,
)
from voicebot.core.history import Line
from voicebot.core.labels import Label
from voicebot.core.text import ClauseSplitter
from voicebot.core.wishes import NO_WISHES, Wishes
from voicebot.engines.base import (
    Cancel,
    LlmDone,
    LlmEngine,
    LlmRequest,
    Message,
    Sampling,
    TextDelta,
    TimesWords,
    ToolCall,
    TtsEngine,
    WordsAt,
)
from voicebot.errors import EngineBadOutput, EngineError
from voicebot.lane import LaneLike

CLAUSES_AHEAD = 8
TOOL_ROUNDS = 4
"""Generations of one reply: a model that goes on calling tools without a word is stopped there."""


@dataclass(frozen=True, slots=True)
class ReplySettings:
    """How replies are made. `system_prompt` may be "" for a model that has its job in its weights."""

    system_prompt: str = ""
    sampling: Sampling = field(default_factory=Sampling)


class Sink(Protocol):
    """Where a reply's sound goes."""

    def queue(self, reply: int, pcm: Pcm) -> None: ...

    def complete(self, reply: int) -> None: ...

    async def room(self, reply: int) -> None: ...


class _StageFailed(Exception):
    def __init__(self, stage: Stage, error: EngineError) -> None:
        super().__init__(str(error))
        self.stage = stage


class Rejected(Exception):
    """An attempt's answer is not good enough to be spoken; nothing of it was."""


Gate = Callable[[LlmDone], str]
"""Why an answer is rejected, "" if it is accepted."""
Write = Callable[[], Awaitable[None]]
Phrase = Callable[[ToolCall, ToolResult], Awaitable[str]]


@dataclass(slots=True)
class Attempt:
    """What one model did for a reply. `ttft_ms`: to its first text or tool call; NaN where there was none."""

    engine: str
    ttft_ms: float = math.nan
    ms: float = 0.0
    done: LlmDone | None = None
    """Token counts and log-probabilities; None if it did not end by itself."""
    prompt_chars: int = 0
    completion_chars: int = 0
    """For an estimate where the engine counts no tokens."""
    text: str = field(default="", repr=False)
    calls: list[ToolCall] = field(default_factory=list, repr=False)
    """What it said and asked for; for whoever compares answers, and never for the books."""
    tools: Sequence[dict[str, Any]] = ()
    """Those that it was offered, in the OpenAI chat format."""


def message(line: Line, label: Label = Label.LOCAL_ONLY) -> Message:
    """A line of the history as a message of a prompt; one that nobody labelled stays on this machine."""
    if line.tool is None:
        return Message(line.role, line.text, label=label)
    if line.role == "tool":
        return Message("tool", json.dumps(line.tool.value), tool_call_id=line.tool.call_id, label=label)
    call = ToolCall(line.tool.call_id, line.tool.name, line.tool.arguments)
    return Message("assistant", tool_calls=(call,), label=label)


class Reply:
    """One reply in the making; a task runs `answer` or `speak`. Cancellation: both lanes stop at their next chunk."""

    def __init__(
        self,
        number: int,
        tts: LaneLike[TtsEngine],
        sink: Sink,
        report: Callable[[Event], None],
        tools: ReplyTools,
        playout_rate_hz: int,
        phrases: Phrases | None = None,
    ) -> None:
        """`phrases`: words whose sound is there already."""
        self.wishes: Wishes = NO_WISHES
        self._number = number
        self._phrases = phrases or Phrases()
        self._tts = tts
        self._sink = sink
        self._report = report
        self._tools = tools
        self._done: list[Message] = []
        """Tools that ran for it and what came of them, for the next attempt if one fails."""
        self._rate_hz = playout_rate_hz
        self._committed = asyncio.Event()
        self._clauses: asyncio.Queue[str | None] = asyncio.Queue(CLAUSES_AHEAD)
        self._written = 0

    def commit(self) -> None:
        """The turn stands: act, and voice the rest."""
        self._committed.set()

    @property
    def number(self) -> int:
        return self._number

    @property
    def stands(self) -> bool:
        """Whether its turn does."""
        return self._committed.is_set()

    @property
    def written(self) -> int:
        """Clauses put so far."""
        return self._written

    async def committed(self) -> None:
        """Wait until the turn stands."""
        await self._committed.wait()

    async def produce(self, write: Write) -> None:
        """Voice what `write` puts. Failures are reported, not raised."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._write(write), name=f"reply {self._number} words")
                group.create_task(self._voice(), name=f"reply {self._number} tts")
        except* _StageFailed as failures:
            failed = failures.exceptions[0]
            assert isinstance(failed, _StageFailed)
            self._end(ReplyFailed(self._number, failed.stage, str(failed)))
        else:
            self._end(ReplyCompleted(self._number))

    async def deliver(self, words: AsyncIterator[str], introduction: str) -> None:
        """Voice an answer that is still being written, committed from the start. Failures are reported, not raised."""
        self.commit()

        async def write() -> None:
            for clause in split(introduction):
                await self.put(clause)
            async for clause in words:
                await self.put(clause)

        await self.produce(write)

    async def speak(self, text: str) -> None:
        """Voice fixed words, committed from the start."""
        self.commit()
        try:
            for clause in split(text):
                self._write_clause(clause)
                await self._voice_clause(self._written - 1, clause)
        except _StageFailed as failed:
            self._end(ReplyFailed(self._number, failed.stage, str(failed)))
        else:
            self._end(ReplyCompleted(self._number))

    def _end(self, outcome: ReplyCompleted | ReplyFailed) -> None:
        self._sink.complete(self._number)
        self._report(outcome)

    # ---- words

    async def _write(self, write: Write) -> None:
        try:
            await write()
        except EngineError as error:
            raise _StageFailed("llm", error) from error
        await self._clauses.put(None)

    async def attempt(
        self,
        llm: LaneLike[LlmEngine],
        messages: list[Message],
        sampling: Sampling,
        session: str,
        gate: Gate | None = None,
        attempt: Attempt | None = None,
        offered: Collection[str] | None = None,
    ) -> Attempt:
        """Have a model answer, its tools run, and its clauses put as they are complete.

        With a `gate` nothing is put and no tool runs before the whole answer has passed it. `attempt` is filled in as
        it goes, so that one that fails is on record too. `offered`: the tools that it may use, None for all. What ran
        in an attempt that failed is told to the next. Raises: Rejected, EngineError.
        """
        self._report(ReplyBegan(self._number, llm.engine.name))
        label = prompt_label(one for one in messages if one.role != "system")
        schema = self._tools.begin(label, offered, self.wishes)
        attempt = attempt or Attempt(llm.engine.name)
        attempt.tools = schema
        messages = [*messages, *self._done]
        for _ in range(TOOL_ROUNDS):
            request = LlmRequest([*messages], schema, sampling, session, self.wishes.schema)
            calls = await self._generate(llm, request, attempt, gate)
            if not calls or not await self._run_tools(calls, messages, partial(self._phrase, llm, request)):
                return attempt
        raise EngineBadOutput(f"{llm.engine.name} called tools {TOOL_ROUNDS} times without saying a word")

    async def _generate(
        self, llm: LaneLike[LlmEngine], request: LlmRequest, attempt: Attempt, gate: Gate | None
    ) -> list[ToolCall]:
        """One generation; the tool calls that it ends with come back."""
        splitter, calls, held = self._splitter(), list[ToolCall](), list[str]()
        loop = asyncio.get_running_loop()
        began = loop.time()
        attempt.prompt_chars += sum(len(one.text) for one in request.messages)
        chunks = llm.stream(lambda cancel: llm.engine.generate(request, cancel))
        async for chunk in chunks:
            if math.isnan(attempt.ttft_ms):
                attempt.ttft_ms = (loop.time() - began) * 1000
            match chunk:
                case TextDelta(text):
                    attempt.completion_chars += len(text)
                    attempt.text += text
                    held += splitter.push(text)
                    if gate is None:
                        await self._put_all(held)
                case ToolCall():
                    calls.append(chunk)
                    attempt.calls.append(chunk)
                case LlmDone():
                    attempt.done = chunk
        attempt.ms += (loop.time() - began) * 1000
        if gate is not None and attempt.done is not None and (why := gate(attempt.done)):
            raise Rejected(why)
        await self._put_all([*held, *splitter.flush()])
        return calls

    def _splitter(self) -> ClauseSplitter:
        """What cuts a model's text into pieces to put."""
        return ClauseSplitter()

    async def _put_all(self, clauses: list[str]) -> None:
        """Put and empty the list."""
        while clauses:
            await self.put(clauses.pop(0))

    async def _run_tools(self, calls: list[ToolCall], messages: list[Message], phrase: Phrase) -> bool:
        """Run them in order; True if the model must phrase a result, because a tool had nothing to say itself.

        Once a tool is the client's to run, the model is not asked again: it will be, with all results.
        """
        ask_again, handed_over = False, False
        turns = [one.text for one in messages if one.role == "user"]
        for call in (as_said(call, turns) for call in calls):
            result = await self._tools.run(call, self._committed.wait, partial(phrase, call))
            if result is HANDED_OVER:
                handed_over = True
                continue
            told = _told(call, result)
            messages += told
            self._done += [] if result.failed else told
            for clause in split(result.speech):
                await self.put(clause)
            ask_again |= not result.speech
        return ask_again and not handed_over

    async def _phrase(self, llm: LaneLike[LlmEngine], request: LlmRequest, call: ToolCall, result: ToolResult) -> str:
        """A result that came too late for the reply, in the model's words."""
        asked = replace(request, messages=[*request.messages, *_told(call, result)], tools=())
        chunks = llm.stream(lambda cancel: llm.engine.generate(asked, cancel))
        return "".join([chunk.text async for chunk in chunks if isinstance(chunk, TextDelta)]).strip()

    def record(self, name: str, value: dict[str, Any]) -> None:
        """What a specialist found, on record beside the tools of this reply."""
        self._report(ToolFinished(self._number, f"{name} {self._number}", name, value, {}, "", acting=False))

    async def say(self, text: str) -> None:
        """Words that are there in whole."""
        for clause in split(text):
            await self.put(clause)

    async def put(self, clause: str) -> None:
        """The next clause of the reply, speakable."""
        self._write_clause(clause)
        await self._clauses.put(clause)

    def _write_clause(self, clause: str) -> None:
        self._report(ClauseWritten(self._number, self._written, clause))
        self._written += 1

    # ---- sound

    async def _voice(self) -> None:
        voiced = 0
        while (clause := await self._clauses.get()) is not None:
            if voiced:
                await self._committed.wait()
            await self._voice_clause(voiced, clause)
            voiced += 1

    async def _voice_clause(self, clause: int, text: str) -> None:
        if (kept := self._phrases.find(text, self._rate_hz)) is not None:
            await self._queue(clause, kept)
        else:
            await self._synthesize(clause, text)
        self._report(AudioQueued(self._number, clause, 0, done=True))

    async def _synthesize(self, clause: int, text: str) -> None:
        try:
            async for part in self._tts.stream(partial(_synthesize, self._tts.engine, text, self._rate_hz)):
                if isinstance(part, WordsAt):
                    self._report(AudioQueued(self._number, clause, 0, done=False, words=part.starts))
                else:
                    await self._queue(clause, part)
        except EngineError as error:
            raise _StageFailed("tts", error) from error

    async def _queue(self, clause: int, pcm: Pcm) -> None:
        self._sink.queue(self._number, pcm)
        self._report(AudioQueued(self._number, clause, len(pcm), done=False))
        await self._sink.room(self._number)


def _synthesize(tts: TtsEngine, text: str, rate_hz: int, cancel: Cancel) -> Iterator[Pcm | WordsAt]:
    """One clause at the playout rate, and where its words are if the voice knows. Thread: the TTS lane."""
    if not isinstance(tts, TimesWords):
        yield from converted(tts.synthesize(text, cancel), tts.sample_rate_hz, rate_hz)
        return
    told: list[WordsAt] = []

    def sound(parts: Iterator[Pcm | WordsAt]) -> Iterator[Pcm]:
        for part in parts:
            if isinstance(part, WordsAt):
                told.append(part)
            else:
                yield part

    for pcm in converted(sound(tts.synthesize_words(text, cancel)), tts.sample_rate_hz, rate_hz):
        while told:
            starts = told.pop(0).starts
            yield WordsAt(tuple((number, at * rate_hz // tts.sample_rate_hz) for number, at in starts))
        yield pcm


def _told(call: ToolCall, result: ToolResult) -> list[Message]:
    """A tool's call and its result, as a model is shown them."""
    answer = Message("tool", json.dumps(result.value), tool_call_id=call.call_id)
    return [Message("assistant", tool_calls=(call,)), answer]
