"""What happens in the call, told as server events in the protocol's order. Pure.

Rules:
1. A turn is an item once it is committed; speech that was no turn after all ends with `input_audio_buffer.cleared`.
2. Clients fall silent at `speech_started`, and cannot be told to go on: over the bot's voice it is sent when the speech
   has turned out to be an interruption, not at the first sound of a cough.
3. A response begins with the playout of its reply, and ends with the reply: heard to its end, cut, or failed.
4. The item of a response that was cut holds what was heard of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from voicebot.core import events as ev
from voicebot.core.composed import Piece, WroteAll, WroteCall, WroteText
from voicebot.transports.realtime.acts import Act, StopComposing, Tell
from voicebot.transports.realtime.items import Item, Items
from voicebot.transports.realtime.outlet import Outlet
from voicebot.transports.realtime.responses import Response
from voicebot.transports.realtime.settings import ResponseSettings, SessionSettings

SAMPLES_PER_MS = 16
"""Of the caller's speech."""


@dataclass(slots=True)
class Utterance:
    """A turn being heard. `told`: speech_started has been sent."""

    turn: int
    item: Item
    start_sample: int
    stop_sample: int = 0
    told: bool = False
    by_client: bool = False


@dataclass(slots=True)
class Writing:
    """A text response under way."""

    response: Response
    joins: bool
    """Whether its words join the conversation."""


@dataclass(slots=True)
class Narrator:
    """One session's. `settings` are the ones that hold now; `about_audio`: the output part of response objects."""

    outlet: Outlet
    settings: SessionSettings
    items: Items
    conversation_id: str
    voice: str
    acts: list[Act]
    over_webrtc: bool = False
    """Sound travels by RTP: no deltas of it, but events of the output buffer."""
    want_text: Callable[[], None] = lambda: None
    """A committed turn is to be answered in writing."""
    live: Response | None = None
    asked: ResponseSettings | None = None
    """Of the `response.create` whose response has not begun."""
    cancelled_by_client: bool = False
    buffer_start: int = 0
    """First speech sample that no commit and no clear has taken."""
    committing: list[Utterance] = field(default_factory=list)
    """What the client committed and nobody recognises yet."""
    adding: list[Item] = field(default_factory=list)
    """What the client added and no turn holds yet."""
    writings: dict[str, Writing] = field(default_factory=dict)
    truncating: tuple[Item, int] | None = None
    """Item and audio_end_ms of a truncation to be acknowledged."""
    _heard: Utterance | None = None
    _stopped: Utterance | None = None
    _last_turn: tuple[int, str] = (0, "")
    """The last turn, and the words of all its items: a reopened turn is told again from its start."""
    _cleared: bool = False
    _sounding: bool = False

    def happened(self, command: ev.Command) -> None:
        """A command of the call's machine, after it was carried out."""
        match command:
            case ev.BeginListening(turn, start_sample):
                self._begin_listening(turn, start_sample)
            case ev.BeginDraft(_, _, _, stop_sample) if self._heard is not None:
                self._heard.stop_sample = stop_sample
            case ev.StopListening():
                self._stop_listening()
            case ev.PublishTranscript(turn, text, True):
                self._take_transcript(turn, text)
            case ev.PublishUnheard(turn, reason):
                self._tell_unheard(reason)
            case ev.PublishState():
                self._forget_noise()
            case ev.StartPlayout(reply):
                self._begin_response(reply)
            case ev.ClearPlayout():
                self._cleared = True
                self._tell_interruption()
            case ev.PublishReply():
                self._take_reply(command)
            case ev.PublishTurn(ended=False):
                self._tell_sounding()
            case ev.PublishCalled(turn, reply, call_id, name, arguments):
                self._take_call(turn, call_id, name, arguments)
            case ev.PublishAdded(turn):
                if self.adding:
                    self.adding.pop(0).turn = turn
            case ev.PublishHeard(_, text, interrupted):
                self._acknowledge_truncation(text, interrupted)
            case ev.PublishError(message):
                self.outlet.error(message, "server_error", kind="server_error")

    # ---- the caller's speech

    def _begin_listening(self, turn: int, start_sample: int) -> None:
        if self.committing and self.committing[0].start_sample == start_sample:
            self._heard = self.committing.pop(0)
            self._heard.turn = turn
            return
        item = Item(self.outlet.new_id("item"), "message", "user", spoken=True)
        self._heard = Utterance(turn, item, start_sample)
        if self.live is None or not self.settings.interruptible:
            self._tell_started(self._heard)

    def _tell_started(self, heard: Utterance) -> None:
        heard.told = True
        self.outlet.send(
            "input_audio_buffer.speech_started",
            audio_start_ms=heard.start_sample // SAMPLES_PER_MS,
            item_id=heard.item.id,
        )
        if self.settings.interruptible:
            for writing in list(self.writings.values()):
                if writing.joins:
                    self.stop_writing(writing.response.id, "turn_detected")

    def _tell_interruption(self) -> None:
        heard = self._heard
        if heard is not None and not heard.told and not heard.by_client:
            self._tell_started(heard)

    def _stop_listening(self) -> None:
        heard, self._heard = self._heard, None
        if heard is None:
            return
        if heard.told:
            self.outlet.send(
                "input_audio_buffer.speech_stopped",
                audio_end_ms=heard.stop_sample // SAMPLES_PER_MS,
                item_id=heard.item.id,
            )
        self._stopped = heard

    def _take_transcript(self, turn: int, text: str) -> None:
        stopped, before = self._stopped, self._last_turn[1] if self._last_turn[0] == turn else ""
        if stopped is None or not (text or stopped.by_client):
            return
        self._stopped = None
        self._last_turn = (turn, text)
        item = stopped.item
        item.turn, item.text = turn, text.removeprefix(before).strip()
        if not stopped.by_client:
            self.buffer_start = max(self.buffer_start, stopped.stop_sample)
            self.add_committed(item)
        self._tell_transcript(item, (stopped.stop_sample - stopped.start_sample) / (1000 * SAMPLES_PER_MS))
        if not stopped.by_client and self.settings.answers and not self.settings.spoken:
            self.want_text()

    def add_committed(self, item: Item) -> None:
        """The buffer's speech is an item."""
        before = self.items.add(item)
        self.outlet.send("input_audio_buffer.committed", previous_item_id=before, item_id=item.id)
        self.tell_item(item, before)

    def tell_item(self, item: Item, before: str | None) -> None:
        """An item that is there at once."""
        for kind in ("conversation.item.added", "conversation.item.done"):
            self.outlet.send(kind, previous_item_id=before, item=item.shown())

    def _tell_transcript(self, item: Item, seconds: float) -> None:
        if self.settings.audio.input.transcription is None:
            return
        of, kind = {"item_id": item.id, "content_index": 0}, "conversation.item.input_audio_transcription"
        if item.text:
            self.outlet.send(f"{kind}.delta", **of, delta=item.text)
        usage = {"type": "duration", "seconds": round(max(0.0, seconds), 3)}
        self.outlet.send(f"{kind}.completed", **of, transcript=item.text, usage=usage)

    def _tell_unheard(self, reason: str) -> None:
        stopped, self._stopped = self._stopped, None
        if stopped is None:
            return
        error = {"type": "transcription_error", "code": "unintelligible", "message": reason, "param": None}
        kind = "conversation.item.input_audio_transcription.failed"
        self.outlet.send(kind, item_id=stopped.item.id, content_index=0, error=error)

    def _forget_noise(self) -> None:
        stopped, self._stopped = self._stopped, None
        if stopped is not None and stopped.told:
            self.outlet.send("input_audio_buffer.cleared")

    # ---- spoken responses

    def _begin_response(self, reply: int) -> None:
        if self.live is not None:  # An apology takes the place of a reply that failed.
            self.live.reply = reply
            return
        self._cleared = self._sounding = self.cancelled_by_client = False
        asked, self.asked = self.asked, None
        self.live = self.new_response(asked, spoken=True, joins=True)
        self.live.reply = reply
        self.live.created()

    def new_response(self, asked: ResponseSettings | None, spoken: bool, joins: bool) -> Response:
        """One that has not been told yet. `asked` None: nobody asked for it but the session's settings."""
        wanted = asked or self.settings
        audio = {"output": {"format": self.settings.audio.output.format.shown(), "voice": self.voice}}
        shown_as = {
            "conversation_id": self.conversation_id if joins else None,
            "output_modalities": ["audio"] if spoken else ["text"],
            "max_output_tokens": wanted.max_output_tokens,
            "audio": audio if spoken else None,
            "metadata": asked.metadata if asked else None,
        }
        outlet = self.outlet
        items = self.items if joins else None
        return Response(outlet.new_id("resp"), spoken, outlet.send, outlet.new_id, items, shown_as)

    def _take_reply(self, told: ev.PublishReply) -> None:
        live = self.live
        if live is None or live.reply != told.reply:
            return
        live.write(told.text)
        if told.final:
            self._end_response(live, told)

    def _end_response(self, live: Response, told: ev.PublishReply) -> None:
        cut = told.heard if told.interrupted else None
        for item in live.output:
            item.turn = told.turn
        if live.message is not None:
            live.message.reply = live.reply
        self.live = None
        if self._cleared:
            live.finish("cancelled", "client_cancelled" if self.cancelled_by_client else "turn_detected", cut)
        else:
            live.finish("failed" if told.interrupted else "completed", "server_error" if told.interrupted else "", cut)
        if self._sounding:
            kind = "output_audio_buffer.cleared" if self._cleared else "output_audio_buffer.stopped"
            self.outlet.send(kind, response_id=live.id)
        self._tell_interruption()

    def _tell_sounding(self) -> None:
        if self.over_webrtc and self.live is not None and not self._sounding:
            self._sounding = True
            self.outlet.send("output_audio_buffer.started", response_id=self.live.id)

    def played(self, encoded: bytes, samples: int) -> None:
        """More of the live reply's sound, for the client; `samples` at 24 kHz."""
        if self.live is not None:
            self.live.sound(encoded, samples)

    def _take_call(self, turn: int, call_id: str, name: str, arguments: dict[str, Any]) -> None:
        if self.live is not None:
            self.live.call(call_id, name, json.dumps(arguments)).turn = turn

    def _acknowledge_truncation(self, text: str, interrupted: bool) -> None:
        truncating, self.truncating = self.truncating, None
        if truncating is None:
            return
        item, audio_end_ms = truncating
        item.text = text
        if interrupted:
            item.status = "incomplete"
        self.outlet.send(
            "conversation.item.truncated",
            item_id=item.id,
            content_index=0,
            audio_end_ms=audio_end_ms,
            transcript=text,
        )

    # ---- written responses

    def begin_writing(self, asked: ResponseSettings | None, joins: bool) -> str:
        """Tell of a text response; its id, by which `composed` knows it."""
        response = self.new_response(asked, spoken=False, joins=joins)
        self.writings[response.id] = Writing(response, joins)
        response.created()
        return response.id

    def composed(self, response_id: str, piece: Piece) -> None:
        """More of a text response."""
        writing = self.writings.get(response_id)
        if writing is None:
            return
        response = writing.response
        match piece:
            case WroteText(text):
                response.write(response.text + text)
            case WroteCall(call_id, name, arguments):
                response.call(call_id, name, json.dumps(arguments))
            case WroteAll():
                del self.writings[response_id]
                self._end_writing(response, piece)
                self._join(writing)

    def _end_writing(self, response: Response, all_of_it: WroteAll) -> None:
        usage = {
            "input_tokens": all_of_it.prompt_tokens,
            "output_tokens": all_of_it.completion_tokens,
            "total_tokens": all_of_it.prompt_tokens + all_of_it.completion_tokens,
            "input_token_details": {"cached_tokens": all_of_it.cached_tokens},
        }
        if all_of_it.finish == "failed":
            response.finish("failed", "server_error", usage=usage)
        elif all_of_it.finish == "length":
            response.finish("incomplete", "max_output_tokens", usage=usage)
        else:
            response.finish("completed", usage=usage)

    def stop_writing(self, response_id: str, reason: str) -> None:
        """Nothing more of it is told; what was, stays."""
        writing = self.writings.pop(response_id)
        self.acts.append(StopComposing(response_id))
        writing.response.finish("cancelled", reason)
        self._join(writing)

    def _join(self, writing: Writing) -> None:
        """Its words become part of the talk."""
        message = writing.response.message
        if writing.joins and message is not None and message.text:
            self.adding.append(message)
            self.acts.append(Tell(ev.WordsAdded("assistant", message.text)))
