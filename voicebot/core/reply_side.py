"""The bot's half of the turn machine: the one live reply, from its first clause to its last heard word.

The caller's half (`turn.py`) decides when a reply goes live and when it must yield; this half knows how a reply grows,
fails, is replaced by an apology, is heard, and becomes history.
"""

from __future__ import annotations

from collections import Counter, deque

from voicebot.core import events as ev
from voicebot.core.history import History, ToolUse
from voicebot.core.playout import ReplyPlayout
from voicebot.core.settings import TurnSettings
from voicebot.core.talk import Reply, Timers, Turn
from voicebot.core.text import is_stop

ANSWER_MS = 600
"""People answer a question up to this long before it has been said to its end."""


class ReplySide:
    """State shared by both halves, and what concerns replies."""

    def __init__(self, settings: TurnSettings) -> None:
        self.settings = settings
        self.history = History(settings.history_turns)
        self.counts: Counter[str] = Counter()
        """drafts, aborted, reused, committed, barge_ins, resumed, reopened, failed, reply_timeouts, ignored, ..."""
        self._timers = Timers()
        self._notices: deque[str] = deque()
        self._out: list[ev.Command] = []
        self._now = 0.0
        self._ids = 0
        self._rate_hz = 0
        self._turn: Turn | None = None
        self._live: Reply | None = None

    # ---- it begins

    def _make_live(self, reply: Reply, caller: str) -> None:
        """From here on the reply counts: it may act, it is heard, and it will be in the history."""
        self.counts["committed"] += 1
        reply.marks.mark("commit", self._now)
        self._count_draft(reply)
        reply.exchange = self.history.add(reply.number, caller)
        reply.exchange.tools = reply.tools
        self._live = reply
        self._out += [ev.CommitReply(reply.id), ev.StartPlayout(reply.id)]
        self._publish_reply(reply)
        if reply.failed:
            self._apologize(reply)
        else:
            self._watch(reply)

    def _count_draft(self, reply: Reply) -> None:
        """Whether its first sound was ready when the turn was committed, and how long its making had run by then."""
        if reply.turn is not None and reply.marks.drafts:
            self.counts["drafts_ready" if reply.marks.ready_ms is not None else "drafts_late"] += 1
            self.counts["draft_used_ms"] += round(reply.marks.since_ms("stt_begin", self._now))

    # ---- it grows

    def _find(self, reply_id: int) -> Reply | None:
        held = self._turn.reply if self._turn is not None else None
        return next((reply for reply in (self._live, held) if reply is not None and reply.id == reply_id), None)

    def _on_reply_began(self, event: ev.ReplyBegan) -> bool:
        reply = self._find(event.reply)
        if reply is None:
            return False
        reply.model = event.model
        reply.route |= event.route
        return True

    def _on_clause(self, event: ev.ClauseWritten) -> bool:
        reply = self._find(event.reply)
        if reply is None or not reply.playout.write(event.clause, event.text):
            return False
        reply.marks.mark("first_clause", self._now)
        self._progress(reply)
        return True

    def _on_audio(self, event: ev.AudioQueued) -> bool:
        reply = self._find(event.reply)
        if reply is None or not reply.playout.queue(event.clause, event.samples, event.done, event.words):
            return False
        reply.marks.mark("first_audio", self._now)
        self._progress(reply)
        return True

    def _on_tool_began(self, event: ev.ToolBegan) -> bool:
        reply = self._find(event.reply)
        if reply is None:
            return False
        reply.acted = True
        self._progress(reply)
        return True

    def _on_tool(self, event: ev.ToolFinished) -> bool:
        reply = self._find(event.reply)
        if reply is None:
            return False
        reply.tools.append(ToolUse(event.call_id, event.name, event.arguments, event.value))
        reply.acted |= event.acting
        self._out.append(ev.PublishTool(reply.number, event.name, event.arguments, event.speech))
        self._progress(reply)
        return True

    def _on_completed(self, event: ev.ReplyCompleted) -> bool:
        reply = self._find(event.reply)
        if reply is None:
            return False
        reply.completed = True
        if reply.playout.queued_samples:
            self._progress(reply)
        else:
            self._fail(reply, can_speak=True)
        return True

    def _on_reply_failed(self, event: ev.ReplyFailed) -> bool:
        reply = self._find(event.reply)
        if reply is None:
            return False
        self.counts["failed"] += 1
        self._fail(reply, can_speak=event.stage != "tts")
        return True

    def _fail(self, reply: Reply, can_speak: bool) -> None:
        """A reply that was being heard ends after what is queued; one that was not becomes an apology."""
        if reply.playout.queued_samples:
            reply.completed = True
            self._progress(reply)
            return
        reply.failed = True
        if reply is not self._live:
            return
        if can_speak and reply.turn is not None:
            self._apologize(reply)
        else:
            self._out.append(ev.PublishError(self.settings.apology))
            self._end_reply(reply)

    def _apologize(self, failed: Reply) -> None:
        """Take the failed reply's place with fixed words, in the same exchange; still silent if it was paused."""
        self._out.append(ev.DropReply(failed.id))
        if failed.shown != ("", ""):
            self._publish_reply(failed, final=True)
        reply = self._new_reply(failed.number)
        reply.marks, reply.tools, reply.exchange = failed.marks, failed.tools, failed.exchange
        reply.route = failed.route
        self._speak(reply, self.settings.no_answer if failed.completed else self.settings.apology)
        if failed.paused:
            self._pause(reply)

    def _say(self, text: str) -> None:
        """Speak unasked, as an exchange without a caller's half."""
        number = self._next_id()
        reply = self._new_reply(number)
        reply.exchange = self.history.add(number, "")
        self._speak(reply, text)

    def _on_notice(self, event: ev.NoticeDue) -> bool:
        self._notices.append(event.text)
        if len(self._notices) > self.settings.notice_limit:
            self._out.append(ev.PublishError(f"Not said, too much is waiting: {self._notices.popleft()}"))
        return True

    def _on_notice_withdrawn(self, event: ev.NoticeWithdrawn) -> bool:
        if event.text not in self._notices:
            return False
        self._notices.remove(event.text)
        return True

    def _new_reply(self, number: int) -> Reply:
        return Reply(self._next_id(), number, ReplyPlayout(self._rate_hz))

    def _speak(self, reply: Reply, text: str) -> None:
        self._live = reply
        self._out += [ev.Speak(reply.id, text), ev.StartPlayout(reply.id)]
        self._watch(reply)

    def _progress(self, reply: Reply) -> None:
        if reply is self._live:
            self._publish_reply(reply)
            self._watch(reply)

    def _watch(self, live: Reply) -> None:
        """Set the time by which something must have come of the live reply."""
        if live.paused:
            return
        slack_ms = self.settings.playout_slack_ms if live.completed else self.settings.reply_timeout_ms
        self._set_timer("reply", live.playout.unheard_ms + slack_ms)

    def _on_playout_started(self, event: ev.PlayoutStarted) -> bool:
        live = self._live
        if live is None or live.id != event.reply or live.started:
            return False
        live.started = True
        live.marks.mark("playout", self._now)
        self._publish_turn(live)
        return True

    def _on_playout_heard(self, event: ev.PlayoutHeard) -> bool:
        live = self._live
        if live is None or live.id != event.reply:
            return False
        if live.playout.hear(event.heard_samples):
            self._publish_reply(live)
        return True

    def _on_playout_finished(self, event: ev.PlayoutFinished) -> bool:
        live = self._live
        if live is None or live.id != event.reply or not live.completed:
            return False
        self._end_heard(live)
        return True

    def _end_heard(self, live: Reply) -> None:
        live.playout.hear(live.playout.queued_samples)
        self._end_reply(live)

    def _end_reply(self, live: Reply) -> None:
        """The live reply is over: what was heard of it becomes history, and whoever spoke over it has the floor."""
        assert live.exchange is not None
        self._live = None
        self._timers.drop("reply")
        self._out.append(ev.DropReply(live.id))
        live.exchange.bot = live.playout.heard_text()
        live.exchange.interrupted = live.exchange.bot != live.playout.text
        self._publish_reply(live, final=True)
        self._publish_turn(live, ended=True)
        if self._turn is not None:
            self._turn.overlaps = False
            self._timers.drop("verdict")

    def _reply_overdue(self, live: Reply) -> None:
        self.counts["reply_timeouts"] += 1
        if live.completed:
            self._end_heard(live)
        elif live.playout.queued_samples:
            self._cut(live)
        else:
            self._fail(live, can_speak=True)

    # ---- it is interrupted

    def _pause(self, live: Reply) -> None:
        live.paused = True
        self._timers.drop("reply")
        self._out.append(ev.PausePlayout(live.id))

    def _cut(self, live: Reply) -> None:
        self._out.append(ev.ClearPlayout(live.id))
        self._end_reply(live)

    def _may_reopen(self, live: Reply, turn: Turn) -> bool:
        """`turn` goes on where the live reply's turn was thought to have ended: hardly any of the reply was heard."""
        heard_ms = live.playout.heard_samples * 1000 / self._rate_hz
        said_stop = turn.draft_text is not None and is_stop(turn.draft_text)
        fresh = heard_ms <= self.settings.reopen_ms and not live.acted
        return fresh and not said_stop and not asks(live)

    # ---- it is shown

    def _publish_reply(self, reply: Reply, final: bool = False) -> None:
        shown = (reply.playout.text, reply.playout.heard_text())
        if final or shown != reply.shown:
            reply.shown = shown
            interrupted = final and shown[0] != shown[1]
            self._out.append(ev.PublishReply(reply.number, reply.id, *shown, final=final, interrupted=interrupted))

    def _publish_turn(self, live: Reply, ended: bool = False) -> None:
        assert live.exchange is not None
        self._out.append(
            ev.PublishTurn(
                live.number,
                live.exchange.caller,
                live.exchange.bot if ended else live.playout.text,
                live.model,
                live.marks.v2v_ms(),
                live.marks.waterfall(),
                interrupted=live.exchange.interrupted,
                ended=ended,
                route=dict(live.route),
            )
        )

    def _next_id(self) -> int:
        self._ids += 1
        return self._ids

    def _set_timer(self, name: str, in_ms: float) -> None:
        self._timers.set(name, self._now + in_ms / 1000)


def asks(live: Reply) -> bool:
    """The reply's closing question has been heard but for its tail: words now are the answer to it."""
    playout = live.playout
    return live.completed and playout.text.endswith("?") and playout.unheard_ms <= ANSWER_MS
