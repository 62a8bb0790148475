"""The shell of one call: scripted callers on virtual time, and one call through real lanes and scripted engines."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from tests import virtual_time
from tests.leaks import no_leaked_tasks
from tests.sim.engines import NOISE, SimVad
from tests.sim.script import Script, perform
from tests.sim.world import CountingMetrics
from voicebot.brain.answer import brain_of_one
from voicebot.brain.reply import ReplySettings
from voicebot.core.settings import TurnSettings
from voicebot.core.trace import replay
from voicebot.engines.base import ToolCall
from voicebot.engines.registry import create
from voicebot.errors import EngineError
from voicebot.lane import Lane
from voicebot.recorder import TraceWriter
from voicebot.session import TYPED_CHARS, CallDeps, Session
from voicebot.transports.loopback import LoopbackTransport
from voicebot.windows import WindowBatch

LONG = "River table seven green window letter. Garden morning copper silver planet market. Winter summer circle basket."


async def ask(world: Script) -> None:
    await world.say("what is next")
    await world.until("speaking")
    await world.until("listening")


def test_a_turn_is_heard_answered_and_remembered() -> None:
    world = perform(ask)
    assert world.exchanges == [("what is next", "River table seven.")]
    assert world.metrics.turns == 1 and world.metrics.counts["committed"] == 1
    (turn,) = world.session.turns.values()
    assert turn["heard"] == "what is next" and turn["reply"] == "River table seven." and turn["ended"]
    assert 200 <= turn["v2v_ms"] < 700


def test_a_wait_ends_with_the_speech_nearest_to_it_and_not_with_the_next_whole_window() -> None:
    """Speech comes 20 ms at a time here, and windows have 32."""
    ends: set[int] = set()
    for wait_ms in (325, 330, 335, 340, 345):
        world = perform(ask, min_wait_ms=wait_ms, max_wait_ms=wait_ms)
        events = [json.loads(line) for line in world.writer.lines() if '"command"' not in line][1:]
        ends |= {event["stop_sample"] for event in events if event.get("event") == "SilenceLasted"}
        (turn,) = world.session.turns.values()
        assert abs(turn["waterfall"]["stages"][0]["stop_ms"] - wait_ms) < 20
    assert len(ends) >= 3 and all(end % 512 for end in ends)
    assert {bool(end % 320) for end in ends} == {False, True}, "some pieces fill it, some nearly do"


def test_while_the_caller_speaks_the_model_reads_ahead_and_answers_once() -> None:
    async def act(world: Script) -> None:
        world.llm.engine.caches_prompts = True
        await world.say("river table seven green window letter")
        await world.until("speaking")
        await world.until("listening")

    world = perform(act, "Garden morning.")
    read = world.llm.engine.read
    assert read[0] == "" and "river table seven" in read
    assert all("river table seven green window letter".startswith(words) for words in read)
    assert world.prompts == [["river table seven green window letter"]]
    assert world.exchanges == [("river table seven green window letter", "Garden morning.")]
    assert world.metrics.counts["read_ahead"] == len(read)


@pytest.mark.parametrize("how", ["typed", "heard at last"])
def test_words_that_are_answered_as_soon_as_they_are_known_are_in_the_prompt_once(how: str) -> None:
    """No draft of the answer came before: the turn is in the history by the time that the model is asked."""

    async def act(world: Script) -> None:
        if how == "typed":
            world.session.push_text("what is next")
        else:
            await world.say("what is next")
        await world.until("speaking")
        await world.until("listening")

    world = perform(act, min_wait_ms=64, max_wait_ms=64)
    assert world.prompts == [["what is next"]]


def test_a_backchannel_over_the_bot_pauses_it_and_takes_nothing_from_it() -> None:
    async def act(world: Script) -> None:
        await world.say("what is next")
        await world.until("speaking")
        await asyncio.sleep(1)
        await world.say("okay")
        await world.until("paused")
        await world.until("speaking")
        await world.until("listening")

    world = perform(act, LONG)
    assert world.exchanges == [("what is next", LONG)]
    assert world.metrics.counts["resumed"] == 1 and not world.metrics.counts["barge_ins"]


def test_a_cough_does_not_stop_the_bot() -> None:
    async def act(world: Script) -> None:
        await world.say("what is next")
        await world.until("speaking")
        await asyncio.sleep(1)
        await world.cough()
        await world.until("listening")

    world = perform(act, LONG)
    assert world.exchanges == [("what is next", LONG)] and world.metrics.counts["resumed"] == 1


def test_an_interruption_cuts_the_reply_and_the_history_to_what_was_heard() -> None:
    async def act(world: Script) -> None:
        await world.say("what is next")
        await world.until("speaking")
        await asyncio.sleep(2.5)
        await world.say("tell me about copper instead")
        await world.until("listening")

    world = perform(act, LONG, "Copper it is.")
    (first, cut), second = world.exchanges
    assert LONG.startswith(cut) and 3 <= len(cut.split()) <= 12
    assert second == ("tell me about copper instead", "Copper it is.")
    assert any(text.startswith(cut) and text != LONG for text in world.prompts[-1][1:])


def test_going_on_just_after_the_reply_began_reopens_the_turn() -> None:
    async def act(world: Script) -> None:
        await world.say("what is next")
        await world.until("speaking")
        await asyncio.sleep(0.1)
        await world.say("on the green table")
        await world.until("listening")

    world = perform(act, LONG, "Copper it is.")
    assert world.exchanges == [("what is next on the green table", "Copper it is.")]
    assert world.metrics.counts["reopened"] == 1


@pytest.mark.parametrize("engine", ["sim stt", "script llm"])
def test_an_engine_that_fails_is_apologised_for(engine: str) -> None:
    world = perform(ask, failing=engine)
    assert "Sorry, something went wrong. Please say that again." in [bot for _, bot in world.exchanges]


def test_a_voice_that_fails_is_told_on_the_screen() -> None:
    async def act(world: Script) -> None:
        await world.say("what is next")
        await world.until("listening")

    world = perform(act, failing="sim tts")
    assert any('"PublishError"' in line for line in world.writer.lines())


def test_a_tool_turn_acts_once_and_says_so() -> None:
    world = perform(ask, ToolCall("c1", "set_volume", {"level": "30"}))
    assert world.wire.volumes == [30]
    assert "thirty" in world.exchanges[0][1]


def test_a_timer_that_is_up_is_said_in_the_next_gap() -> None:
    async def act(world: Script) -> None:
        await world.say("start it")
        await world.until("speaking")
        await world.until("listening")
        await world.until("speaking")
        await world.until("listening")

    world = perform(act, ToolCall("c1", "set_timer", {"duration": "ten seconds"}))
    assert "is up" in world.exchanges[-1][1] and world.exchanges[-1][0] == ""


def test_hanging_up_in_mid_word_closes_everything_and_keeps_the_trace_whole() -> None:
    async def act(world: Script) -> None:
        await world.say("what is next")
        world.wire.say(world.caller_words.say("half", 400))
        await asyncio.sleep(0.2)

    world = perform(act)
    assert '"end":"caller hung up"' in world.writer.lines()[-1]
    assert world.wire.closed and world.wire.state == "ended"


def test_typed_words_are_a_turn_and_very_long_ones_are_cut() -> None:
    async def act(world: Script) -> None:
        world.session.push_text("x" * (TYPED_CHARS + 50))
        await world.until("speaking")
        await world.until("listening")

    assert perform(act).exchanges == [("x" * TYPED_CHARS, "River table seven.")]


def test_what_was_heard_is_known_without_any_speech_from_the_caller() -> None:
    """A caller who types may have no microphone: no window ever tells how far the reply has got."""

    async def act(world: Script) -> None:
        world.wire.mute = True
        world.session.push_text("what is next")
        await world.until("speaking")
        await asyncio.sleep(3)
        world.session.push_text("stop that")
        await world.until("listening")

    world = perform(act, LONG, "Stopped.")
    cut = world.exchanges[0][1]
    assert LONG.startswith(cut) and 5 <= len(cut.split()) <= 12


def test_the_idle_limit_ends_the_call_from_our_side() -> None:
    async def act(world: Script) -> None:
        await asyncio.sleep(12)

    world = perform(act, idle_ms=5000, greeting="Hello there.")
    assert '"end":"idle limit reached"' in world.writer.lines()[-1]


# ---- life and death


def _deps(writer: TraceWriter | None = None, **lanes: Any) -> CallDeps:
    def no_lane(_: Any) -> Any:
        raise AssertionError("no engine is asked in this test")

    lanes = {"vad": SimVad("vad", Random(1)), "stt": None, "llm": None, "tts": None} | lanes
    llm, vad = lanes.pop("llm"), lanes.pop("vad")
    return CallDeps(
        vad=WindowBatch(vad),
        **lanes,
        brain=brain_of_one(llm, ReplySettings()),
        turn=TurnSettings(),
        open_recorder=writer.open if writer else no_lane,
        metrics=CountingMetrics(),
        info={"version": "test"},
    )


def _trace(session: Session) -> list[str]:
    return Path(session.trace_path).read_text().splitlines()


def on_a_call(tmp_path: Path, body: Callable[[Session, LoopbackTransport], Any], **lanes: Any) -> list[str]:
    """Run `body` on a fresh session in virtual time; the trace's lines."""
    writer = TraceWriter(tmp_path, 10)
    writer.start()

    async def world() -> Session:
        transport = LoopbackTransport()
        session = Session("one", transport, _deps(writer, **lanes))
        transport.attach(session)
        await body(session, transport)
        return session

    try:
        session = virtual_time.run(world())
    finally:
        writer.close()
    lines = _trace(session)
    assert replay(lines) is None
    return lines


def test_before_it_runs_a_call_takes_nothing_and_a_hang_up_ends_it_at_once(tmp_path: Path) -> None:
    async def body(session: Session, transport: LoopbackTransport) -> None:
        session.push_text("too early")
        session.push_digit("1")
        session.push_audio(np.full(5000, NOISE, np.int16))
        assert session.pull_audio(320) is None
        session.hang_up("gone before it began")
        await asyncio.wait_for(session.run(), 1)
        assert session.ended and transport.closed_reason == "gone before it began"

    lines = on_a_call(tmp_path, body)
    assert not any("too early" in line for line in lines)


def test_a_call_that_is_cancelled_is_closed_all_the_same(tmp_path: Path) -> None:
    async def body(session: Session, transport: LoopbackTransport) -> None:
        task = asyncio.create_task(session.run())
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert session.ended and transport.closed_reason == "server stopped"

    assert '"end":"server stopped"' in on_a_call(tmp_path, body)[-1]


def test_a_fault_of_ours_ends_this_call_says_so_and_takes_no_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A recogniser's lane that is missing stands for any programmer's error in a command."""

    async def body(session: Session, transport: LoopbackTransport) -> None:
        task = asyncio.create_task(session.run())
        await asyncio.sleep(0.1)
        session.push_text("what is next")  # There is no model to ask.
        await asyncio.wait_for(task, 2)
        assert session.ended and transport.closed_reason == "internal error"
        session.push_text("anybody")
        session.push_audio(np.full(5000, NOISE, np.int16))
        assert not session._events, "a dead call gathers no events"

    assert '"end":"internal error"' in on_a_call(tmp_path, body)[-1]
    assert "internal error" in caplog.text


class BrokenVad(SimVad):
    def probability(self, _window: Any) -> float:
        raise EngineError("no more windows")

    def open_stream(self) -> Any:
        return self


def test_a_voice_activity_detector_that_fails_ends_this_call_and_not_its_wire(tmp_path: Path) -> None:
    async def body(session: Session, transport: LoopbackTransport) -> None:
        task = asyncio.create_task(session.run())
        await asyncio.sleep(0.1)
        session.push_audio(np.zeros(1024, np.int16))
        await asyncio.wait_for(task, 2)
        assert transport.closed_reason == "internal error"

    assert '"end":"internal error"' in on_a_call(tmp_path, body, vad=BrokenVad("vad", Random(1)))[-1]


def test_a_deadline_is_met_once_even_where_rounding_puts_it_a_moment_later() -> None:
    async def act(world: Script) -> None:
        for _ in range(5):
            await world.say("what is next")
            await world.cough(100)
            await world.until("listening")
            await asyncio.sleep(0.0137)

    world = perform(act)
    passed = [json.loads(line) for line in world.writer.lines() if '"DeadlinePassed"' in line]
    assert len(passed) == len({entry["now"] for entry in passed})


@pytest.mark.realtime
def test_a_call_through_real_lanes_and_scripted_engines_is_answered(tmp_path: Path) -> None:
    async def body() -> list[str]:
        writer = TraceWriter(tmp_path, 10)
        writer.start()
        urls = {
            "stt": "scripted://?text=what+is+next",
            "llm": "scripted://?reply=Seven+green+windows.",
            "tts": "scripted://?ms_per_char=10",
        }
        lanes = {kind: Lane(create(kind, url)) for kind, url in urls.items()}  # type: ignore[arg-type]
        for lane in lanes.values():
            await lane.load()
        async with no_leaked_tasks():
            session, transport = await _call(writer, lanes)
        for lane in lanes.values():
            await lane.aclose()
        writer.close()
        assert transport.first_audible_s() is not None
        assert [turn["reply"] for turn in session.turns.values()] == ["Seven green windows."]
        return _trace(session)

    lines = asyncio.run(asyncio.wait_for(body(), 30))
    assert replay(lines) is None and '"end"' in lines[-1]


async def _call(writer: TraceWriter, lanes: dict[str, Any]) -> tuple[Session, LoopbackTransport]:
    """A loud second of speech, and its answer to the end."""
    transport = LoopbackTransport()
    session = Session("real", transport, _deps(writer, **lanes))
    transport.attach(session)
    call = asyncio.create_task(session.run())
    wire = asyncio.create_task(transport.run())
    transport.say(np.full(16_000, 3000, np.int16))
    async with asyncio.timeout(15):
        while not any(turn.get("ended") for turn in session.turns.values()):
            await asyncio.sleep(0.02)
    transport.hang_up()
    await asyncio.gather(call, wire)
    return session, transport
