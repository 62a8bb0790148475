"""Mutated client events in any order: each is carried out or answered by an error, and nothing grows without bound."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from tests.core.invariants import check_call
from tests.transports.realtime.talk import Talk
from voicebot.core import events as ev
from voicebot.core.composed import WroteAll
from voicebot.transports.realtime.items import ITEMS_LIMIT

SEEDS = range(20)
MESSAGES = 100
JUNK: list[Any] = [
    None, True, 0, -1, 7, 2**70, 1.5, float("inf"), float("nan"), "", "x", "\x00\ud800", "item_ab00000a", [], {},
    ["text"], ["audio"], {"type": "message"}, [[]], "A" * 5_000, "none", "auto", "root", "call_1",
]  # fmt: skip
ITEM = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hello there"}]}
CALL = {"call_id": "call_1"}
VALID: list[dict[str, Any]] = [
    {"type": "session.update", "session": {"type": "realtime", "instructions": "x", "output_modalities": ["text"]}},
    {"type": "session.update", "session": {"modalities": ["audio"], "audio": {"input": {"turn_detection": None}}}},
    {"type": "session.update", "session": {"audio": {"input": {"turn_detection": {"type": "server_vad"}}}}},
    {"type": "session.update", "session": {"audio": {"input": {"format": {"type": "audio/pcmu"}}}}},
    {"type": "session.update", "session": {"tools": [{"type": "function", "name": "f", "parameters": {"type": {}}}]}},
    {"type": "input_audio_buffer.append", "audio": "AAAA" * 1_600},
    {"type": "input_audio_buffer.commit"},
    {"type": "input_audio_buffer.clear"},
    {"type": "output_audio_buffer.clear"},
    {"type": "conversation.item.create", "item": ITEM},
    {"type": "conversation.item.create", "item": ITEM | {"role": "system"}},
    {"type": "conversation.item.create", "item": CALL | {"type": "function_call", "name": "f", "arguments": "{}"}},
    {"type": "conversation.item.create", "item": CALL | {"type": "function_call_output", "output": "x"}},
    {"type": "conversation.item.retrieve", "item_id": "item_ab000005"},
    {"type": "conversation.item.delete", "item_id": "item_ab000005"},
    {"type": "conversation.item.truncate", "item_id": "item_ab000009", "content_index": 0, "audio_end_ms": 100},
    {"type": "response.create", "response": {"conversation": "none", "output_modalities": ["text"], "input": [ITEM]}},
    {"type": "response.create"},
    {"type": "response.cancel"},
]  # fmt: skip


def mutated(value: Any, rng: Random, depth: int = 0) -> Any:
    """A copy in which a few parts are junk, gone, or doubled."""
    if depth and rng.random() < 0.08:
        return rng.choice(JUNK)
    if isinstance(value, dict):
        parts = {key: mutated(part, rng, depth + 1) for key, part in value.items() if rng.random() > 0.03}
        return parts | ({rng.choice(["id", "type", "audio", "extra"]): rng.choice(JUNK)} if rng.random() < 0.05 else {})
    if isinstance(value, list):
        return [mutated(part, rng, depth + 1) for part in value] * rng.choice([1, 1, 1, 2])
    return value


def happen(talk: Talk, rng: Random) -> None:
    """Something of the call's."""
    match rng.randrange(7):
        case 0:
            talk.speak(rng.choice([64, 300, 900]))
        case 1:
            talk.quiet(rng.choice([64, 1_300]))
        case 2 if talk.all(ev.BeginDraft):
            talk.transcribe(rng.choice(["", "okay", "what is next", "stop"]))
        case 3 if talk.all(ev.BeginReply) or talk.all(ev.Speak):
            talk.answer("River table seven.", 900)
            talk.play(500)
        case 4 if talk.all(ev.StartPlayout):
            talk.feed(ev.PlayoutFinished(talk.all(ev.StartPlayout)[-1].reply))
        case 5 if talk.all(ev.StartPlayout):
            talk.feed(ev.ToolHandedOver(talk.all(ev.StartPlayout)[-1].reply, "call_1", "f", {}))
        case _:
            talk.wait(rng.choice([20, 2_000]))


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_a_client_sends_the_session_lives_and_keeps_its_order(seed: int) -> None:
    rng = Random(seed)
    talk = Talk(beta=seed % 4 == 3)
    for _ in range(MESSAGES):
        text = json.dumps(mutated(rng.choice(VALID), rng))
        if rng.random() < 0.1:
            at = rng.randrange(len(text))
            text = text[:at] + rng.choice('{}[]",:\x00') + text[at + 1 :]
        talk.protocol.receive(text)
        talk.settle()
        if rng.random() < 0.5:
            happen(talk, rng)
    talk.feed(ev.CallEnded("over"))
    check_call(talk)
    for compose in talk.composing:
        if compose.ref not in talk.stopped:
            talk.protocol.composed(compose.ref, WroteAll("stop"))
            talk.settle()
    assert not talk.order.open, "every response has its response.done"


def test_a_session_keeps_only_so_many_items() -> None:
    talk = Talk()
    for number in range(ITEMS_LIMIT + 5):
        talk.protocol.receive(json.dumps({"type": "conversation.item.create", "item": ITEM | {"id": f"i{number}"}}))
        talk.protocol.outgoing.clear()
        talk.protocol.acts.clear()
    assert talk.send("conversation.item.retrieve", item_id="i4")[0]["type"] == "error"
    assert talk.send("conversation.item.retrieve", item_id="i5")[0]["type"] == "conversation.item.retrieved"
