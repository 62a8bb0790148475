"""The background half of the turn machine: errands from the moment they are wanted to their answer's last heard word.

Rules: see `errands.py`. An errand outlives the reply that asked for it: that one may be interrupted, the answer still
comes. It does not outlive its turn being taken back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from voicebot.core import events as ev
from voicebot.core.errand_events import ErrandState
from voicebot.core.errands import DELIVERIES, Errand, Errands
from voicebot.core.reply_side import ReplySide
from voicebot.core.settings import TurnSettings
from voicebot.core.talk import Reply
from voicebot.core.text import is_stop


class ErrandSide(ReplySide):
    """State and steps of errands; `turn.py` tells it when there is a gap."""

    def __init__(self, settings: TurnSettings) -> None:
        super().__init__(settings)
        self._errands = Errands()
        self._quiet_since: float | None = None
        """When the last of caller and bot fell silent."""

    def _bot_handlers(self) -> dict[type[Any], Callable[[Any], bool]]:
        """For what is told of replies and errands."""
        return {
            ev.ReplyBegan: self._on_reply_began,
            ev.ClauseWritten: self._on_clause,
            ev.AudioQueued: self._on_audio,
            ev.ToolBegan: self._on_tool_began,
            ev.ToolFinished: self._on_tool,
            ev.ReplyCompleted: self._on_completed,
            ev.ReplyFailed: self._on_reply_failed,
            ev.PlayoutStarted: self._on_playout_started,
            ev.PlayoutHeard: self._on_playout_heard,
            ev.PlayoutFinished: self._on_playout_finished,
            ev.NoticeDue: self._on_notice,
            ev.NoticeWithdrawn: self._on_notice_withdrawn,
            ev.ErrandWanted: self._on_errand_wanted,
            ev.ErrandReady: self._on_errand_ready,
            ev.ErrandRefused: self._on_errand_refused,
        }

    # ---- wanted, begun

    def _on_errand_wanted(self, event: ev.ErrandWanted) -> bool:
        reply = self._find(event.reply)
        if reply is None or reply.turn is None or reply.request or not event.request:
            return False
        reply.request = event.request
        if reply is self._live:
            self._begin_errand(reply)
        return True

    def _make_live(self, reply: Reply, caller: str) -> None:
        self._heed(caller)
        super()._make_live(reply, caller)
        if reply.request:
            self._begin_errand(reply)

    def _begin_errand(self, reply: Reply) -> None:
        before = self._errands.replaced_by(reply.request)
        if before is not None:
            self._end_errand(before, "superseded")
        errand = Errand(self._next_id(), reply.number, reply.request, self._now, len(self.history.exchanges))
        self._errands.add(errand)
        self._out.append(ev.BeginErrand(errand.id, errand.turn, errand.request))
        self._show(errand, "pending")

    # ---- not wanted any more

    def _heed(self, caller: str) -> None:
        """What the caller's words mean for open errands."""
        withdrawn = self._errands.withdrawn_by(caller)
        if withdrawn is not None:
            self._end_errand(withdrawn, "cancelled")
        if is_stop(caller):
            for errand in self._errands:
                if errand.deliveries:
                    self._end_errand(errand, "cancelled")

    def _on_errand_refused(self, event: ev.ErrandRefused) -> bool:
        errand = self._errands.find(event.errand)
        if errand is None or errand.reply is not None:
            return False
        self._end_errand(errand, "cancelled")
        return True

    def _take_back(self, turn: int) -> None:
        """The turn goes on: it never was an exchange, and its errand has half a question."""
        self.history.remove(turn)
        for errand in self._errands:
            if errand.turn == turn:
                self._end_errand(errand, "superseded")

    def _end_errands(self) -> None:
        for errand in self._errands:
            self._end_errand(errand, "ended")

    def _end_errand(self, errand: Errand, state: ErrandState) -> None:
        self._errands.remove(errand)
        self._out.append(ev.DropErrand(errand.id))
        self._show(errand, state)

    # ---- answered, delivered

    def _on_errand_ready(self, event: ev.ErrandReady) -> bool:
        errand = self._errands.find(event.errand)
        if errand is None or errand.outcome is not None:
            return False
        errand.outcome = event.outcome
        self._show(errand, "ready")
        return True

    def _mind_gap(self, quiet: bool, stirring: bool) -> None:
        """After every step: speak what waits as soon as both sides have been silent long enough.

        `stirring`: the caller may just have begun to speak, so this is no moment to begin.
        """
        if not quiet:
            self._quiet_since = None
            self._timers.drop("gap")
            return
        if self._quiet_since is None:
            self._quiet_since = self._now
        if stirring:
            self._timers.drop("gap")
            return
        if self._notices:
            self._say(self._notices.popleft())
            return
        errand = self._next_answer()
        if errand is None:
            return
        asked = self.history.last_reply().endswith("?")
        gap_ms = self.settings.errand_answer_ms if asked else self.settings.errand_gap_ms
        due = self._quiet_since + gap_ms / 1000
        if self._now >= due:
            self._deliver(errand)
        else:
            self._timers.set("gap", due)

    def _next_answer(self) -> Errand | None:
        while (errand := self._errands.ready()) is not None:
            if (self._now - errand.asked_at) * 1000 <= self.settings.errand_stale_ms:
                return errand
            self._end_errand(errand, "stale")
        return None

    def _deliver(self, errand: Errand) -> None:
        introduce = len(self.history.exchanges) > errand.exchanges
        number = self._next_id()
        reply = self._new_reply(number)
        reply.exchange = self.history.add(number, "", about=errand.turn)
        errand.reply, errand.deliveries = reply.id, errand.deliveries + 1
        self._live = reply
        self._out += [ev.DeliverErrand(reply.id, errand.id, introduce), ev.StartPlayout(reply.id)]
        self._show(errand, "speaking")
        self._watch(reply)

    def _end_reply(self, live: Reply) -> None:
        super()._end_reply(live)
        errand = self._errands.spoken_by(live.id)
        if errand is None:
            return
        heard_ms = live.playout.heard_samples * 1000 / self._rate_hz
        cut_early = live.exchange is not None and live.exchange.interrupted and heard_ms <= self.settings.reopen_ms
        if cut_early and errand.deliveries < DELIVERIES:
            errand.reply = None
            self._show(errand, "ready")
        else:
            self._end_errand(errand, "delivered")

    def _show(self, errand: Errand, state: ErrandState) -> None:
        self.counts[f"errands_{state}"] += 1
        self._out.append(ev.PublishErrand(errand.id, errand.turn, errand.request, state))
