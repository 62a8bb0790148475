"""One seeded world: a caller, a wire and engines around the real session, on virtual time, with its checks."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from tests import virtual_time
from tests.sim.brain import sim_brain
from tests.sim.caller import Caller
from tests.sim.checks import Checks, Violated
from tests.sim.engines import BotWords, CallerWords, SimLlm, SimStt, SimTts, SimVad
from tests.sim.lane import Behaviour, VirtualLane
from tests.sim.wire import SimWire
from voicebot.brain.answer import BrainDeps, brain_of_one
from voicebot.brain.reply import ReplySettings
from voicebot.core.events import Command, Event
from voicebot.core.settings import TurnSettings
from voicebot.core.trace import header_line, replay
from voicebot.recorder import Recorder
from voicebot.session import CallDeps, Session
from voicebot.speaker import MAX_QUEUED_S
from voicebot.transports.base import NO_LINE, PhoneLine
from voicebot.windows import WindowBatch

CALL_BEGAN = datetime(2030, 5, 6, 9, 30, tzinfo=UTC)
LONGEST_S = 300.0
JOIN_S = 2.0
IGNORED_LIMIT = 12
"""Events of a whole call that a race may make meaningless."""


class MemoryWriter:
    """A trace writer that keeps its lines."""

    def __init__(self, keep_private: bool = True) -> None:
        self.keep_private = keep_private
        self.text: list[str] = []

    def put(self, _path: Path, text: str) -> bool:
        self.text.append(text)
        return True

    def lines(self) -> list[str]:
        return "".join(self.text).splitlines()


class WatchedRecorder(Recorder):
    """Shows every step to the checks before its commands are run."""

    def __init__(self, writer: MemoryWriter, checks: Checks) -> None:
        super().__init__(writer, Path("world.jsonl"))  # type: ignore[arg-type]
        self._checks = checks

    def step(self, event: Event, now: float, commands: Sequence[Command]) -> None:
        super().step(event, now, commands)
        self._checks.on_step(event, now, commands)


class CountingMetrics:
    """Implements `session.SessionMetrics`."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.turns = 0

    def turn(self, _transport: str, _waterfall: dict[str, Any]) -> None:
        self.turns += 1

    def count(self, name: str, amount: int = 1, **_labels: str) -> None:
        self.counts[name] += amount


@dataclass(slots=True)
class Outcome:
    """A world that has ended."""

    seed: int
    violation: str = ""
    trace: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    virtual_s: float = 0.0


def _behaviour(rng: Random, first_s: tuple[float, float], next_s: tuple[float, float]) -> Behaviour:
    """A quick, a slow or a bad day."""
    day = rng.choices(("good", "slow", "bad"), (50, 25, 25))[0]
    slow = rng.uniform(2, 8) if day == "slow" else 1.0
    bad = rng.choice((0.05, 0.3, 0.8)) if day == "bad" else 0.0
    return Behaviour(
        (first_s[0] * slow, first_s[1] * slow),
        (next_s[0] * slow, next_s[1] * slow),
        fails=bad,
        refuses=bad / 4,
        stalls=bad / 4,
        workers=rng.choice((1, 1, 2)),
    )


class World:
    """Everything around one call, drawn from one seed."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.loop = asyncio.get_running_loop()
        self.caller_words, self.bot_words = CallerWords(), BotWords()
        self.checks = Checks(self.bot_words)
        self.writer = MemoryWriter(keep_private=seed % 4 != 3)
        self.metrics = CountingMetrics()
        self.wire = SimWire(self._fork(), self.rng.random() < 0.5, self.checks)
        self.stt = self._lane(
            SimStt(self._fork(), self.caller_words, self.rng.choice((0.0, 0.7, 1.0))), (0.01, 0.12), (0, 0)
        )
        self.llm = self._lane(self._llm(), (0.02, 0.3), (0.0, 0.2))
        self.tts = self._lane(SimTts(self._fork(), self.bot_words, self.wire.playout_rate_hz), (0.02, 0.2), (0.0, 0.1))
        self.tts.engine.owner = lambda: self.tts.owner
        self.expert: Any = None
        self.session = Session("world", self.wire, self._deps(), line=self._line())
        self.caller: Any = Caller(self._fork(), self.caller_words, self.wire, self.session)

    def _line(self) -> PhoneLine:
        return NO_LINE

    def _fork(self) -> Random:
        """A source of its own for each part, so that one's draws do not move another's."""
        return Random(self.rng.getrandbits(64))

    def _lane(self, engine: Any, first_s: tuple[float, float], next_s: tuple[float, float]) -> VirtualLane[Any]:
        rng = self._fork()
        return VirtualLane(engine, _behaviour(rng, first_s, next_s), rng)

    def _llm(self) -> Any:
        return SimLlm(self._fork())

    def _settings(self) -> TurnSettings:
        return TurnSettings(
            greeting=self.rng.choice(("", "Hello, how can I help you today?")),
            idle_ms=self.rng.choice((0, 0, 0, 15_000)),
            call_limit_ms=self.rng.choice((0, 0, 0, 30_000)),
            drafts=self.rng.random() < 0.85,
        )

    def _deps(self) -> CallDeps:
        return CallDeps(
            vad=WindowBatch(SimVad("sim vad", self._fork())),  # type: ignore[arg-type]
            stt=self.stt,
            tts=self.tts,
            turn=self._settings(),
            brain=self._brain() or brain_of_one(self.llm, ReplySettings()),
            open_recorder=self._open_recorder,
            metrics=self.metrics,
            info={},
            wall_clock=lambda: CALL_BEGAN + timedelta(seconds=self.loop.time()),
        )

    def _brain(self) -> BrainDeps | None:
        """Half the worlds have an expert."""
        if self.rng.random() < 0.5:
            return None
        brain = sim_brain(self._fork(), self.llm)
        self.expert = brain.expert
        return brain.deps

    def _open_recorder(self, call_id: str, transport: str, settings: TurnSettings) -> Recorder:
        recorder = WatchedRecorder(self.writer, self.checks)
        recorder.put([header_line(call_id, transport, settings)])
        return recorder

    # ---- the world's course

    async def live(self) -> None:
        for lane in (self.stt, self.llm, self.tts):
            lane.start()
        call = asyncio.create_task(self.session.run(), name="call")
        wire = asyncio.create_task(self.wire.run(self.session), name="wire")
        caller = asyncio.create_task(self.caller.live(), name="caller")
        watch = asyncio.create_task(self._watch(), name="watch")
        others = (wire, caller, watch)
        try:
            await self._until_the_end(call, caller, watch, wire)
            await self._ended(call)
        finally:
            for task in (call, *others):
                task.cancel()
            await asyncio.gather(call, *others, return_exceptions=True)
            for lane in (self.stt, self.llm, self.tts):
                await lane.aclose()
        self._after()

    async def _until_the_end(self, call: asyncio.Task[None], caller: asyncio.Task[None], *others: Any) -> None:
        """The caller leaves when done, at any moment, or is left."""
        leaves_after = self.rng.uniform(0.05, 40.0) if self.rng.random() < 0.5 else LONGEST_S
        first, _ = await asyncio.wait(
            (call, caller, *others), timeout=leaves_after, return_when=asyncio.FIRST_COMPLETED
        )
        for task in first - {call}:
            task.result()
        if caller in first and self.caller.patient and not call.done():
            self.checks.expect(
                self.wire.state == "listening", f"still {self.wire.state} long after the caller's last word"
            )
        if call in first:
            return
        if self.rng.random() < 0.1:
            call.cancel()
        else:
            self.session.hang_up("caller hung up")
            self.session.hang_up("again")

    async def _ended(self, call: asyncio.Task[None]) -> None:
        began = asyncio.get_running_loop().time()
        await asyncio.wait((call,), timeout=2 * JOIN_S)
        took = asyncio.get_running_loop().time() - began
        self.checks.expect(call.done() and took <= JOIN_S, f"the call's tasks took {took:.1f} s to end")
        if not call.cancelled() and (error := call.exception()) is not None:
            raise error

    async def _watch(self) -> None:
        """No queue grows beyond its bound, whether or not the server is pressed for computing."""
        session, rng = self.session, self._fork()
        while True:
            await asyncio.sleep(0.25)
            if rng.random() < 0.03:
                session.allow_drafts(rng.random() < 0.5)
            limit = (MAX_QUEUED_S + 10.0) * self.wire.playout_rate_hz
            for number, track in session._speaker._tracks.items():
                ahead = track.queued - track.pulled
                self.checks.expect(ahead <= limit, f"reply {number} has {ahead} samples queued")
            self.checks.expect(len(session._speaker._tracks) <= 2, f"{len(session._speaker._tracks)} tracks are kept")
            self.checks.expect(len(session._hearing) <= 1, f"{len(session._hearing)} turns are listened to")
            self.checks.expect(len(session._replies) <= 2, f"{len(session._replies)} replies are made at once")
            open_errands = len(session._errands)
            self.checks.expect(len(session._tasks) <= 8 + open_errands, f"{len(session._tasks)} tasks of one call")
            self.checks.expect(not session._events, "events wait for nobody")

    def _after(self) -> None:
        """Use after the end changes nothing; the trace is whole; what was said is what was heard."""
        checks, session = self.checks, self.session
        if checks.violation:
            raise Violated(checks.violation)
        checks.expect(not session._crashed, "the call ended with an internal error")
        lines = self.writer.lines()
        session.push_text("is anybody there")
        session.push_digit("5")
        session.push_audio(self.caller_words.say("hello", 300))
        session.hang_up("once more")
        checks.expect(session.pull_audio(160) is None, "audio after the end")
        session._recorder._flush()
        checks.expect(self.writer.lines() == lines, "the trace grew after its end")
        checks.expect(session.ended and self.wire.closed, "the call does not know that it has ended")
        checks.expect('"end":' in lines[-1], f"the trace ends with {lines[-1][:80]}")
        difference = replay(lines)
        agrees = difference is None or difference.left_out
        checks.expect(agrees, f"the trace replays otherwise: {difference}")
        checks.expect(checks.acted["set_volume"] == len(self.wire.volumes), "a volume change is not on record")
        ignored = session._machine.counts["ignored"]
        checks.expect(ignored <= IGNORED_LIMIT, f"{ignored} events were ignored")
        checks.expect(self.stt.engine.open == 0, f"{self.stt.engine.open} recogniser streams were not given back")
        if self.expert is not None:
            checks.expect(self.expert.secrets == 0, f"the expert was sent {self.expert.secrets} private messages")
            checks.expect(self.expert.working == 0, f"{self.expert.working} questions outlived the call")
            asked, decided = sum(self.expert.asked.values()), checks.errands_begun + checks.counts["committed"]
            checks.expect(asked <= decided, f"the expert was asked {asked} times, and {decided} were decided")
        self._history_is_whole()
        self.wire.settle()
        frame = self.wire.playout_rate_hz // 50
        checks.heard_is_played(frame, slack_samples=frame * 5)

    def _history_is_whole(self) -> None:
        lines = self.session._machine.history.lines()
        for line, following in itertools.zip_longest(lines, lines[1:]):
            if line.role == "assistant" and line.tool is not None:
                whole = following is not None and following.role == "tool" and following.tool is line.tool
                self.checks.expect(whole, f"the call of {line.tool.name} has lost its result")


def play(seed: int) -> Outcome:
    """Live through one world."""
    outcome = Outcome(seed)
    worlds: list[World] = []

    async def live() -> None:
        worlds.append(World(seed))
        await worlds[0].live()
        outcome.virtual_s = asyncio.get_running_loop().time()

    try:
        virtual_time.run(live())
    except Violated as violated:
        outcome.violation = str(violated)
    except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - any fault of a world is its finding.
        outcome.violation = f"{type(error).__name__}: {error}"
    if worlds:
        outcome.violation = worlds[0].checks.violation or outcome.violation
        outcome.trace = worlds[0].writer.lines()
        outcome.counts = Counter(worlds[0].session._machine.counts) + worlds[0].checks.counts
    return outcome
