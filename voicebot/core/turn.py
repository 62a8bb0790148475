"""The turn machine: everything that a call decides, as a pure function of its events.

Rules:
1. `step(event, now)` is total, synchronous and deterministic; an event that fits nothing is counted in `ignored`.
2. Silence is measured on the caller's sample clock; `now` (monotonic seconds) serves timeouts and the waterfall.
3. At most one turn is being heard and at most one reply is live. A turn's own reply is held until the commit.
4. Speech over a live reply pauses it at once; only then is it judged: backchannel or noise -> resume, words or
   `interrupt_ms` of voice -> clear. If little of the reply was heard, the turn is reopened and both halves merge.
5. What the caller has not heard is in no history; a tool that acted forbids the reopening of its turn.
6. Nothing waits on an echo from outside: every wait has a timer.

    nothing --SpeechStarted--> hearing --SoftEnded--> draft --transcribed--> held reply --wait over--> live reply
                                  ^                     |                        |                         |
                                  +---- SpeechResumed --+------------------------+     PlayoutFinished / cleared
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from voicebot.core import events as ev
from voicebot.core.draft_side import DraftSide, after_prefix
from voicebot.core.endpoint import SoftEnded, SpeechResumed, SpeechStarted
from voicebot.core.reply_side import asks
from voicebot.core.settings import TurnSettings
from voicebot.core.talk import DIGIT_WAIT_MS, Keypad, Reply, Turn, wait_ms
from voicebot.core.text import is_backchannel, is_stop, normalize


class TurnMachine(DraftSide):
    """One call. The shell feeds events, runs the commands in order, and wakes it at `deadline`."""

    def __init__(self, settings: TurnSettings) -> None:
        super().__init__(settings)
        self._keypad = Keypad()
        self._interruptible = True
        self._deaf = False
        self._ended = False
        self._state: ev.State | None = None
        self._handlers: dict[type[Any], Callable[[Any], bool]] = {
            ev.CallStarted: self._on_started,
            ev.WindowHeard: self._on_window,
            ev.SilenceLasted: self._on_silence,
            ev.PartialTranscribed: self._on_partial,
            ev.DraftTranscribed: self._on_transcribed,
            ev.DraftFailed: self._on_draft_failed,
            ev.EndScored: self._on_end_scored,
            ev.DraftsAllowed: self._on_drafts_allowed,
            **self._bot_handlers(),
            ev.TextTyped: self._on_typed,
            ev.DigitPressed: self._on_digit,
            ev.DeadlinePassed: self._on_deadline,
            ev.CallEnded: self._on_ended,
        }

    @property
    def deadline(self) -> float | None:
        """When the shell must step DeadlinePassed at the latest, if nothing else happens; monotonic seconds."""
        return self._timers.next

    @property
    def due_sample(self) -> int | None:
        """When the caller's speech has come so far, silence has lasted long enough; None where that decides nothing.

        A wait ends there, and not with the next window that is whole.
        """
        turn = self._turn
        if turn is None or turn.overlaps or turn.draft_text is None or self._waited(turn):
            return None
        return self._endpoint.sample_after(wait_ms(self.settings, turn.end_probability()))

    @property
    def silent_from(self) -> int | None:
        """Where the silence begins that may be the end of the turn; None while nobody is to guess at it.

        A guess costs a pass of the recogniser at each short pause.
        """
        guesses = self._drafts or (self._turn is not None and self._turn.overlaps)
        return self._endpoint.voiced_until if guesses else None

    @property
    def ended(self) -> bool:
        return self._ended

    def step(self, event: ev.Event, now: float) -> list[ev.Command]:
        """What is to be done about `event`, in order. `now`: monotonic seconds, never earlier than before."""
        self._now, self._out = now, []
        if not self._is_timely(event) or not self._handlers[type(event)](event):
            self.counts["ignored"] += 1
        elif not self._ended:
            self._settle()
        return self._out

    def _is_timely(self, event: ev.Event) -> bool:
        """A call begins once, with CallStarted, and nothing happens after its end."""
        if isinstance(event, ev.CallEnded):
            return not self._ended
        return not self._ended and isinstance(event, ev.CallStarted) != bool(self._rate_hz)

    # ---- the caller's speech

    @property
    def _listens(self) -> bool:
        """Whether speech may be a turn now."""
        return True

    def _on_started(self, event: ev.CallStarted) -> bool:
        self._rate_hz = event.playout_rate_hz
        if self.settings.call_limit_ms:
            self._set_timer("call", self.settings.call_limit_ms)
        if self.settings.greeting:
            self._say(self.settings.greeting)
        return True

    def _on_window(self, event: ev.WindowHeard) -> bool:
        self._deaf = False
        if self._live is not None and self._live.playout.hear(event.heard_samples):
            self._publish_reply(self._live)
        edge = self._endpoint.push(event.speech_probability, event.stop_sample) if self._listens else None
        if isinstance(edge, SpeechStarted):
            self._open_turn(edge)
        elif self._turn is not None:
            self._on_edge(self._turn, edge)
        if self._endpoint.stirring:
            self._set_timer("stir", self.settings.start_ms)
        else:
            self._timers.drop("stir")
        return True

    def _on_edge(self, turn: Turn, edge: SpeechResumed | SoftEnded | None) -> None:
        self._set_timer("media", self.settings.media_gap_ms)
        if isinstance(edge, SpeechResumed):
            self._abort_draft(turn)
        elif isinstance(edge, SoftEnded):
            self._soft_ended(turn, edge)
        self._begin_postponed(turn, self._endpoint.silence_ms)
        if turn.overlaps and self._endpoint.voiced_ms >= self.settings.interrupt_ms:
            self._yield_floor(turn)
        self._try_commit(turn)

    def _on_silence(self, event: ev.SilenceLasted) -> bool:
        if self._turn is None or not self._endpoint.wait(event.stop_sample):
            return False
        self._try_commit(self._turn)
        return True

    def _open_turn(self, edge: SpeechStarted) -> None:
        number = self._next_id()
        turn = self._turn = Turn(number, number, start_sample=edge.start_sample)
        self._out.append(ev.BeginListening(turn.id, edge.start_sample))
        self._set_timer("media", self.settings.media_gap_ms)
        if self._live is not None and self._interruptible:
            turn.overlaps = True
            self._pause(self._live)
        self._read_head(turn)

    def _on_partial(self, event: ev.PartialTranscribed) -> bool:
        turn = self._turn
        if turn is None or turn.id != event.turn or turn.draft_text is not None:
            return False
        if not turn.overlaps:
            self._publish_transcript(turn, after_prefix(turn, event.text))
        self._read_partial(turn, event.text)
        return True

    def _on_transcribed(self, event: ev.DraftTranscribed) -> bool:
        turn = self._turn
        if turn is None or turn.draft != event.draft or turn.draft_text is not None:
            return False
        self._timers.drop("draft")
        turn.draft_text = event.text.strip() if normalize(event.text) else ""
        turn.marks.mark("stt_end", self._now)
        if turn.overlaps:
            if not self._takes_floor(turn.draft_text, event.confidence):
                self._resume(turn)
                return True
            self._yield_floor(turn)
        if is_stop(turn.draft_text):
            turn.prefix = ""
        if turn.words:
            self._publish_transcript(turn, turn.words)
            if self._drafts:
                self._draft_reply(turn)
        else:
            self._drop_held(turn)
        self._try_commit(turn)
        return True

    def _takes_floor(self, text: str, confidence: float) -> bool:
        """Words do, where the recogniser is sure of them; a listener's noises only where the bot was asking."""
        assert self._live is not None
        takes = not is_backchannel(text) or (bool(text) and asks(self._live))
        return takes and confidence >= self.settings.overlap_confidence

    def _on_draft_failed(self, event: ev.DraftFailed) -> bool:
        turn = self._turn
        if turn is None or turn.draft != event.draft or turn.draft_text is not None:
            return False
        self._lose_draft(turn)
        return True

    def _lose_draft(self, turn: Turn) -> None:
        """No transcript will come: the bot goes on if it was speaking, else it says so."""
        if turn.overlaps:
            self._resume(turn)
            return
        self._drop_turn(turn)
        self._say(self.settings.apology)

    def _on_end_scored(self, event: ev.EndScored) -> bool:
        turn = self._turn
        if turn is None or turn.draft != event.draft:
            return False
        turn.audio_end = event.probability
        self._try_commit(turn)
        return True

    # ---- the commit

    def _try_commit(self, turn: Turn) -> None:
        if turn.overlaps or turn.draft_text is None or not self._waited(turn):
            return
        if turn.words and turn.reply is None:
            self._draft_reply(turn)
        if turn.reply is not None:
            self._commit(turn, turn.reply)
            return
        voiced_ms = self._endpoint.voiced_ms
        self._drop_turn(turn)
        if voiced_ms >= self.settings.unheard_ms:
            self._say(self.settings.not_understood)

    def _waited(self, turn: Turn) -> bool:
        """Whether silence has lasted long enough, for all that is known of the turn."""
        return self._deaf or self._endpoint.silence_ms >= wait_ms(self.settings, turn.end_probability())

    def _commit(self, turn: Turn, reply: Reply) -> None:
        self._close_turn(turn)
        self._publish_transcript(turn, turn.words, final=True)
        self._make_live(reply, turn.words)

    def _close_turn(self, turn: Turn) -> None:
        self._turn = None
        self._endpoint.reset()
        self._timers.drop("draft", "verdict", "media")
        self._out.append(ev.StopListening(turn.id))

    def _drop_turn(self, turn: Turn) -> None:
        """It was no turn: nothing of it remains but its trace."""
        if turn.draft is not None and turn.draft_text is None:
            self._out.append(ev.AbortDraft(turn.draft, turn.id))
        self._drop_held(turn)
        if turn.shown:
            self._publish_transcript(turn, "", final=True)
        self._close_turn(turn)

    # ---- barge-in

    def _resume(self, turn: Turn) -> None:
        """The sound over the bot was none that takes the floor."""
        assert self._live is not None
        self._drop_turn(turn)
        self.counts["resumed"] += 1
        self._live.paused = False
        self._out.append(ev.ResumePlayout(self._live.id))
        self._watch(self._live)

    def _yield_floor(self, turn: Turn) -> None:
        """The caller interrupts: the live reply ends here, or its turn is reopened if hardly any of it was heard."""
        live = self._live
        assert live is not None
        self.counts["barge_ins"] += 1
        self._cut(live)
        if live.turn is not None and self._may_reopen(live, turn):
            self.counts["reopened"] += 1
            turn.number, turn.prefix = live.number, live.turn.words
            self._take_back(live.number)

    # ---- words from elsewhere

    def _on_typed(self, event: ev.TextTyped) -> bool:
        text = event.text.strip()
        if not text:
            return False
        if self._turn is not None:
            self._drop_turn(self._turn)
        if self._live is not None:
            self.counts["barge_ins"] += 1
            self._cut(self._live)
        number = self._next_id()
        turn = Turn(number, number, draft_text=text)
        turn.marks.mark("speech_stop", self._now)
        self._publish_transcript(turn, text, final=True)
        self._draft_reply(turn)
        assert turn.reply is not None
        self._make_live(turn.reply, text)
        return True

    def _on_digit(self, event: ev.DigitPressed) -> bool:
        """Keys gather until # or a pause; then they are a turn."""
        if event.digit == "#":
            return self._enter_digits()
        pressed = self._keypad.press(event.digit)
        if pressed:
            self._set_timer("digits", DIGIT_WAIT_MS)
        return pressed

    def _enter_digits(self) -> bool:
        self._timers.drop("digits")
        return self._on_typed(ev.TextTyped(self._keypad.take()))

    # ---- time

    def _on_deadline(self, _event: ev.DeadlinePassed) -> bool:
        due = self._timers.due(self._now)
        for name in due:
            if self._timers.take(name, self._now):
                self._on_timer(name)
        return bool(due)

    def _on_timer(self, name: str) -> None:
        match name:
            case "draft" | "verdict":
                assert self._turn is not None, "the timer is dropped with the turn"
                self.counts["draft_timeouts"] += 1
                self._lose_draft(self._turn)
            case "media":
                assert self._turn is not None, "the timer is dropped with the turn"
                self._media_gap(self._turn)
            case "reply":
                assert self._live is not None, "the timer is dropped with the reply"
                self._reply_overdue(self._live)
            case "digits":
                self._enter_digits()
            case "gap" | "stir":
                pass  # What waits is spoken by what follows every step.
            case _:
                self._out.append(ev.EndCall(f"{name} limit reached"))

    def _media_gap(self, turn: Turn) -> None:
        """No windows come: silence as far as the open turn is concerned."""
        self._deaf = True
        edge = self._endpoint.cut()
        if edge is not None:
            self._begin_draft(turn, edge)
        self._begin_postponed(turn, float("inf"))
        self._try_commit(turn)

    # ---- the end

    def _on_ended(self, _event: ev.CallEnded) -> bool:
        if self._turn is not None:
            self._record_unanswered(self._turn)
            self._drop_turn(self._turn)
        if self._live is not None:
            self._cut(self._live)
        self._end_errands()
        self._ended = True
        self._timers.clear()
        self._publish_state("ended")
        return True

    def _record_unanswered(self, turn: Turn) -> None:
        """Words that were understood but not answered are not lost."""
        if turn.words and not turn.overlaps:
            self.history.add(turn.number, turn.words)
            self._out.append(ev.PublishTurn(turn.number, turn.words, "", "", None, turn.marks.waterfall(), ended=True))
            turn.shown = ""

    # ---- after every step

    def _settle(self) -> None:
        """Fill a gap with what waits to be said, then tell the state if it changed."""
        self._mind_gap(self._turn is None and self._live is None, stirring="stir" in self._timers)
        self._publish_state(self._state_now())

    def _state_now(self) -> ev.State:
        live = self._live
        if live is not None and live.paused:
            return "paused"
        if self._turn is not None:
            return "hearing"
        if live is not None:
            return "speaking" if live.started else "thinking"
        return "listening"

    def _publish_state(self, state: ev.State) -> None:
        if state == self._state:
            return
        self._state = state
        self._out.append(ev.PublishState(state))
        self._timers.drop("idle")
        if state == "listening" and self.settings.idle_ms:
            self._set_timer("idle", self.settings.idle_ms)

    def _publish_transcript(self, turn: Turn, text: str, final: bool = False) -> None:
        if final or text != turn.shown:
            turn.shown = text
            self._out.append(ev.PublishTranscript(turn.number, text, final))
