"""The Realtime protocol against the turn machine: messages in, the official SDK's events out, in their order."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from tests.transports.realtime.talk import Talk
from voicebot.core import events as ev
from voicebot.core.client_turns import COMMITS_WAITING
from voicebot.core.composed import WroteAll, WroteCall, WroteText
from voicebot.transports.realtime.acts import Hear

TEXT = "River table seven green window letter."
TOOL = {"type": "function", "name": "look_up", "description": "d", "parameters": {"type": "object", "properties": {}}}


def error_of(events: list[dict[str, Any]]) -> dict[str, Any]:
    """The only event, which is an error."""
    (event,) = events
    assert event["type"] == "error"
    error: dict[str, Any] = event["error"]
    return error


def spoken(talk: Talk, text: str = TEXT, ms: int = 6_000) -> str:
    """A reply of the machine's, all of it written and the first half sent; its item."""
    talk.answer(text, ms)
    talk.play(ms // 2)
    item: str = talk.last("response.output_item.added")["item"]["id"]
    return item


# ---- a spoken talk


def test_a_spoken_turn_and_its_answer_come_in_the_protocols_order() -> None:
    talk = Talk()
    talk.ask("what is next")
    spoken(talk)
    talk.finish()
    assert talk.kinds() == [
        "session.created",
        "conversation.created",
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "conversation.item.input_audio_transcription.delta",
        "conversation.item.input_audio_transcription.completed",
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
    ]
    done = talk.last("response.done")["response"]
    assert done["status"] == "completed" and done["output"][0]["content"][0]["transcript"] == TEXT
    assert talk.last("input_audio_buffer.speech_stopped")["audio_end_ms"] == 480


def test_a_noise_that_was_no_turn_is_taken_back() -> None:
    talk = Talk()
    talk.say("")
    talk.quiet(1_216)
    assert talk.kinds(2) == [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.cleared",
    ]


def test_a_backchannel_over_the_bot_is_not_told_because_clients_would_fall_silent() -> None:
    talk = Talk()
    talk.ask("what is next")
    spoken(talk)
    before = len(talk.events)
    talk.say("okay", ms=300)
    assert talk.all(ev.ResumePlayout) and talk.kinds(before) == []


def test_an_interruption_is_told_before_the_response_ends_and_the_item_holds_what_was_heard() -> None:
    talk = Talk()
    talk.ask("what is next")
    item = spoken(talk)
    talk.heard_ms = 3_000
    before = len(talk.events)
    talk.say("tell me about copper instead", ms=640)
    assert talk.kinds(before)[0] == "input_audio_buffer.speech_started"
    done = talk.last("response.done")["response"]
    assert done["status"] == "cancelled" and done["status_details"]["reason"] == "turn_detected"
    assert done["output"][0]["status"] == "incomplete"
    assert done["output"][0]["content"][0]["transcript"] == "River table seven"
    talk.send("conversation.item.retrieve", item_id=item)
    kept = talk.last("conversation.item.retrieved")["item"]
    assert kept["content"][0]["transcript"] == "River table seven"


def test_a_turn_that_goes_on_after_a_hasty_reply_gets_a_second_item_with_the_rest() -> None:
    talk = Talk()
    talk.ask("what is next")
    spoken(talk)
    talk.heard_ms = 200
    talk.say("on the green table", ms=720)
    talk.quiet(1_216)
    transcripts = [event["transcript"] for event in talk.told("conversation.item.input_audio_transcription.completed")]
    assert transcripts == ["what is next", "on the green table"]
    assert talk.all(ev.BeginReply)[-1].text == "what is next on the green table"


def test_speech_that_outlasts_the_answer_is_told_when_the_answer_is_over() -> None:
    talk = Talk()
    talk.ask("what is next")
    spoken(talk)
    talk.speak(200)
    before = len(talk.events)
    talk.feed(ev.CallEnded("over"))
    assert "response.done" in talk.kinds(before)


def test_a_failed_reply_and_its_apology_are_one_response() -> None:
    talk = Talk()
    talk.ask("what is next")
    talk.feed(ev.ReplyFailed(talk.reply, "llm", "broken"))
    talk.answer("Sorry.", 300)
    talk.finish()
    assert len(talk.told("response.created")) == len(talk.told("response.done")) == 1
    assert talk.last("response.done")["response"]["status"] == "completed"


def test_a_voice_that_fails_ends_the_response_and_is_an_error() -> None:
    talk = Talk()
    talk.ask("what is next")
    talk.feed(ev.ClauseWritten(talk.reply, 0, TEXT))
    talk.feed(ev.ReplyFailed(talk.reply, "tts", "broken"))
    assert talk.last("response.done")["response"]["status"] == "failed"
    assert talk.last("error")["error"]["type"] == "server_error"


# ---- manual turns


def manual() -> Talk:
    talk = Talk()
    talk.update(audio={"input": {"turn_detection": None}})
    return talk


def test_a_committed_turn_is_an_item_at_once_and_is_answered_when_asked() -> None:
    talk = manual()
    talk.append_ms(600)
    assert talk.send("input_audio_buffer.commit")[0]["type"] == "input_audio_buffer.committed"
    assert talk.send("response.create", response={"metadata": {"a": "b"}}) == []
    talk.transcribe("what is next")
    (completed,) = talk.told("conversation.item.input_audio_transcription.completed")
    assert completed["transcript"] == "what is next"
    assert talk.last("response.created")["response"]["metadata"] == {"a": "b"}
    (draft,) = talk.all(ev.BeginDraft)
    assert draft.start_sample == 0 and abs(draft.stop_sample - 9_600) < 32
    spoken(talk)
    talk.finish()
    talk.append_ms(600)
    talk.send("input_audio_buffer.commit")
    assert talk.all(ev.BeginDraft)[-1].start_sample == draft.stop_sample


def test_a_commit_of_next_to_nothing_is_refused_and_a_clear_empties_the_buffer() -> None:
    talk = manual()
    talk.append_ms(600)
    talk.send("input_audio_buffer.clear")
    talk.append_ms(40)
    error = error_of(talk.send("input_audio_buffer.commit", event_id="mine"))
    assert error["code"] == "input_audio_buffer_commit_empty" and error["event_id"] == "mine"
    assert not talk.all(ev.BeginDraft)


def test_commits_that_wait_for_recognition_have_a_limit() -> None:
    talk = manual()
    for _ in range(COMMITS_WAITING + 1):
        talk.append_ms(200)
        assert talk.send("input_audio_buffer.commit")[0]["type"] == "input_audio_buffer.committed"
    talk.append_ms(200)
    assert error_of(talk.send("input_audio_buffer.commit"))["code"] == "too_many_commits"
    for _ in range(COMMITS_WAITING + 1):
        talk.transcribe("one")
    assert len(talk.told("conversation.item.input_audio_transcription.completed")) == COMMITS_WAITING + 1


def test_a_call_and_its_output_come_once() -> None:
    talk = Talk()
    call = {"type": "function_call", "call_id": "c", "name": "look_up", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c", "output": "sent"}
    for item in (call, output):
        talk.send("conversation.item.create", item=item)
        assert error_of(talk.send("conversation.item.create", item=item))["param"] == "item.call_id"
    assert len(talk.machine.history.lines()) == 2


def test_committed_speech_that_cannot_be_recognised_is_told() -> None:
    talk = manual()
    talk.append_ms(600)
    talk.send("input_audio_buffer.commit")
    talk.feed(ev.DraftFailed(talk.draft, "broken"))
    assert talk.kinds()[-1] == "conversation.item.input_audio_transcription.failed"


def test_transcripts_are_left_out_where_the_client_wants_none() -> None:
    talk = Talk()
    talk.update(audio={"input": {"transcription": None}})
    talk.ask("what is next")
    assert not talk.told("conversation.item.input_audio_transcription.completed")


@pytest.mark.parametrize(("kind", "rate_hz"), [("audio/pcmu", 8_000), ("audio/pcma", 8_000), ("audio/pcm", 24_000)])
def test_all_three_encodings_go_both_ways(kind: str, rate_hz: int) -> None:
    talk = manual()
    talk.update(audio={"input": {"format": {"type": kind}}, "output": {"format": {"type": kind}}})
    width = 2 if kind == "audio/pcm" else 1
    encoded = talk.protocol.settings.audio.input.format.codec.encode(np.full(rate_hz, 1000, np.int16))
    heard: list[Hear] = []
    talk.do = lambda act: heard.append(act)  # type: ignore[method-assign]
    talk.send("input_audio_buffer.append", audio=base64.b64encode(encoded).decode())
    del talk.do  # type: ignore[method-assign]
    assert abs(len(heard[0].pcm) - 16_000) < 16
    assert abs(int(heard[0].pcm[8_000]) - 1_000) < 40
    talk.send("response.create")
    spoken(talk, ms=2_000)
    sent = b"".join(base64.b64decode(event["delta"]) for event in talk.told("response.output_audio.delta"))
    assert abs(len(sent) - rate_hz * width) < 40 * width


# ---- stopping, truncating


def test_cancelling_ends_the_response_once_and_a_second_time_is_an_error() -> None:
    talk = Talk()
    talk.ask("what is next")
    spoken(talk)
    talk.send("response.cancel")
    assert talk.last("response.done")["response"]["status_details"]["reason"] == "client_cancelled"
    assert error_of(talk.send("response.cancel"))["code"] == "response_cancel_not_active"


def test_a_response_that_waits_for_its_words_can_be_cancelled() -> None:
    talk = manual()
    talk.append_ms(600)
    talk.send("input_audio_buffer.commit")
    talk.send("response.create")
    assert [event["type"] for event in talk.send("response.cancel")] == ["response.created", "response.done"]
    talk.transcribe("what is next")
    assert not talk.all(ev.BeginReply)


def test_a_truncation_keeps_the_heard_words_and_says_so() -> None:
    talk = Talk()
    talk.ask("what is next")
    item = spoken(talk)
    talk.send("response.cancel")
    (told,) = talk.send("conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=2_100)
    assert told["type"] == "conversation.item.truncated" and told["audio_end_ms"] == 2_100
    corrected = talk.all(ev.PublishHeard)[-1]
    assert told["transcript"] == corrected.text and TEXT.startswith(corrected.text) and corrected.text
    assert talk.said == [("what is next", corrected.text)]


def test_truncating_a_live_response_ends_it() -> None:
    talk = Talk()
    talk.ask("what is next")
    item = spoken(talk)
    kinds = [event["type"] for event in talk.send("conversation.item.truncate", item_id=item, audio_end_ms=1_000)]
    assert kinds[-2:] == ["response.done", "conversation.item.truncated"]
    assert talk.last("response.done")["response"]["status_details"]["reason"] == "client_cancelled"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"audio_end_ms": 3_001}, "audio_end_ms"),
        ({"audio_end_ms": -1}, "audio_end_ms"),
        ({"audio_end_ms": 1.5}, "audio_end_ms"),
        ({"audio_end_ms": 100, "content_index": 1}, "content_index"),
        ({"audio_end_ms": 100, "item_id": "nobody"}, "item_id"),
    ],
)
def test_a_truncation_that_makes_no_sense_is_refused(fields: dict[str, Any], param: str) -> None:
    talk = Talk()
    talk.ask("what is next")
    item = spoken(talk)
    assert error_of(talk.send("conversation.item.truncate", **{"item_id": item, **fields}))["param"] == param
    assert not talk.all(ev.PublishHeard)


def test_only_what_the_bot_said_can_be_truncated() -> None:
    talk = Talk()
    (added, _) = talk.add("user", "hello")
    error = error_of(talk.send("conversation.item.truncate", item_id=added["item"]["id"], audio_end_ms=0))
    assert "assistant" in error["message"]


# ---- tools of the client's


def test_a_function_call_is_told_whole_and_its_output_makes_the_next_response() -> None:
    talk = Talk()
    talk.update(tools=[TOOL])
    assert talk.wishes[-1].wishes.tool_names == {"look_up"}
    talk.ask("where is my order")
    talk.feed(ev.ToolHandedOver(talk.reply, "call_1", "look_up", {"order": 7}))
    talk.feed(ev.ReplyCompleted(talk.reply))
    (item,) = talk.last("response.done")["response"]["output"]
    assert (item["type"], item["name"], json.loads(item["arguments"])) == ("function_call", "look_up", {"order": 7})
    output = {"type": "function_call_output", "call_id": "call_1", "output": '{"state": "sent"}'}
    talk.send("conversation.item.create", item=output)
    talk.send("response.create")
    lines = talk.machine.history.lines()
    assert [line.role for line in lines] == ["user", "assistant", "tool"]
    spoken(talk, "It was sent.", 800)
    talk.finish()
    assert talk.last("response.done")["response"]["status"] == "completed"


def test_a_response_wanted_with_a_tools_output_while_the_bot_speaks_follows_it() -> None:
    talk = Talk()
    talk.ask("where is my order")
    talk.feed(ev.ToolHandedOver(talk.reply, "call_1", "look_up", {}))
    spoken(talk, "Let me look.", 2_000)
    talk.send("conversation.item.create", item={"type": "function_call_output", "call_id": "call_1", "output": "sent"})
    assert talk.send("response.create") == []
    talk.finish()
    assert len(talk.told("response.created")) == 2
    assert error_of(talk.send("response.create"))["code"] == "conversation_already_has_active_response"


def test_an_output_of_no_known_call_is_refused() -> None:
    talk = Talk()
    item = {"type": "function_call_output", "call_id": "nobody", "output": "x"}
    assert error_of(talk.send("conversation.item.create", item=item))["param"] == "item.call_id"


def test_an_earlier_talk_is_put_back_item_by_item() -> None:
    talk = Talk()
    talk.add("system", "Speak like a pirate.")
    talk.add("user", "where is my order", id="mine")
    call = {"type": "function_call", "call_id": "c", "name": "look_up", "arguments": '{"order": 7}'}
    talk.send("conversation.item.create", item=call)
    talk.send("conversation.item.create", item={"type": "function_call_output", "call_id": "c", "output": "sent"})
    talk.add("assistant", "It was sent.")
    assert [line.role for line in talk.machine.history.lines()] == ["user", "assistant", "tool", "assistant"]
    assert talk.wishes[-1].wishes.instructions == "Speak like a pirate."
    talk.send("conversation.item.delete", item_id="mine")
    assert [line.role for line in talk.machine.history.lines()] == ["assistant", "tool", "assistant"]
    assert error_of(talk.send("conversation.item.retrieve", item_id="mine"))["code"] == "item_not_found"
    error = error_of(talk.send("conversation.item.create", previous_item_id="root", item={"type": "message"}))
    assert error["param"] == "previous_item_id"


# ---- answers in writing


def finish_writing(talk: Talk, *pieces: Any) -> None:
    for piece in pieces:
        talk.protocol.composed(talk.composing[-1].ref, piece)
        talk.settle()


def test_a_response_out_of_band_has_its_own_input_and_leaves_the_talk_alone() -> None:
    talk = Talk()
    talk.ask("what is next")
    wanted = {
        "conversation": "none",
        "output_modalities": ["text"],
        "instructions": "Classify it.",
        "metadata": {"topic": "class"},
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "I am angry"}]}],
    }
    talk.send("response.create", response=wanted)
    (compose,) = talk.composing
    assert compose.lines is not None and [line.text for line in compose.lines] == ["I am angry"]
    assert compose.wishes.instructions == "Classify it."
    finish_writing(talk, WroteText("An"), WroteText("ger"), WroteAll("stop", 10, 2))
    done = talk.last("response.done")["response"]
    assert done["conversation_id"] is None and done["metadata"] == {"topic": "class"}
    assert done["output"][0]["content"] == [{"type": "output_text", "text": "Anger"}]
    assert done["usage"]["total_tokens"] == 12
    assert all(event["item"]["id"] != done["output"][0]["id"] for event in talk.told("conversation.item.added"))
    assert not any(isinstance(event, ev.WordsAdded) for event, _ in talk.steps)


def test_in_a_text_session_a_spoken_turn_is_answered_in_writing_and_remembered() -> None:
    talk = Talk()
    talk.update(output_modalities=["text"])
    talk.ask("what is next")
    (compose,) = talk.composing
    assert compose.lines is None, "to the talk as it stands"
    finish_writing(talk, WroteText("River."), WroteAll("stop"))
    assert talk.said == [("what is next", ""), ("", "River.")]
    assert not talk.all(ev.BeginReply)


def test_a_written_answer_stops_when_the_caller_speaks_and_keeps_what_was_sent() -> None:
    talk = Talk()
    talk.update(output_modalities=["text"])
    talk.ask("what is next")
    finish_writing(talk, WroteText("River"))
    talk.speak(300)
    assert talk.stopped == [talk.composing[0].ref]
    assert talk.last("response.done")["response"]["status_details"]["reason"] == "turn_detected"
    assert talk.said == [("what is next", ""), ("", "River")]


@pytest.mark.parametrize(
    ("end", "status", "reason"),
    [
        (WroteAll("length"), "incomplete", "max_output_tokens"),
        (WroteAll("failed", reason="broken"), "failed", None),
        (WroteAll("tool_calls"), "completed", None),
    ],
)
def test_every_end_of_a_written_answer_has_its_status(end: WroteAll, status: str, reason: str | None) -> None:
    talk = manual()
    talk.add("user", "hello")
    talk.send("response.create", response={"output_modalities": ["text"]})
    finish_writing(talk, WroteCall("call_9", "look_up", {}), end)
    done = talk.last("response.done")["response"]
    assert done["status"] == status and (reason is None or done["status_details"]["reason"] == reason)
    assert done["output"][0]["type"] == "function_call"


def test_what_comes_of_a_written_answer_after_its_cancellation_is_not_told() -> None:
    talk = manual()
    talk.send("response.create", response={"output_modalities": ["text"]})
    talk.send("response.cancel", response_id=talk.composing[0].ref)
    before = len(talk.events)
    finish_writing(talk, WroteText("late"), WroteAll("stop"))
    assert talk.kinds(before) == []


def test_sound_out_of_band_and_too_many_at_once_are_refused() -> None:
    talk = manual()
    assert error_of(talk.send("response.create", response={"conversation": "none"}))["code"] == "unsupported"
    text = {"conversation": "none", "output_modalities": ["text"], "input": []}
    for _ in range(4):
        talk.send("response.create", response=text)
    assert error_of(talk.send("response.create", response=text))["code"] == "too_many_responses"


# ---- settings


def test_turn_detection_is_mapped_to_our_settings() -> None:
    talk = Talk()
    own = talk.settings
    talk.update(
        audio={"input": {"turn_detection": {"type": "server_vad", "threshold": 0.7, "silence_duration_ms": 700}}}
    )
    now = talk.machine.settings
    assert (now.speech_threshold, now.min_wait_ms, now.max_wait_ms, now.lead_in_ms) == (0.7, 700, 700, 300)
    talk.update(audio={"input": {"turn_detection": {"type": "semantic_vad", "eagerness": "low"}}})
    now = talk.machine.settings
    assert (now.speech_threshold, now.min_wait_ms, now.max_wait_ms) == (own.speech_threshold, own.min_wait_ms, 8_000)


def test_an_update_is_merged_and_a_refused_one_changes_nothing() -> None:
    talk = Talk()
    talk.update(instructions="Be brief.", tools=[TOOL], max_output_tokens=50)
    error = error_of(talk.update(instructions="Be long.", audio={"output": {"speed": 1.5}}))
    assert error["param"] == "session.audio.output.speed"
    session = talk.update(tool_choice="none")[0]["session"]
    assert (session["instructions"], session["max_output_tokens"]) == ("Be brief.", 50)
    assert talk.wishes[-1].wishes.tools == () and talk.wishes[-1].wishes.max_tokens == 50


@pytest.mark.parametrize(
    ("session", "param"),
    [
        ({"tools": [{"type": "mcp", "server_label": "x"}]}, "session.tools.0.type"),
        ({"tool_choice": "required"}, "session.tool_choice"),
        ({"prompt": {"id": "x"}}, "session.prompt"),
        ({"nonsense": 1}, "session.nonsense"),
        ({"type": "transcription"}, "session.type"),
        ({"audio": {"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 5000}}}},
         "session.audio.input.turn_detection.idle_timeout_ms"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused_by_name(session: dict[str, Any], param: str) -> None:
    talk = Talk()
    error = error_of(talk.send("session.update", session=session))
    assert error["param"] == param and error["type"] == "invalid_request_error"


def test_an_old_client_is_understood_and_hears_the_names_it_knows() -> None:
    talk = Talk(beta=True)
    old = {
        "modalities": ["text", "audio"],
        "input_audio_format": "g711_ulaw",
        "output_audio_format": "pcm16",
        "input_audio_transcription": {"model": "whisper-1"},
        "turn_detection": {"type": "server_vad", "silence_duration_ms": 300},
        "voice": "alloy",
        "temperature": 0.7,
        "max_response_output_tokens": "inf",
    }
    tool = TOOL | {"parameters": {"type": "object", "properties": {"type": {"type": "string"}}}}
    talk.send("session.update", session=old | {"tools": [tool]})
    session = talk.last("session.updated")["session"]
    assert session["tools"] == [tool]
    assert (session["input_audio_format"], session["modalities"]) == ("g711_ulaw", ["audio", "text"])
    assert session["turn_detection"]["silence_duration_ms"] == 300 and session["voice"] == "espeak"
    talk.ask("what is next")
    talk.answer(TEXT, 1_000)
    talk.play(1_000)
    talk.finish()
    kinds = set(talk.kinds())
    assert {"conversation.item.created", "response.audio.delta", "response.audio_transcript.done"} <= kinds
    assert not any("output_audio" in kind or kind.endswith(("item.added", "item.done")) for kind in kinds - {
        "response.output_item.added", "response.output_item.done"})  # fmt: skip
    done = talk.last("response.done")["response"]
    assert done["modalities"] == ["audio", "text"] and done["output"][0]["content"][0]["type"] == "audio"


# ---- garbage


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"\x00\x01", "invalid_event"),
        ("no json", "invalid_json"),
        ("[" * 100_000, "invalid_json"),
        ("[]", "invalid_json"),
        ('{"type": 7}', "missing_required_parameter"),
        ('{"type": "session.explode"}', "unknown_event_type"),
        ('{"type": "session.update"}', "missing_required_parameter"),
        ('{"type": "response.create", "response": 7}', "invalid_value"),
        ('{"type": "input_audio_buffer.append", "audio": "%%%"}', "invalid_value"),
        ('{"type": "input_audio_buffer.append", "audio": "AAAA"}', "invalid_value"),
        ('{"type": "output_audio_buffer.clear"}', "invalid_event"),
        ('{"type": "x", "y": ' + "[" * 80 + "]" * 80 + "}", "invalid_json"),
        ('{"type": "' + "x" * 1_100_000 + '"}', "invalid_event"),
    ],
)
def test_what_is_no_event_is_answered_by_one_error(message: str | bytes, code: str) -> None:
    talk = Talk()
    before = len(talk.events)
    talk.protocol.receive(message)
    talk.settle()
    assert error_of(talk.events[before:])["code"] == code


def test_over_webrtc_the_output_buffer_is_told_of_and_cleared() -> None:
    talk = Talk(over_webrtc=True)
    talk.ask("what is next")
    talk.answer(TEXT, 6_000)
    assert talk.kinds()[-1] == "output_audio_buffer.started"
    talk.send("output_audio_buffer.clear")
    assert talk.kinds()[-2:] == ["response.done", "output_audio_buffer.cleared"]
    assert error_of(talk.append_ms(20))["code"] == "invalid_event"
