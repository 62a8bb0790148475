"""What must hold of the commands of any call, whatever happened in it."""

from __future__ import annotations

from collections import Counter

from tests.core.script import Script
from voicebot.core import events as ev


class Ledger:
    """Follows a call command by command as the session does, and asserts the rules of `voicebot/core/turn.py`."""

    def __init__(self) -> None:
        self.listening: set[int] = set()
        self.drafts: dict[int, int] = {}
        self.aborted: set[int] = set()
        self.made: set[int] = set()
        self.committed: set[int] = set()
        self.gone: set[int] = set()
        self.cleared: set[int] = set()
        self.playing: int | None = None
        self.seen: set[int] = set()
        self.ended_turns: Counter[int] = Counter()
        self.errands: set[int] = set()
        self.ended_errands: set[int] = set()

    def take(self, command: ev.Command) -> None:
        match command:
            case ev.BeginListening(turn):
                assert turn not in self.seen and not self.listening, "one turn is heard at a time, and once"
                self.seen.add(turn)
                self.listening.add(turn)
            case ev.StopListening(turn):
                self.listening.remove(turn)
            case ev.BeginDraft(draft, turn, start, stop):
                assert turn in self.listening and draft not in self.drafts and 0 <= start < stop
                self.drafts[draft] = turn
            case ev.AbortDraft(draft, turn):
                assert turn in self.listening and self.drafts[draft] == turn and draft not in self.aborted
                self.aborted.add(draft)
            case ev.BeginReply(reply) | ev.Speak(reply) | ev.DeliverErrand(reply):
                assert reply not in self.made
                self.made.add(reply)
                if isinstance(command, ev.DeliverErrand):
                    assert command.errand in self.errands and self.playing is None and not self.listening
            case ev.BeginErrand(errand):
                assert errand not in self.errands | self.ended_errands
                self.errands.add(errand)
            case ev.DropErrand(errand):
                self.errands.remove(errand)
                self.ended_errands.add(errand)
            case ev.PublishTurn():
                self.ended_turns[command.turn] += command.ended
            case _:
                self._take_playout(command)

    def _take_playout(self, command: ev.Command) -> None:
        match command:
            case ev.CommitReply(reply):
                assert reply in self.made - self.gone - self.committed
                self.committed.add(reply)
            case ev.StartPlayout(reply):
                assert reply in self.made - self.gone - self.cleared and self.playing is None
                self.playing = reply
            case ev.PausePlayout(reply) | ev.ResumePlayout(reply):
                assert reply == self.playing
            case ev.ClearPlayout(reply):
                assert reply == self.playing and reply not in self.cleared
                self.cleared.add(reply)
            case ev.DropReply(reply):
                assert reply in self.made - self.gone
                self.gone.add(reply)
                self.playing = None if self.playing == reply else self.playing
            case _:
                pass

    def close(self) -> None:
        assert not self.listening, "every BeginListening has its StopListening"
        assert self.made == self.gone, "every reply is dropped"
        assert self.playing is None
        assert not self.errands, "every errand is dropped"


def check_call(talk: Script) -> None:
    """`talk` has ended."""
    ledger = Ledger()
    for _, commands in talk.steps:
        for command in commands:
            ledger.take(command)
    ledger.close()
    for transcript in talk.all(ev.PublishTranscript):
        if transcript.final and transcript.text:
            assert ledger.ended_turns[transcript.turn], f"turn {transcript.turn} never ended"
    check_history(talk)


def check_history(talk: Script) -> None:
    """Each reply in the history is a beginning, in whole words, of what was written for its turn."""
    written: dict[int, list[list[str]]] = {}
    for reply in talk.all(ev.PublishReply):
        written.setdefault(reply.turn, []).append(reply.text.split())
        assert reply.text.split()[: len(reply.heard.split())] == reply.heard.split()
    for exchange in talk.machine.history.exchanges:
        words = exchange.bot.split()
        assert not words or any(text[: len(words)] == words for text in written[exchange.turn])
