"""One reply in the making, on virtual time: what a draft may do, what waits for the commit, and how it fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any

from tests.sim.engines import BotWords, SimEngine, SimTts
from tests.sim.lane import Behaviour, VirtualLane
from tests.virtual_time import run
from voicebot.brain.agenda import Agenda
from voicebot.brain.reply import CLAUSES_AHEAD, Reply, message
from voicebot.brain.toolbox import Toolbox
from voicebot.brain.tools_runs import CallTools
from voicebot.core import events as ev
from voicebot.core.history import History, ToolUse
from voicebot.core.labels import Label
from voicebot.engines.base import (
    Cancel,
    LlmChunk,
    LlmDone,
    LlmRequest,
    Message,
    Pcm,
    Sampling,
    TextDelta,
    ToolCall,
    WordsAt,
)

QUICK = Behaviour((0.01, 0.01), (0.001, 0.001))
RATE_HZ = 8000


class ListedLlm(SimEngine):
    """Gives each generation the next of its lists of chunks; the last is repeated."""

    def __init__(self, *generations: Sequence[LlmChunk]) -> None:
        super().__init__("listed", Random(0))
        self.requests: list[list[Message]] = []
        self._generations = generations

    def generate(self, request: LlmRequest, _cancel: Cancel) -> Iterator[LlmChunk]:
        number = min(len(self.requests), len(self._generations) - 1)
        self.requests.append(list(request.messages))
        yield from self._generations[number]
        yield LlmDone("stop")


class TimedTts(SimTts):
    """Tells when it says its second word, at a sample rate twice that of the call."""

    def synthesize_words(self, text: str, cancel: Cancel) -> Iterator[Pcm | WordsAt]:
        self.sample_rate_hz = 2 * RATE_HZ
        yield WordsAt(((0, 0), (1, 4000)))
        yield from self.synthesize(text, cancel)


class ListedSink:
    """Takes all sound; `full` makes the maker wait."""

    def __init__(self) -> None:
        self.samples = 0
        self.completed: list[int] = []
        self.full = False

    def queue(self, _reply: int, pcm: Pcm) -> None:
        self.samples += len(pcm)

    def complete(self, reply: int) -> None:
        self.completed.append(reply)

    async def room(self, _reply: int) -> None:
        while self.full:
            await asyncio.sleep(0.1)


def no_tasks(_work: Any, _name: str) -> Any:
    raise AssertionError("the tools of these tests run at once")


class Made:
    """A reply with all around it."""

    def __init__(
        self,
        *generations: Sequence[LlmChunk],
        llm: Behaviour = QUICK,
        tts: Behaviour = QUICK,
        voice: type[SimTts] = SimTts,
    ) -> None:
        self.events: list[ev.Event] = []
        self.volumes: list[int] = []
        self.llm = ListedLlm(*generations)
        self.sink = ListedSink()
        self.lanes: list[VirtualLane[Any]] = [
            VirtualLane(self.llm, llm, Random(1)),
            VirtualLane(voice(Random(2), BotWords(), RATE_HZ), tts, Random(3)),
        ]
        agenda = Agenda(lambda _text: None, str, lambda: datetime(2030, 1, 1, tzinfo=UTC), self.volumes.append)
        self.tools = CallTools(Toolbox(), agenda, self.events.append, no_tasks)
        self.reply = Reply(5, self.lanes[1], self.sink, self.events.append, self.tools.for_reply(5, 1), RATE_HZ)

    async def answer(self) -> None:
        await self.reply.produce(self.attempt)

    async def attempt(self) -> None:
        await self.reply.attempt(self.lanes[0], [Message("user", "hello")], Sampling(), "call")

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def clauses(self) -> list[str]:
        return [event.text for event in self.of(ev.ClauseWritten)]


def make(made: Made, body: Callable[[asyncio.Task[None]], Any], work: Callable[[], Any] | None = None) -> None:
    async def world() -> None:
        for lane in made.lanes:
            lane.start()
        task = asyncio.create_task((work or made.answer)(), name="reply 5")
        await body(task)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for lane in made.lanes:
            await lane.aclose()

    run(world())


def committed(made: Made) -> Callable[[asyncio.Task[None]], Any]:
    async def body(task: asyncio.Task[None]) -> None:
        made.reply.commit()
        await asyncio.wait_for(task, 100)

    return body


async def left_alone(_task: asyncio.Task[None]) -> None:
    await asyncio.sleep(20)


VOLUME = ToolCall("c1", "set_volume", {"level": "30"})
SUM = ToolCall("c1", "calculate", {"expression": "seven times eight"})


def test_a_voice_that_knows_when_it_says_which_word_is_reported_at_the_calls_rate() -> None:
    made = Made([TextDelta("Hello there.")], voice=TimedTts)
    make(made, committed(made))
    assert [event.words for event in made.of(ev.AudioQueued) if event.words] == [((0, 0), (1, 2000))]


def test_a_committed_reply_writes_and_voices_all_clauses_in_order_and_completes() -> None:
    made = Made([TextDelta("Hello there. How "), TextDelta("are you today?")])
    make(made, committed(made))
    assert made.events[0] == ev.ReplyBegan(5, "listed")
    assert made.clauses == ["Hello there.", "How are you today?"]
    assert [event.clause for event in made.of(ev.AudioQueued) if event.done] == [0, 1]
    assert made.sink.samples == sum(event.samples for event in made.of(ev.AudioQueued)) > 0
    assert made.events[-1] == ev.ReplyCompleted(5) and made.sink.completed == [5]


def test_a_draft_voices_its_first_clause_only() -> None:
    made = Made([TextDelta("Hello there. How are you today?")])
    make(made, left_alone)
    assert made.clauses == ["Hello there.", "How are you today?"]
    assert {event.clause for event in made.of(ev.AudioQueued)} == {0}
    assert not made.of(ev.ReplyCompleted)


def test_a_tool_that_acts_waits_for_the_commit() -> None:
    made = Made([VOLUME])

    async def body(task: asyncio.Task[None]) -> None:
        await asyncio.sleep(20)
        assert made.volumes == [] and not made.of(ev.ToolFinished)
        made.reply.commit()
        await asyncio.wait_for(task, 10)

    make(made, body)
    assert made.volumes == [30]
    (finished,) = made.of(ev.ToolFinished)
    assert finished.acting and finished.name == "set_volume" and finished.call_id == "c1"


def test_a_cancelled_draft_never_acts() -> None:
    made = Made([VOLUME])

    async def body(task: asyncio.Task[None]) -> None:
        await asyncio.sleep(5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    make(made, body)
    assert made.volumes == [] and not made.of(ev.ToolFinished)


def test_a_reply_cancelled_in_the_very_step_of_its_commit_does_not_act() -> None:
    made = Made([VOLUME])

    async def body(task: asyncio.Task[None]) -> None:
        await asyncio.sleep(5)
        made.reply.commit()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    make(made, body)
    assert len(made.of(ev.ToolFinished)) == len(made.volumes), "what acted must be on record"


def test_a_tool_that_looks_something_up_runs_in_the_draft_and_its_words_are_spoken() -> None:
    made = Made([SUM])
    make(made, left_alone)
    (finished,) = made.of(ev.ToolFinished)
    assert not finished.acting
    assert made.clauses == [finished.speech] and "fifty" in finished.speech
    assert len(made.llm.requests) == 1, "a result that speaks for itself needs no second generation"


def test_an_unknown_tool_is_said_to_be_none_and_harms_nothing() -> None:
    made = Made([ToolCall("c9", "launch_rocket", {})])
    make(made, committed(made))
    (finished,) = made.of(ev.ToolFinished)
    assert "error" in finished.value and made.clauses and made.events[-1] == ev.ReplyCompleted(5)


def test_two_tools_of_one_generation_run_in_order() -> None:
    made = Made([SUM, ToolCall("c2", "set_volume", {"level": "80"})])
    make(made, committed(made))
    assert [event.name for event in made.of(ev.ToolFinished)] == ["calculate", "set_volume"]


def test_a_model_that_fails_is_reported_as_the_llm_stage() -> None:
    made = Made([TextDelta("never")], llm=Behaviour((0.01, 0.01), fails=1.0, refuses=1.0))
    make(made, committed(made))
    (failed,) = made.of(ev.ReplyFailed)
    assert failed.stage == "llm" and "listed" in failed.reason and made.sink.completed == [5]


def test_a_voice_that_fails_is_reported_as_the_tts_stage_and_ends_the_model_too() -> None:
    made = Made([TextDelta("Hello there. " * 50)], tts=Behaviour((0.01, 0.01), fails=1.0, refuses=1.0))
    make(made, committed(made))
    (failed,) = made.of(ev.ReplyFailed)
    assert failed.stage == "tts" and made.sink.completed == [5]


def test_the_model_is_never_more_than_its_clauses_ahead_of_the_voice() -> None:
    made = Made([TextDelta(f"Sentence number {n} ends here. ") for n in range(60)])
    make(made, left_alone)
    assert len(made.clauses) <= CLAUSES_AHEAD + 4


def test_the_voice_waits_while_the_playout_is_full() -> None:
    made = Made([TextDelta("One two three four five six. Seven eight nine ten.")])
    made.sink.full = True

    async def body(task: asyncio.Task[None]) -> None:
        made.reply.commit()
        await asyncio.sleep(5)
        assert len(made.of(ev.AudioQueued)) == 1
        made.sink.full = False
        await asyncio.wait_for(task, 10)

    make(made, body)
    assert made.events[-1] == ev.ReplyCompleted(5)


def test_fixed_words_are_spoken_without_a_model_and_a_failing_voice_is_told() -> None:
    made = Made([])
    make(made, left_alone, lambda: made.reply.speak("Hello there. I am here."))
    assert made.clauses == ["Hello there.", "I am here."] and made.events[-1] == ev.ReplyCompleted(5)
    assert made.llm.requests == []
    broken = Made([], tts=Behaviour((0.01, 0.01), fails=1.0, refuses=1.0))
    make(broken, left_alone, lambda: broken.reply.speak("Hello."))
    assert [event.stage for event in broken.of(ev.ReplyFailed)] == ["tts"]


def test_a_talk_becomes_messages_with_its_tools_whole_and_its_labels() -> None:
    history = History(12)
    exchange = history.add(1, "set it to thirty")
    exchange.tools.append(ToolUse("c1", "set_volume", {"level": "30"}, {"percent": 30}))
    exchange.bot = "Volume is"
    exchange.interrupted = True
    messages = [message(line, Label.OPEN) for line in history.lines()]
    assert [one.role for one in messages] == ["user", "assistant", "tool", "assistant"]
    assert messages[1].tool_calls == (ToolCall("c1", "set_volume", {"level": "30"}),)
    assert json.loads(messages[2].text) == {"percent": 30} and messages[2].tool_call_id == "c1"
    assert messages[3].text.startswith("Volume is") and messages[3].text != "Volume is"
    assert {one.label for one in messages} == {Label.OPEN}
    assert message(history.lines()[0]).label is Label.LOCAL_ONLY
