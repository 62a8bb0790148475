"""Drafts: the answer is made while it is not known yet whether the caller has finished.

    the bot has been heard to its end, the caller begins, partial words --> read ahead
    soft end --> transcript --> held reply --commit--> heard at once
        `--- the caller goes on: aborted, and the held reply kept until the new words are known

A draft has no side effects. While the caller speaks, the model that would answer reads what is known of the prompt, so
that the draft costs it the last words only; a wrong guess changes no answer. Where there is no computing to spare
(`DraftsAllowed(False)`), or drafts are switched off, nothing is read ahead, the recogniser is told of no silence, the
transcript waits for `min_wait_ms` of it and the reply for the commit; sound over the bot is judged early all the same.
"""

from __future__ import annotations

from voicebot.core import events as ev
from voicebot.core.endpoint import Endpointer, SoftEnded
from voicebot.core.errand_side import ErrandSide
from voicebot.core.settings import TurnSettings
from voicebot.core.talk import Reply, Turn
from voicebot.core.text import normalize

UNSURE_WORDS = 1
"""The last of a partial transcript, which are not read ahead: they often change, and would be read at the moment when
the recogniser's last pass and then the reply want the cores."""


class DraftSide(ErrandSide):
    """What concerns drafts of both the transcript and the reply."""

    def __init__(self, settings: TurnSettings) -> None:
        super().__init__(settings)
        self._endpoint = Endpointer(settings)
        self._drafts = settings.drafts
        self._ahead = 0
        """How many of the turn's words have been read ahead."""

    def _on_drafts_allowed(self, event: ev.DraftsAllowed) -> bool:
        self._drafts = event.allowed and self.settings.drafts
        return True

    def _read_head(self, turn: Turn) -> None:
        """The caller begins to speak: what comes before the words is known."""
        self._ahead = 0
        self._read_ahead(turn, "")

    def _read_partial(self, turn: Turn, text: str) -> None:
        words = text.split()
        sure = words[: max(0, len(words) - UNSURE_WORDS)]
        if len(sure) > self._ahead:
            self._ahead = len(sure)
            self._read_ahead(turn, " ".join(sure))

    def _end_heard(self, live: Reply) -> None:
        """The talk so far is read while nobody says anything: it may be long where it has just lost its beginning."""
        super()._end_heard(live)
        if self._turn is None:
            self._read(live.number, "")

    def _read_ahead(self, turn: Turn, text: str) -> None:
        if not turn.overlaps and self._live is None:
            self._read(turn.number, after_prefix(turn, text))

    def _read(self, number: int, text: str) -> None:
        if self._drafts:
            self.counts["read_ahead"] += 1
            self._out.append(ev.ReadAhead(number, text))

    def _soft_ended(self, turn: Turn, edge: SoftEnded) -> None:
        """The caller has fallen silent: begin a draft, now or later."""
        if self._drafts or turn.overlaps:
            self._begin_draft(turn, edge)
        else:
            turn.postponed = edge.stop_sample

    def _begin_postponed(self, turn: Turn, silence_ms: float) -> None:
        if turn.postponed is not None and silence_ms >= self.settings.min_wait_ms:
            self._begin_draft(turn, SoftEnded(turn.postponed))

    def _begin_draft(self, turn: Turn, edge: SoftEnded) -> None:
        turn.draft, turn.draft_text, turn.audio_end = self._next_id(), None, None
        turn.postponed = None
        turn.marks.remark("speech_stop", self._now - self._endpoint.silence_ms / 1000)
        turn.marks.remark("stt_begin", self._now)
        turn.marks.forget("stt_end")
        self.counts["drafts"] += 1
        turn.marks.drafts += 1
        self._out.append(ev.BeginDraft(turn.draft, turn.id, turn.start_sample, edge.stop_sample))
        self._set_timer("draft", self.settings.stt_timeout_ms)
        if turn.overlaps:
            self._set_timer("verdict", self.settings.verdict_ms)

    def _abort_draft(self, turn: Turn) -> None:
        """The caller goes on. The held reply stays until the new words are known: they may be the same."""
        turn.postponed = None
        if turn.draft is None:
            return
        self.counts["aborted"] += 1
        self._waste(turn, "stt_begin")
        self._out.append(ev.AbortDraft(turn.draft, turn.id))
        turn.draft = turn.draft_text = turn.audio_end = None
        self._timers.drop("draft", "verdict")

    def _waste(self, turn: Turn, since: str) -> None:
        """Count what a stage of a draft that is given up has run since that mark."""
        self.counts["draft_wasted_ms"] += round(turn.marks.since_ms(since, self._now))

    def _draft_reply(self, turn: Turn) -> None:
        """A held reply to the turn's words; one made for the same words is kept."""
        key = normalize(turn.words)
        if turn.reply is not None:
            if turn.reply.key == key and not turn.reply.failed:
                self.counts["reused"] += 1
                turn.reply.marks = turn.marks
                return
            self._drop_held(turn)
        reply = turn.reply = self._new_reply(turn.number)
        reply.key, reply.marks, reply.turn = key, turn.marks, turn
        turn.marks.forget("first_clause", "first_audio")
        turn.marks.remark("llm_begin", self._now)
        self._out.append(ev.BeginReply(reply.id, turn.number, turn.words))

    def _drop_held(self, turn: Turn) -> None:
        if turn.reply is not None:
            self._waste(turn, "llm_begin")
            self._out.append(ev.DropReply(turn.reply.id))
            turn.reply = None


def after_prefix(turn: Turn, text: str) -> str:
    """The words of the turn, where `text` is what has been heard of it since it was opened or reopened."""
    return " ".join(part for part in (turn.prefix, text) if part)
