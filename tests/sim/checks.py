"""What must hold in every world, checked at every step.

The checks stand outside the session: they see the events and commands that its trace gets, what its transport is told,
what the wire pulled and what the far end really played.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.sim.engines import BotWords, words_in
from voicebot.core import events as ev
from voicebot.transports.base import Pcm

OF_REPLY = (ev.ReplyBegan, ev.ClauseWritten, ev.AudioQueued, ev.ToolFinished, ev.ReplyCompleted, ev.ReplyFailed)
TOLERANCE_WORDS = 1
"""History is cut by the share of letters: the word in the air may count or not."""


class Violated(AssertionError):
    """An invariant does not hold."""


@dataclass(slots=True)
class SeenReply:
    """A reply, as the commands and events tell of it."""

    model: bool
    committed: bool = False
    dropped: bool = False
    cleared: bool = False
    shown: bool = False
    final: ev.PublishReply | None = None
    queued: int = 0
    clauses: dict[int, str] = field(default_factory=dict)
    voiced: set[int] = field(default_factory=set)
    """Clauses whose sound is complete."""


class Checks:
    """One call's. Every `on_` raises Violated at once."""

    def __init__(self, words: BotWords) -> None:
        self.played: Counter[int] = Counter()
        """Samples that the far end has played, by word."""
        self.replies: dict[int, SeenReply] = {}
        self.counts: Counter[str] = Counter()
        self.ended_at: float | None = None
        self.violation = ""
        """The first: a session catches what is raised in its steps, so it is kept for the world's end."""
        self.now = 0.0
        self.acted: Counter[str] = Counter()
        self._words = words
        self._live: int | None = None
        self._paused = False
        self._turn: int | None = None
        self._turns: set[int] = set()
        self._draft: int | None = None
        self._heard_sample = 0
        self._tools_seen: set[tuple[int, str]] = set()
        self._committed_turns: set[int] = set()
        self._ended_turns: set[int] = set()
        self._errands: set[int] = set()
        self.errands_begun = 0

    def expect(self, holds: bool, message: str) -> None:
        if not holds:
            violated = Violated(f"at {self.now:.3f} s: {message}")
            self.violation = self.violation or str(violated)
            raise violated

    # ---- what the trace gets

    def on_step(self, event: ev.Event, now: float, commands: Sequence[ev.Command]) -> None:
        """One step of the machine, before its commands are run."""
        self.expect(now >= self.now, "time ran backwards")
        self.now = now
        self.expect(self.ended_at is None or not commands, f"{event} caused {commands} after the end")
        self._on_event(event, commands)
        for command in commands:
            self._on_command(command)
        if isinstance(event, ev.CallEnded) and self.ended_at is None:
            self.ended_at = now
            self._at_the_end()

    def _on_event(self, event: ev.Event, commands: Sequence[ev.Command]) -> None:
        self.counts[type(event).__name__] += 1
        if isinstance(event, ev.WindowHeard):
            self.expect(event.stop_sample == self._heard_sample + 512, "windows were lost or doubled")
            self._heard_sample = event.stop_sample
        elif isinstance(event, ev.DraftTranscribed | ev.DraftFailed):
            self.expect(event.draft == self._draft or not commands, f"a stale draft had an effect: {event}")
        elif isinstance(event, ev.PlayoutStarted):
            self.expect(event.reply == self._live, f"reply {event.reply} began to play but is not live")
        elif isinstance(event, OF_REPLY):
            self._on_reply_event(event, commands)

    def _on_reply_event(self, event: Any, commands: Sequence[ev.Command]) -> None:
        reply = self.replies[event.reply]
        self.expect(not reply.dropped or not commands, f"a late result of a dropped reply had an effect: {event}")
        if isinstance(event, ev.ToolFinished):
            key = (event.reply, event.call_id)
            self.expect(key not in self._tools_seen, f"tool call {key} ran twice")
            self.expect(not event.acting or reply.committed, f"{event.name} acted before its turn was committed")
            self._tools_seen.add(key)
            self.acted[event.name] += event.acting and "error" not in event.value
        elif isinstance(event, ev.ClauseWritten):
            self.expect(event.clause == len(reply.clauses), f"clause {event.clause} is out of order")
            reply.clauses[event.clause] = event.text
        elif isinstance(event, ev.AudioQueued):
            self.expect(reply.committed or event.clause == 0, "a draft voiced more than its first clause")
            reply.queued += event.samples
            if event.done:
                reply.voiced.add(event.clause)

    def _on_command(self, command: ev.Command) -> None:
        match command:
            case ev.BeginListening(turn, start):
                self.expect(self._turn is None, f"turn {turn} began inside turn {self._turn}")
                self.expect(0 <= start <= self._heard_sample, f"turn {turn} begins at {start}, not heard yet")
                self._turn = turn
                self._turns.add(turn)
            case ev.StopListening(turn):
                self.expect(self._turn == turn, f"turn {turn} stopped but is not open")
                self._turn = self._draft = None
            case ev.BeginDraft(draft, turn, start, stop):
                self.expect(turn == self._turn, f"draft {draft} of turn {turn}, which is not open")
                self.expect(start < stop <= self._heard_sample, f"draft {draft} asks for [{start}, {stop})")
                self._draft = draft
            case ev.AbortDraft(draft):
                self.expect(draft == self._draft, f"draft {draft} aborted but not begun")
                self._draft = None
            case ev.BeginReply(reply):
                self.replies[reply] = SeenReply(model=True)
            case ev.Speak(reply):
                self.replies[reply] = SeenReply(model=False, committed=True)
            case ev.BeginErrand(errand, turn):
                self.expect(turn in self._committed_turns, f"errand {errand} of turn {turn}, which is not committed")
                self.errands_begun += 1
                self._errands.add(errand)
            case ev.DeliverErrand(reply, errand):
                self.expect(self._turn is None, f"errand {errand} is delivered while the caller speaks")
                self.expect(errand in self._errands, f"errand {errand} is delivered but not open")
                self.replies[reply] = SeenReply(model=True, committed=True)
            case ev.DropErrand(errand):
                self.expect(errand in self._errands, f"errand {errand} was dropped but is not open")
                self._errands.remove(errand)
            case ev.PublishTranscript(turn, text, True) if text:
                self._committed_turns.add(turn)
            case ev.PublishTurn(turn, ended=True):
                self._ended_turns.add(turn)
            case ev.PublishReply():
                self._on_published(command)
            case _:
                self._on_playout(command)

    def _on_playout(self, command: ev.Command) -> None:
        match command:
            case ev.CommitReply(reply):
                self.expect(not self.replies[reply].committed, f"reply {reply} was committed twice")
                self.replies[reply].committed = True
                self.counts["committed"] += 1
            case ev.StartPlayout(reply):
                self.expect(self._live is None, f"reply {reply} goes live beside {self._live}")
                self.expect(self.replies[reply].committed, f"reply {reply} plays but is a draft")
                self._live, self._paused = reply, False
            case ev.PausePlayout(reply):
                self.expect(self._live == reply and not self._paused, f"reply {reply} paused, not playing")
                self._paused = True
            case ev.ResumePlayout(reply):
                self.expect(self._live == reply and self._paused, f"reply {reply} resumed, not paused")
                self._paused = False
            case ev.ClearPlayout(reply):
                self.expect(self._live == reply, f"reply {reply} cleared, not live")
                self.replies[reply].cleared = True
            case ev.DropReply(reply):
                self.expect(not self.replies[reply].dropped, f"reply {reply} was dropped twice")
                self.replies[reply].dropped = True
                if self._live == reply:
                    self._live = None

    def _on_published(self, shown: ev.PublishReply) -> None:
        reply = self.replies[shown.reply]
        self.expect(reply.final is None, f"reply {shown.reply} was published after its final state")
        self.expect(shown.text.startswith(shown.heard), f"heard {shown.heard!r} is no beginning of {shown.text!r}")
        reply.shown = True
        if shown.final:
            reply.final = shown

    # ---- the wire

    def on_sent(self, event: dict[str, Any]) -> None:
        self.expect(
            self.ended_at is None or event["type"] != "reply" or event["final"], "told of a reply after the end"
        )

    def on_pulled(self, pcm: Pcm | None) -> None:
        """A frame is about to leave."""
        if pcm is None:
            return
        self.expect(self.ended_at is None, "audio left after the end")
        self.expect(not self._paused, "audio left during a pause")
        for value in words_in(pcm):
            if value:
                reply = self._words.words[value].reply
                self.expect(reply == self._live, f"a sample of reply {reply} left while {self._live} is live")

    # ---- the end

    def _at_the_end(self) -> None:
        self.expect(self._turn is None and self._live is None, "the call ended with an open turn or a live reply")
        self.expect(not self._errands, f"errands {self._errands} outlive the call")
        left = [number for number, reply in self.replies.items() if not reply.dropped]
        self.expect(not left, f"replies {left} were never dropped")
        silent = self._committed_turns - self._ended_turns
        self.expect(not silent, f"turns {silent} were committed and never ended")
        unfinished = [number for number, reply in self.replies.items() if reply.shown and reply.final is None]
        self.expect(not unfinished, f"replies {unfinished} were shown and have no final state")

    def heard_is_played(self, frame_samples: int, slack_samples: int) -> None:
        """After the world: each reply's history against what the far end played of it."""
        of_reply: dict[int, list[int]] = {}
        for value, word in enumerate(self._words.words):
            of_reply.setdefault(word.reply, []).append(value)
        for number, reply in self.replies.items():
            if reply.final is not None:
                self._heard_matches(number, reply, of_reply.get(number, []), slack_samples)
                self._no_sound_lost(number, of_reply.get(number, []), frame_samples)

    def _heard_matches(self, number: int, reply: SeenReply, values: list[int], slack_samples: int) -> None:
        assert reply.final is not None
        heard = len(reply.final.heard.split())
        samples = [self._words.words[value].samples for value in values]
        whole = sum(self.played[value] * 2 >= size for value, size in zip(values, samples, strict=True))
        slack = TOLERANCE_WORDS + (slack_samples * len(samples) // max(1, sum(samples)) if samples else 0)
        message = f"reply {number}: history has {heard} words, {whole} were played: {reply.final}"
        self.expect(heard <= whole + slack, message)
        complete = all(clause in reply.voiced for clause in reply.clauses)
        self.expect(not complete or heard >= whole - slack, message)

    def _no_sound_lost(self, number: int, values: list[int], frame_samples: int) -> None:
        """Of a word before the last one played all samples were, and none twice but for a frame."""
        last = max((value for value in values if self.played[value]), default=0)
        for value in values:
            word = self._words.words[value]
            played = self.played[value]
            self.expect(
                played <= word.samples + frame_samples, f"reply {number}: {word} was repeated: {played} samples"
            )
            self.expect(
                value >= last or played >= word.samples - 1, f"reply {number}: {word} was torn: {played} samples"
            )
