"""A call played by hand against the turn machine: windows, words and waits in, exact commands out. No asyncio."""

from __future__ import annotations

from typing import Any, TypeVar

from voicebot.core import events as ev
from voicebot.core.client_turns import ClientTurns
from voicebot.core.settings import TurnSettings
from voicebot.core.trace import command_line, event_line, header_line

RATE_HZ = 16_000
WINDOW_MS = 32
PUBLISHED = (
    ev.PublishState, ev.PublishTranscript, ev.PublishReply, ev.PublishTurn, ev.PublishTool, ev.PublishErrand
)  # fmt: skip
NO_ACTS = (*PUBLISHED, ev.ReadAhead)
ROUND_WAITS: dict[str, Any] = {"min_wait_ms": 200, "max_wait_ms": 1200}
MADE = (ev.BeginReply, ev.Speak, ev.DeliverErrand)
"""Commands that make a reply."""
C = TypeVar("C")


def samples(ms: float) -> int:
    return int(ms * RATE_HZ / 1000)


class Script:
    """`now` (seconds) moves only by `speak`, `quiet` and `wait`; deadlines are stepped exactly when they are due."""

    def __init__(self, started: bool = True, **settings: Any) -> None:
        self.settings = TurnSettings(**(ROUND_WAITS | settings))
        self.machine = ClientTurns(self.settings)
        self.now = 0.0
        self.sample = 0
        self._come = 0
        self.heard_ms = 0.0
        self.log: list[ev.Command] = []
        self.steps: list[tuple[ev.Event, list[ev.Command]]] = []
        self.trace = [header_line("c1", "loopback", self.settings)]
        self._acts: list[ev.Command] = []
        if started:
            self.feed(ev.CallStarted(RATE_HZ))

    # ---- what happens

    def feed(self, event: ev.Event) -> list[ev.Command]:
        commands = self.machine.step(event, self.now)
        self.log += commands
        self.steps.append((event, commands))
        self.trace += [event_line(event, self.now), *map(command_line, commands)]
        self._acts += [command for command in commands if not isinstance(command, NO_ACTS)]
        return commands

    def speak(self, ms: int, probability: float = 0.9) -> None:
        """Windows of voice; a rest shorter than a window is left out."""
        for _ in range(ms // WINDOW_MS):
            self._until(self.now + WINDOW_MS / 1000)
            self.sample += 512
            self.feed(ev.WindowHeard(self.sample, probability, samples(self.heard_ms)))

    def quiet(self, ms: int) -> None:
        self.speak(ms, probability=0.01)

    def lull(self, ms: int) -> None:
        """More of a silent window comes than has come of it yet."""
        self._until(self.now + ms / 1000)
        self._come = max(self._come, self.sample) + samples(ms)
        self.feed(ev.SilenceLasted(self._come))

    def wait(self, ms: float) -> None:
        """Time passes and no windows come."""
        self._until(self.now + ms / 1000)

    def _until(self, then: float) -> None:
        while (due := self.machine.deadline) is not None and due <= then + 1e-9:
            self.now = max(self.now, due)
            self.feed(ev.DeadlinePassed())
        self.now = round(then, 6)

    def transcribe(self, text: str) -> None:
        self.feed(ev.DraftTranscribed(self.draft, text))

    def say(self, text: str, ms: int = 480) -> None:
        """Voice, the soft end, and its transcript; not yet the silence that commits."""
        self.speak(ms)
        self.quiet(64)
        self.transcribe(text)

    def ask(self, text: str) -> None:
        """A whole turn, committed."""
        self.say(text)
        self.quiet(1216)

    def write(self, text: str, ms: int, clause: int = 0, done: bool = True) -> None:
        """A clause of the newest reply, and `ms` of its sound."""
        self.feed(ev.ClauseWritten(self.reply, clause, text))
        self.feed(ev.AudioQueued(self.reply, clause, samples(ms), done))

    def answer(self, text: str, ms: int) -> None:
        """All of the newest reply, in one clause, and its first sample is sent."""
        self.write(text, ms)
        self.feed(ev.ReplyCompleted(self.reply))
        self.feed(ev.PlayoutStarted(self.reply))

    def finish(self) -> None:
        self.feed(ev.PlayoutFinished(self.reply))
        self.heard_ms = 0

    # ---- what came of it

    @property
    def draft(self) -> int:
        return self.all(ev.BeginDraft)[-1].draft

    @property
    def reply(self) -> int:
        return [c.reply for c in self.log if isinstance(c, MADE)][-1]

    @property
    def state(self) -> ev.State:
        return self.all(ev.PublishState)[-1].state

    @property
    def said(self) -> list[tuple[str, str]]:
        """The history: (caller, bot)."""
        return [(exchange.caller, exchange.bot) for exchange in self.machine.history.exchanges]

    def all(self, kind: type[C]) -> list[C]:
        return [command for command in self.log if isinstance(command, kind)]

    def expect(self, *commands: ev.Command) -> None:
        """Exactly these, in this order, since the last look; what is shown (Publish...) and read ahead apart."""
        acts, self._acts = self._acts, []
        assert acts == list(commands)

    def skip(self) -> None:
        self._acts = []

    def due_in_ms(self) -> float:
        assert self.machine.deadline is not None
        return round((self.machine.deadline - self.now) * 1000, 3)
