"""The shell of ONE call: feeds the turn machine, runs its commands, owns the call's tasks and its one timer.

    transport --push_audio--> ring -> VAD window -> machine.step -> commands -> Hearing, Reply, Speaker
    transport <--pull_audio-- Speaker

Everything between a sample and its consequence happens in one synchronous `_apply`; only engines are awaited, in tasks
of the call's TaskGroup. Closing order: the machine hears CallEnded and cancels drafts and replies; the remaining tasks
are cancelled; agenda, transport and trace are closed.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from voicebot.brain.agenda import Agenda, local_time
from voicebot.brain.ahead import Ahead
from voicebot.brain.answer import BrainDeps, CallBrain
from voicebot.brain.expert import Errand
from voicebot.brain.fixed_words import introduction
from voicebot.brain.phrases import Phrases
from voicebot.brain.reply import Reply
from voicebot.brain.toolbox import Toolbox
from voicebot.brain.tools_runs import CallTools
from voicebot.core import events as ev
from voicebot.core.audio import Pcm, SpeechRing
from voicebot.core.client_turns import ClientTurns
from voicebot.core.labels import Label
from voicebot.core.settings import TurnSettings
from voicebot.core.wishes import NO_WISHES
from voicebot.engines.base import SttEngine, TtsEngine, TurnEngine
from voicebot.faults import outline
from voicebot.hearing import EndScorer, Hearing
from voicebot.lane import LaneLike
from voicebot.metrics import SessionMetrics
from voicebot.parting import Parting
from voicebot.publisher import Publisher
from voicebot.recorder import Recorder
from voicebot.speaker import Speaker
from voicebot.transports.base import NO_LINE, PhoneLine, Transport
from voicebot.windows import WindowBatch

log = logging.getLogger(__name__)
TYPED_CHARS = 2000
UNTOLD_S = 0.1
"""How much more may have been heard than the machine was told, when no speech windows come that tell it."""


@dataclass(frozen=True, slots=True)
class CallDeps:
    """What all calls of a server share, built once by `server.py`."""

    vad: WindowBatch
    stt: LaneLike[SttEngine]
    brain: BrainDeps
    tts: LaneLike[TtsEngine]
    turn: TurnSettings
    open_recorder: Callable[[str, str, TurnSettings], Recorder]
    metrics: SessionMetrics
    info: dict[str, Any]
    """Shown to the caller's page in the `call` event: profile, models, version."""
    end_of_turn: LaneLike[TurnEngine] | None = None
    """None: the rule of the last word decides alone."""
    tools: Toolbox = field(default_factory=Toolbox)
    phrases: Phrases = field(default_factory=Phrases)
    wall_clock: Callable[[], datetime] = local_time
    """For people's times only: what the clock and timer tools go by."""


class Session:
    """One call; implements `transports.base.CallPort`. Thread: the loop."""

    def __init__(
        self, call_id: str, transport: Transport, deps: CallDeps, label: Label | None = None, line: PhoneLine = NO_LINE
    ) -> None:
        """`label`: that its turns begin with; None for the server's default. `line`: what is known of a telephone's."""
        self.call_id = call_id
        self._transport = transport
        self._deps = deps
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._machine = ClientTurns(deps.turn)
        self._ring = SpeechRing()
        self._windows = deps.vad.open(self._ring, self._window_heard, self._deaf)
        self._told_samples = 0
        self._speaker = Speaker(transport)
        self._parting = Parting(call_id, line, self._do, self._apply, self._spawn)
        self._agenda = Agenda(
            notify=lambda text: self._apply(ev.NoticeDue(text)),
            last_words=self._machine.history.last_reply,
            wall_clock=deps.wall_clock,
            show_volume=lambda percent: transport.send_event({"type": "volume", "percent": percent}),
            call_id=call_id,
            **self._parting.for_tools(),
        )
        self._tools = CallTools(deps.tools, self._agenda, self._apply, self._begin)
        self._ending = EndScorer(deps.end_of_turn, self._ring, self._count) if deps.end_of_turn is not None else None
        self._recorder = deps.open_recorder(call_id, transport.kind, deps.turn)
        self._events: deque[ev.Event] = deque()
        self._applying = False
        self._timer: asyncio.TimerHandle | None = None
        self._over = asyncio.Event()
        self._reason = ""
        self._armed_for: float | None = None
        self._now = 0.0
        """Of the machine: seconds since the call began; never runs back."""
        self._crashed = False
        self._closed = False
        self._drafts_allowed = True
        self._group: asyncio.TaskGroup | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._hearing: dict[int, tuple[Hearing, asyncio.Task[None]]] = {}
        self._replies: dict[int, tuple[Reply, asyncio.Task[None]]] = {}
        self._errands: dict[int, tuple[Errand, asyncio.Task[None]]] = {}
        self._brain = CallBrain(call_id, deps.brain, self._apply, label, line.caller)
        self._recorder.guard(self._brain.privacy)
        self._account = deps.brain.account
        self._ahead = Ahead(self._brain.foresee, self._tools, self._spawn)
        self._wishes = NO_WISHES
        """A client's, of replies."""
        self._publisher = Publisher(call_id, transport, self._account, deps.metrics)
        self.turns = self._publisher.turns

    # ---- CallPort

    @property
    def trace_path(self) -> str:
        return str(self._recorder.path)

    def private(self, turn: int) -> bool:
        """Whether its words are to be shown to nobody but the caller."""
        return self._brain.privacy.private([turn])

    @property
    def ended(self) -> bool:
        return self._machine.ended or self._crashed

    @property
    def _open(self) -> bool:
        return self._group is not None and not self.ended

    def push_audio(self, pcm: Pcm, then: Callable[[], None] | None = None) -> None:
        if not self._open:
            return
        self._ring.push(pcm)
        self._windows.more(partial(self._windows_told, then))

    def _windows_told(self, then: Callable[[], None] | None) -> None:
        if (silence := self._silence()) is not None:
            self._apply(silence)
        for hearing, _ in self._hearing.values():
            hearing.more(self._machine.silent_from)
        if then is not None:
            then()

    def _window_heard(self, stop: int, probability: float) -> None:
        if self._open:
            self._told_samples = self._speaker.heard_samples()
            self._apply(ev.WindowHeard(stop, round(probability, 3), self._told_samples))

    def _deaf(self, error: Exception) -> None:
        self._crash(f"the voice activity detector failed: {outline(error)}")

    def pull_audio(self, samples: int) -> Pcm | None:
        if not self._open:
            return None
        self._note_playout()  # Before the pull: what is pulled now is in nobody's account of what is unplayed.
        pcm = self._speaker.pull(samples)
        if (begun := self._speaker.begun()) is not None:
            self._apply(ev.PlayoutStarted(begun))
        return pcm

    @property
    def audio_to_come(self) -> bool:
        return self._speaker.unfinished

    def _note_playout(self) -> None:
        """Tell what has been heard: the end of the reply, and progress while no speech windows come."""
        live, heard = self._speaker.live, self._speaker.heard_samples()
        if (finished := self._speaker.finished()) is not None:
            self._apply(ev.PlayoutFinished(finished))
        elif live is not None and heard - self._told_samples >= UNTOLD_S * self._transport.playout_rate_hz:
            self._told_samples = heard
            self._apply(ev.PlayoutHeard(live, heard))

    def push_text(self, text: str) -> None:
        if self._open:
            self._apply(ev.TextTyped(text[:TYPED_CHARS]))

    def push_digit(self, digit: str) -> None:
        if self._open:
            self._apply(ev.DigitPressed(digit))

    def cancel_errand(self, errand: int) -> None:
        if self._open:
            self._apply(ev.ErrandRefused(errand))

    def allow_drafts(self, allowed: bool) -> None:
        """Whether there is computing to spare for them; may be told before the call begins."""
        if self._open and allowed != self._drafts_allowed:
            self._apply(ev.DraftsAllowed(allowed))
        self._drafts_allowed = allowed

    def hang_up(self, reason: str) -> None:
        if not self.ended:
            self._reason = reason
            self._apply(ev.CallEnded(reason))

    # ---- life

    async def run(self) -> None:
        """The call, from its first event to its closed trace. Never raises but for its own cancellation."""
        self._transport.send_event({"type": "call", "call_id": self.call_id, **self._deps.info})
        self._account.call_began(self.call_id, self._transport.kind, self.trace_path)
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._apply(ev.CallStarted(self._transport.playout_rate_hz))
                if not self._drafts_allowed:
                    self._apply(ev.DraftsAllowed(False))
                await self._over.wait()
                for task in self._tasks:
                    task.cancel()
                await self._tools.aclose()
        except* Exception as errors:  # noqa: BLE001 - a fault of ours ends this call and no other
            log.error("call %s: internal error: %s", self.call_id, outline(errors))
            self.hang_up("internal error")
        finally:
            self.hang_up("server stopped")
            self._close()

    def _close(self) -> None:
        self._closed = True
        self._windows.close()
        self._ring.let_go()
        if self._timer is not None:
            self._timer.cancel()
        self._agenda.close()
        self._transport.close(self._reason)
        self._recorder.close(self._reason, dict(self._machine.counts))
        self._brain.close()
        self._account.call_ended(self.call_id, self._reason, self._brain.privacy.strictest)
        for name, amount in self._machine.counts.items():
            self._deps.metrics.count(name, amount, transport=self._transport.kind)

    def _count(self, name: str) -> None:
        self._deps.metrics.count(name, transport=self._transport.kind)

    def _begin(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        assert self._group is not None
        return self._group.create_task(work, name=f"{self.call_id} {name}")

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """A task that is cancelled when the call is over."""
        task = self._begin(work, name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # ---- events in, commands out

    def _apply(self, event: ev.Event) -> None:
        """Step the machine and run its commands; an event that a command causes waits for its turn."""
        if self._closed or self._crashed:
            return
        self._events.append(event)
        if self._applying:
            return
        self._applying = True
        try:
            self._drain()
        except Exception as error:  # noqa: BLE001 - the outermost frame of a call: a fault of ours ends it and no other
            self._crash(f"internal error at {type(event).__name__}: {outline(error)}")
        finally:
            self._applying = False
        self._arm()

    def _crash(self, what: str) -> None:
        """End this call for a fault of ours; in the log there are no words of the caller's."""
        log.error("call %s: %s", self.call_id, what)
        self._crashed, self._reason = True, "internal error"
        self._over.set()

    def _silence(self) -> ev.SilenceLasted | None:
        """What has come of a window that is not whole yet, where a turn waits for hardly more."""
        due = self._machine.due_sample
        reached = None if due is None else self._windows.reached(due)
        return None if reached is None else ev.SilenceLasted(reached)

    def _drain(self) -> None:
        while (event := self._events.popleft() if self._events else self._silence()) is not None:
            now = self._now = max(self._now, round(self._loop.time() - self._began, 6))
            commands = self._machine.step(event, now)
            self._recorder.step(event, now, commands)
            for command in commands:
                self._do(command)
            if self._machine.ended:
                self._over.set()

    def _arm(self) -> None:
        """One timer, at the machine's deadline."""
        deadline = None if self._over.is_set() else self._machine.deadline
        if deadline == self._armed_for:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._armed_for = deadline
        self._timer = None
        if deadline is not None:
            self._timer = self._loop.call_at(self._began + deadline, self._on_deadline)

    def _on_deadline(self) -> None:
        """Its time has come, even where rounding or a coarse clock would have it a moment later."""
        assert self._armed_for is not None
        self._now = max(self._now, self._armed_for)
        self._timer = self._armed_for = None
        self._apply(ev.DeadlinePassed())

    def _do(self, command: ev.Command) -> None:
        match command:
            case ev.BeginListening(turn, start_sample):
                narrowband = self._transport.narrowband
                hearing = Hearing(self._deps.stt, self._ring, self._apply, turn, start_sample, narrowband, self._ending)
                self._hearing[turn] = (hearing, self._spawn(hearing.run(), f"hearing {turn}"))
            case ev.StopListening(turn):
                self._hearing.pop(turn)[1].cancel()
            case ev.BeginDraft(draft, turn, start_sample, stop_sample):
                self._hearing[turn][0].draft(draft, start_sample, stop_sample)
            case ev.AbortDraft(draft, turn):
                self._hearing[turn][0].abort(draft)
            case ev.ReadAhead(_, text):
                self._ahead.read(text, self._machine.history.lines(), self._wishes)
            case ev.BeginReply() | ev.Speak() | ev.CommitReply() | ev.DropReply() | ev.DeliverErrand():
                self._do_reply(command)
            case ev.BeginErrand(number, turn, request):
                errand = Errand(number, turn, request, self._apply)
                work = self._brain.run_errand(errand, self._machine.history.lines())
                self._errands[number] = (errand, task := self._spawn(work, f"errand {number}"))
                task.add_done_callback(lambda _task: self._show_cost(turn))
            case ev.DropErrand(number):
                self._errands.pop(number)[1].cancel()
            case ev.StartPlayout(reply):
                self._speaker.start(reply)
                self._told_samples = 0
            case ev.PausePlayout(reply):
                self._speaker.pause(reply)
            case ev.ResumePlayout(reply):
                self._speaker.resume(reply)
            case ev.ClearPlayout(reply):
                self._speaker.clear(reply)
            case ev.EndCall(reason):
                self._apply(ev.CallEnded(reason))
                self._reason = self._reason or reason
            case _:
                self._publish(command)

    def _do_reply(self, command: ev.BeginReply | ev.Speak | ev.CommitReply | ev.DropReply | ev.DeliverErrand) -> None:
        match command:
            case ev.BeginReply(number, turn, text):
                self._ahead.stop()
                reply = self._new_reply(number, turn)
                write = partial(self._brain.answer, reply, turn, text, self._machine.history.lines(before=turn))
                self._replies[number] = (reply, self._spawn(reply.produce(write), f"reply {number}"))
            case ev.DeliverErrand(number, errand, introduce):
                reply, found = self._new_reply(number), self._errands[errand][0]
                work = reply.deliver(found.words(), introduction(found.question) if introduce else "")
                self._replies[number] = (reply, self._spawn(work, f"late answer {number}"))
            case ev.Speak(number, text):
                self._tools.said(text)
                reply = self._new_reply(number)
                self._replies[number] = (reply, self._spawn(reply.speak(text), f"speak {number}"))
            case ev.CommitReply(number):
                self._replies[number][0].commit()
            case ev.DropReply(number):
                self._replies.pop(number)[1].cancel()
                self._speaker.drop(number)

    def _new_reply(self, number: int, turn: int = 0) -> Reply:
        deps = self._deps
        rate_hz = self._transport.playout_rate_hz
        tools = self._tools.for_reply(number, turn)
        return Reply(number, deps.tts, self._speaker, self._apply, tools, rate_hz, deps.phrases)

    def _publish(self, command: ev.Command) -> None:
        match command:
            case ev.PublishState("hearing"):
                self._parting.withdraw()
            case ev.PublishState("listening"):
                self._parting.said()
        self._publisher.publish(command)

    def _show_cost(self, number: int) -> None:
        if not self._closed:
            self._publisher.show_cost(number)
