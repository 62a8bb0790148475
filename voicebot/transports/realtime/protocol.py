"""The Realtime protocol of one session: a client's messages in, server events and acts out. Pure: no I/O, no clock.

    receive(message)   -> events in `outgoing`, acts in `acts`
    happened(command)  -> what the call's machine did, told
    composed, played   -> a text response's words, a spoken one's sound

A message that is refused changes nothing and is answered by one `error` event. See docs/realtime.md.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from voicebot.core import events as ev
from voicebot.core.audio import SPEECH_RATE_HZ, Pcm, resampler
from voicebot.core.client_turns import COMMITS_WAITING
from voicebot.core.composed import Piece
from voicebot.core.settings import TurnSettings
from voicebot.core.wishes import Wishes
from voicebot.transports.realtime.acts import Act, Compose, Hear, Tell, Wish
from voicebot.transports.realtime.items import Item, Items, arguments_of, lines_of, read_item, value_of
from voicebot.transports.realtime.narrator import SAMPLES_PER_MS, Narrator, Utterance
from voicebot.transports.realtime.outlet import Outlet
from voicebot.transports.realtime.reading import read_object
from voicebot.transports.realtime.refusals import Refused
from voicebot.transports.realtime.session_object import About, shown
from voicebot.transports.realtime.settings import (
    RATE_HZ,
    ResponseSettings,
    SessionSettings,
    first_settings,
    for_response,
    updated,
)

MESSAGE_LIMIT = 1024 * 1024
"""Characters of one message: 16 s of sound."""
SHORTEST_COMMIT_MS = 100
"""Source: OpenAI's input_audio_buffer_commit_empty error."""
WRITINGS_LIMIT = 4
"""Text responses under way at once."""


class RealtimeProtocol:
    """One session. The caller drains `outgoing` and carries out `acts` after every call."""

    def __init__(
        self,
        about: About,
        own: TurnSettings,
        seed: str,
        expires_at_s: int,
        beta: bool = False,
        over_webrtc: bool = False,
    ) -> None:
        """`own`: the operator's settings of turns. `seed`: makes ids unique. `expires_at_s`: Unix time."""
        self.outgoing: list[dict[str, Any]] = []
        self.acts: list[Act] = []
        self.settings = first_settings()
        self._about = about
        self._own = own
        self._expires_at_s = expires_at_s
        self._outlet = Outlet(self.outgoing.append, seed, beta)
        self._session_id = f"sess_{seed}"
        self._items = Items()
        self._narrator = Narrator(
            self._outlet, self.settings, self._items, f"conv_{seed}", about.voice, self.acts, over_webrtc
        )
        self._narrator.want_text = self._write_unasked
        self._tune(None)
        self._playout_rate_hz = 48_000 if over_webrtc else RATE_HZ
        self._pushed = 0
        """Samples of speech handed over so far, 16 kHz."""
        self._added_since = False
        """Whether the conversation has grown since the live response began."""
        self._handlers: dict[str, Callable[[dict[str, Any]], None]] = {
            "session.update": self._update,
            "input_audio_buffer.append": self._append,
            "input_audio_buffer.commit": self._commit,
            "input_audio_buffer.clear": self._clear,
            "output_audio_buffer.clear": self._silence,
            "conversation.item.create": self._create_item,
            "conversation.item.retrieve": self._retrieve,
            "conversation.item.delete": self._delete,
            "conversation.item.truncate": self._truncate,
            "response.create": self._respond,
            "response.cancel": self._cancel,
        }

    def begin(self, session: dict[str, Any] | None = None) -> None:
        """The session's first events. `session`: settings that were given beforehand. Raises: Refused."""
        if session:
            self._take(session)
        self._outlet.send("session.created", session=self._session())
        conversation = {"id": self._narrator.conversation_id, "object": "realtime.conversation"}
        self._outlet.send("conversation.created", conversation=conversation)
        self._set_up()

    def receive(self, message: str | bytes) -> None:
        """One message of the client's."""
        event: dict[str, Any] = {}
        try:
            event = _read(message)
            handler = self._handlers.get(event["type"])
            if handler is None:
                raise Refused(f"unknown event type {event['type'][:80]!r}", "unknown_event_type", "type")
            handler(event)
        except Refused as error:
            event_id = event.get("event_id")
            self._outlet.error(str(error), error.code, error.param, event_id if isinstance(event_id, str) else None)

    def happened(self, command: ev.Command) -> None:
        """A command of the call's machine, once it has been carried out."""
        if isinstance(command, ev.StartPlayout):
            self._added_since = False
        self._narrator.happened(command)

    def played(self, pcm: Pcm) -> None:
        """The live reply's next sound: int16[n], 24 kHz."""
        self._narrator.played(self.settings.audio.output.format.codec.encode(self._to_client.push(pcm)), len(pcm))

    def composed(self, ref: str, piece: Piece) -> None:
        """More of a text response."""
        self._narrator.composed(ref, piece)

    # ---- session

    def _session(self) -> dict[str, Any]:
        return shown(self.settings, self._about, self._session_id, self._expires_at_s)

    def _update(self, event: dict[str, Any]) -> None:
        self._take(event.get("session"))
        self._outlet.send("session.updated", session=self._session())
        self._set_up()

    def _take(self, session: Any) -> None:
        """Settings from a client. Raises: Refused."""
        before = self.settings
        self.settings = self._narrator.settings = updated(before, session)
        self._tune(before)

    def _tune(self, before: SessionSettings | None) -> None:
        """Converters for the formats that hold now; those of a format that has not changed go on."""
        heard, spoken = self.settings.audio.input.format, self.settings.audio.output.format
        if before is None or before.audio.input.format != heard:
            self._to_speech = resampler(heard.rate_hz, SPEECH_RATE_HZ)
        if before is None or before.audio.output.format != spoken:
            self._to_client = resampler(RATE_HZ, spoken.rate_hz)

    def _set_up(self) -> None:
        self.acts.append(Tell(self.settings.turns(self._own)))
        self._wish()

    def _wish(self) -> None:
        self.acts.append(Wish(self._wishes(None)))

    def _wishes(self, asked: ResponseSettings | None) -> Wishes:
        """Of one response, or of the session."""
        wishes = (asked or self.settings).wishes(*self._items.system_words())
        return replace(wishes, member=self._about.member)

    # ---- the input buffer

    def _append(self, event: dict[str, Any]) -> None:
        if self._narrator.over_webrtc:
            raise Refused("sound comes by the WebRTC track here, not by events", "invalid_event")
        heard = self.settings.audio.input.format
        try:
            encoded = base64.b64decode(_text(event, "audio"), validate=True)
        except (binascii.Error, ValueError):
            raise Refused("'audio' is not base64", "invalid_value", "audio") from None
        if len(encoded) % heard.codec.width:
            raise Refused("'audio' is cut within a sample", "invalid_value", "audio")
        if encoded:
            even = encoded if len(encoded) % 2 == 0 else encoded + encoded[-1:]
            pcm = self._to_speech.push(heard.codec.decode(even)[: len(encoded) // heard.codec.width])
            self._pushed += len(pcm)
            self.acts.append(Hear(pcm))

    def heard(self, samples: int) -> None:
        """So many samples of speech came another way."""
        self._pushed += samples

    def _commit(self, _event: dict[str, Any]) -> None:
        narrator = self._narrator
        start, stop = narrator.buffer_start, self._pushed
        if stop - start < (SHORTEST_COMMIT_MS - 1) * SAMPLES_PER_MS:
            has_ms = (stop - start) // SAMPLES_PER_MS
            raise Refused(
                f"the buffer has {has_ms} ms of sound; at least {SHORTEST_COMMIT_MS} ms are needed for a commit",
                "input_audio_buffer_commit_empty",
            )
        if len(narrator.committing) >= COMMITS_WAITING:
            raise Refused(f"{COMMITS_WAITING} commits wait for recognition; wait for a transcript", "too_many_commits")
        item = Item(self._outlet.new_id("item"), "message", "user", spoken=True)
        narrator.committing.append(Utterance(0, item, start, stop, by_client=True))
        narrator.buffer_start = stop
        narrator.add_committed(item)
        self._added_since = True
        self.acts.append(Tell(ev.SpeechCommitted(start, stop)))

    def _clear(self, _event: dict[str, Any]) -> None:
        self._narrator.buffer_start = self._pushed
        self.acts.append(Tell(ev.SpeechCleared()))
        self._outlet.send("input_audio_buffer.cleared")

    def _silence(self, _event: dict[str, Any]) -> None:
        if not self._narrator.over_webrtc:
            raise Refused("the output buffer is the client's own over a WebSocket", "invalid_event")
        if self._narrator.live is not None:
            self._narrator.cancelled_by_client = True
            self.acts.append(Tell(ev.ReplyCancelled()))

    # ---- items

    def _create_item(self, event: dict[str, Any]) -> None:
        previous = event.get("previous_item_id")
        if previous not in (None, "", self._items.last_id or "root"):
            self._items.find(previous, "previous_item_id")
            raise Refused("items can be added at the end only", "unsupported", "previous_item_id")
        item = read_item(event.get("item"), self._outlet.new_id("item"))
        told = self._told_of(item)
        before = self._items.add(item)
        self._narrator.tell_item(item, before)
        self._added_since = True
        if told is not None:
            self.acts.append(Tell(told))
        elif item.kind == "message":
            self._wish()

    def _told_of(self, item: Item) -> ev.Event | None:
        """What the call's machine is told of a new item. None: nothing (instructions; a call without its result)."""
        if item.kind == "function_call_output":
            call = self._items.call(item.call_id)
            if call is None or self._items.output(item.call_id) is not None:
                why = "no function call" if call is None else "there is an output already for the function call"
                raise Refused(f"{why} {item.call_id!r} in the conversation", "invalid_value", "item.call_id")
            self._narrator.adding += [] if call.turn else [item]
            item.turn = call.turn
            return ev.ToolAnswered(call.call_id, call.name, arguments_of(call.text, "arguments"), value_of(item.text))
        if item.kind == "function_call" and self._items.call(item.call_id) is not None:
            raise Refused(f"there is a function call {item.call_id!r} already", "invalid_value", "item.call_id")
        if item.kind == "message" and item.role != "system" and item.text:
            self._narrator.adding.append(item)
            return ev.WordsAdded(item.role, item.text)
        return None

    def _retrieve(self, event: dict[str, Any]) -> None:
        self._outlet.send("conversation.item.retrieved", item=self._items.find(event.get("item_id")).shown())

    def _delete(self, event: dict[str, Any]) -> None:
        item = self._items.find(event.get("item_id"))
        if item.status == "in_progress":
            raise Refused("the item is still being made; cancel its response first", "invalid_value", "item_id")
        self._items.remove(item)
        if item.kind != "message":
            self.acts.append(Tell(ev.WordsForgotten(item.turn, "tool", item.call_id)))
        elif item.role != "system":
            self.acts.append(Tell(ev.WordsForgotten(item.turn, item.role)))
        else:
            self._wish()
        self._outlet.send("conversation.item.deleted", item_id=item.id)

    def _truncate(self, event: dict[str, Any]) -> None:
        item = self._items.find(event.get("item_id"))
        if item.role != "assistant" or not item.spoken or not item.reply:
            raise Refused("only spoken items of the assistant can be truncated", "invalid_value", "item_id")
        end_ms = event.get("audio_end_ms")
        if type(end_ms) is not int or end_ms < 0:
            raise Refused("'audio_end_ms' must be a whole number of milliseconds", "invalid_value", "audio_end_ms")
        if event.get("content_index", 0) != 0:
            raise Refused("there is only content 0", "invalid_value", "content_index")
        sent_ms = item.sent_samples * 1000 // RATE_HZ
        if end_ms > sent_ms and not self._narrator.over_webrtc:
            raise Refused(f"audio content of {sent_ms} ms is shorter than {end_ms} ms", "invalid_value", "audio_end_ms")
        live = self._narrator.live
        self._narrator.cancelled_by_client |= live is not None and live.message is item
        self._narrator.truncating = (item, end_ms)
        self.acts.append(Tell(ev.HeardCorrected(item.reply, end_ms * self._playout_rate_hz // 1000)))

    # ---- responses

    def _respond(self, event: dict[str, Any]) -> None:
        narrator = self._narrator
        asked = for_response(self.settings, event.get("response") or {})
        joins = asked.conversation == "auto"
        lines = None if asked.input is None else self._lines(asked.input)
        if asked.spoken and (lines is not None or not joins):
            what = "'input'" if joins else "conversation 'none'"
            raise Refused(f'{what} needs output_modalities ["text"]', "unsupported", "response.output_modalities")
        busy = narrator.asked is not None or (narrator.live is not None and not self._added_since)
        if joins and (busy or any(writing.joins for writing in narrator.writings.values())):
            raise Refused("a response is under way; wait for its response.done, or cancel it",
                          "conversation_already_has_active_response")  # fmt: skip
        if not asked.spoken:
            if len(narrator.writings) >= WRITINGS_LIMIT:
                raise Refused(f"{WRITINGS_LIMIT} text responses are under way; wait for one", "too_many_responses")
            self._write(asked, joins, lines)
            return
        narrator.asked = asked
        self.acts.append(Wish(self._wishes(asked), once=True))
        self.acts.append(Tell(ev.ReplyWanted()))

    def _lines(self, given: tuple[dict[str, Any], ...]) -> tuple[Any, ...]:
        """The input of a response of its own: items, or references to those of the conversation."""
        items = []
        for at, entry in enumerate(given):
            param = f"response.input[{at}]"
            if entry.get("type") == "item_reference":
                items.append(self._items.find(entry.get("id"), f"{param}.id"))
            else:
                items.append(read_item(entry, "", param))
        return lines_of(items)

    def _write(self, asked: ResponseSettings | None, joins: bool, lines: tuple[Any, ...] | None) -> None:
        """Have an answer written. `lines` None: to the conversation."""
        self.acts.append(Compose(self._narrator.begin_writing(asked, joins), lines, self._wishes(asked)))

    def _write_unasked(self) -> None:
        """A turn is committed, and answers are in writing. One that is under way still stays the only one."""
        if not any(writing.joins for writing in self._narrator.writings.values()):
            self._write(None, joins=True, lines=None)

    def _cancel(self, event: dict[str, Any]) -> None:
        narrator, wanted = self._narrator, event.get("response_id")
        writing = next(
            (ref for ref, one in narrator.writings.items() if ref == wanted or (not wanted and one.joins)), ""
        )
        if writing:
            narrator.stop_writing(writing, "client_cancelled")
        elif narrator.live is not None and wanted in (None, narrator.live.id):
            narrator.cancelled_by_client = True
            self.acts.append(Tell(ev.ReplyCancelled()))
        elif narrator.asked is not None and wanted is None:
            asked, narrator.asked = narrator.asked, None
            response = narrator.new_response(asked, spoken=True, joins=True)
            response.created()
            response.finish("cancelled", "client_cancelled")
            self.acts.append(Tell(ev.ReplyCancelled()))
        else:
            raise Refused("no response is under way", "response_cancel_not_active")


def _read(message: str | bytes) -> dict[str, Any]:
    """Raises: Refused for what is no event."""
    if isinstance(message, bytes):
        raise Refused("binary messages are not understood; send JSON text", "invalid_event")
    if len(message) > MESSAGE_LIMIT:
        raise Refused(f"a message of {len(message)} characters; the limit is {MESSAGE_LIMIT}", "invalid_event")
    event = read_object(message)
    if not isinstance(event.get("type"), str):
        raise Refused("the message has no 'type'", "missing_required_parameter", "type")
    return event


def _text(event: dict[str, Any], name: str) -> str:
    value = event.get(name)
    if not isinstance(value, str):
        raise Refused(f"'{name}' must be text", "missing_required_parameter", name)
    return value
