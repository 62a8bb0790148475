"""The turn machine of a call whose client has a say in the turns; until it says something, it is `TurnMachine`.

Rules:
1. What the client commits or adds stands at once: it is in the history, and is never reopened.
2. A reply that is wanted begins when nobody speaks and nothing is in recognition; a turn that gets a reply of its own
   meanwhile is the answer to that wish too.
3. A tool that the client runs ends its reply. Its result joins the call in the history whenever it comes.
4. How much of a reply was heard is what the client says, where it does; else what the clock says.
5. Where speech may not interrupt, a turn over the bot waits for the bot's end.
"""

from __future__ import annotations

import json
from collections import OrderedDict, deque
from dataclasses import replace

from voicebot.core import events as ev
from voicebot.core.endpoint import SoftEnded
from voicebot.core.history import Exchange, ToolUse
from voicebot.core.playout import ReplyPlayout
from voicebot.core.settings import TurnSettings
from voicebot.core.talk import Reply, Turn
from voicebot.core.turn import TurnMachine

COMMITS_WAITING = 8
"""Commits that wait for the recognition of the one before; further ones are ignored."""
CORRECTABLE = 32
"""Replies whose heard part can still be corrected; older ones stay as they are."""
NOT_RECOGNISED = "the speech could not be recognised"


class ClientTurns(TurnMachine):
    """One call."""

    def __init__(self, settings: TurnSettings) -> None:
        super().__init__(settings)
        self._detects = self._answers = True
        self._wanted = False
        self._commits: deque[ev.SpeechCommitted] = deque()
        self._handed_over: set[int] = set()
        self._spoken: OrderedDict[int, tuple[ReplyPlayout, Exchange]] = OrderedDict()
        self._handlers |= {
            ev.TurnsSet: self._on_turns_set,
            ev.SpeechCommitted: self._on_speech_committed,
            ev.SpeechCleared: self._on_speech_cleared,
            ev.WordsAdded: self._on_words_added,
            ev.ReplyWanted: self._on_reply_wanted,
            ev.ReplyCancelled: self._on_reply_cancelled,
            ev.HeardCorrected: self._on_heard_corrected,
            ev.ToolHandedOver: self._on_handed_over,
            ev.ToolAnswered: self._on_tool_answered,
            ev.WordsForgotten: self._on_forgotten,
        }

    # ---- who makes turns

    @property
    def _listens(self) -> bool:
        """Not while a turn of the client's is in recognition: one turn is heard at a time."""
        return self._detects and (self._turn is None or not self._turn.by_client)

    def _on_turns_set(self, event: ev.TurnsSet) -> bool:
        self._detects, self._answers, self._interruptible = event.detect, event.answer, event.interrupt
        self.settings = replace(
            self.settings,
            speech_threshold=event.speech_threshold,
            silence_threshold=event.silence_threshold,
            lead_in_ms=event.lead_in_ms,
            min_wait_ms=event.min_wait_ms,
            max_wait_ms=event.max_wait_ms,
        )
        self._endpoint.tune(self.settings)
        if self._turn is not None and not self._turn.by_client and not event.detect:
            self._let_go(self._turn)
        return True

    def _let_go(self, turn: Turn) -> None:
        """Of a turn that was found in the speech."""
        if turn.overlaps:
            self._resume(turn)
        else:
            self._drop_turn(turn)

    def _on_speech_committed(self, event: ev.SpeechCommitted) -> bool:
        if event.stop_sample <= event.start_sample or len(self._commits) >= COMMITS_WAITING:
            return False
        if self._turn is not None and not self._turn.by_client:
            self._let_go(self._turn)
        self._commits.append(event)
        return True

    def _on_speech_cleared(self, _event: ev.SpeechCleared) -> bool:
        if self._turn is None or self._turn.by_client:
            return False
        self._let_go(self._turn)
        return True

    def _recognise_next(self) -> None:
        event = self._commits.popleft()
        number = self._next_id()
        turn = self._turn = Turn(number, number, start_sample=event.start_sample, by_client=True)
        self._out.append(ev.BeginListening(number, event.start_sample))
        self._begin_draft(turn, SoftEnded(event.stop_sample))

    def _draft_reply(self, turn: Turn) -> None:
        if self._answers and not turn.by_client:
            super()._draft_reply(turn)

    def _read_ahead(self, turn: Turn, text: str) -> None:
        if not turn.by_client:
            super()._read_ahead(turn, text)

    def _read(self, number: int, text: str) -> None:
        if self._answers:
            super()._read(number, text)

    def _try_commit(self, turn: Turn) -> None:
        if turn.by_client:
            if turn.draft_text is not None:
                self._stand(turn)
        elif self._live is None or turn.overlaps:
            if self._answers or not turn.words:
                super()._try_commit(turn)
            elif self._waited(turn):
                self._stand(turn)

    def _stand(self, turn: Turn) -> None:
        """It is in the talk, and nobody answers it unasked."""
        self._drop_held(turn)
        self._close_turn(turn)
        self._publish_transcript(turn, turn.words, final=True)
        self._record_unanswered(turn)

    def _lose_draft(self, turn: Turn) -> None:
        if turn.overlaps or (self._answers and not turn.by_client):
            super()._lose_draft(turn)
            return
        self._drop_turn(turn)
        self._out.append(ev.PublishUnheard(turn.number, NOT_RECOGNISED))

    # ---- what it adds and takes away

    def _on_words_added(self, event: ev.WordsAdded) -> bool:
        number = self._next_id()
        exchange = self.history.add(number, event.text if event.role == "user" else "")
        if event.role == "assistant":
            exchange.bot = event.text
        self._out.append(ev.PublishAdded(number, event.role, event.text))
        return True

    def _on_tool_answered(self, event: ev.ToolAnswered) -> bool:
        if not self.history.answer_tool(event.call_id, event.value):
            number = self._next_id()
            exchange = self.history.add(number, "")
            exchange.tools.append(ToolUse(event.call_id, event.name, event.arguments, event.value))
            self._out.append(ev.PublishAdded(number, "tool", json.dumps(event.value)))
        return True

    def _on_forgotten(self, event: ev.WordsForgotten) -> bool:
        return self.history.forget(event.turn, event.role, event.call_id)

    # ---- replies

    def _on_reply_wanted(self, _event: ev.ReplyWanted) -> bool:
        self._wanted = True
        return True

    def _commit(self, turn: Turn, reply: Reply) -> None:
        self._wanted = False
        super()._commit(turn, reply)

    def _settle(self) -> None:
        if self._turn is None and self._commits:
            self._recognise_next()
        if self._wanted and self._turn is None and self._live is None:
            self._wanted = False
            self._begin_wanted()
        super()._settle()

    def _begin_wanted(self) -> None:
        number = self._next_id()
        reply = self._new_reply(number)
        reply.turn, reply.acted = Turn(number, number), True
        reply.marks = reply.turn.marks
        reply.marks.mark("speech_stop", self._now)
        reply.marks.mark("llm_begin", self._now)
        self._out.append(ev.BeginReply(reply.id, number, ""))
        self._make_live(reply, "")

    def _on_reply_cancelled(self, _event: ev.ReplyCancelled) -> bool:
        wanted, self._wanted = self._wanted, False
        if self._live is not None:
            self._cut(self._live)
            return True
        return wanted

    def _on_heard_corrected(self, event: ev.HeardCorrected) -> bool:
        live = self._live
        if live is not None and live.id == event.reply:
            self._cut(live)
        if event.reply not in self._spoken:
            return False
        playout, exchange = self._spoken[event.reply]
        playout.correct(event.heard_samples)
        exchange.bot = playout.heard_text()
        exchange.interrupted = exchange.bot != playout.text
        self._out.append(ev.PublishHeard(event.reply, exchange.bot, exchange.interrupted))
        return True

    def _end_reply(self, live: Reply) -> None:
        super()._end_reply(live)
        assert live.exchange is not None
        self._handed_over.discard(live.id)
        self._spoken[live.id] = (live.playout, live.exchange)
        if len(self._spoken) > CORRECTABLE:
            self._spoken.popitem(last=False)

    def _on_handed_over(self, event: ev.ToolHandedOver) -> bool:
        reply = self._live
        if reply is None or reply.id != event.reply:
            return False
        reply.tools.append(ToolUse(event.call_id, event.name, event.arguments, None))
        reply.acted = True
        self._handed_over.add(reply.id)
        self._out.append(ev.PublishCalled(reply.number, reply.id, event.call_id, event.name, event.arguments))
        self._progress(reply)
        return True

    def _on_completed(self, event: ev.ReplyCompleted) -> bool:
        live = self._live
        if live is None or live.id != event.reply or live.id not in self._handed_over or live.playout.queued_samples:
            return super()._on_completed(event)
        live.completed = True
        self._end_reply(live)
        return True
