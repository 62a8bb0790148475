"""A Realtime session played by hand: the pure protocol and the pure machine on each other, no socket and no clock.

Every server event is checked against the official SDK's own types, and against the order that clients rely on.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

from tests.core.script import Script
from voicebot.core import events as ev
from voicebot.core.audio import Pcm, silence
from voicebot.transports.realtime.acts import Compose, Hear, StopComposing, Tell, Wish
from voicebot.transports.realtime.protocol import RealtimeProtocol
from voicebot.transports.realtime.session_object import About

OFFICIAL: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
RATE_HZ = 24_000


class Talk(Script):
    """`events`: what the client was sent. The playout rate is the script's (16 kHz), that of sound 24 kHz."""

    def __init__(self, beta: bool = False, over_webrtc: bool = False, session: dict[str, Any] | None = None) -> None:
        self.protocol = RealtimeProtocol(
            About("voicebot", "espeak", "sphinx"), self_settings(), "ab", 99, beta, over_webrtc
        )
        self.beta = beta
        self.events: list[dict[str, Any]] = []
        self.wishes: list[Wish] = []
        self.composing: list[Compose] = []
        self.stopped: list[str] = []
        self.order = Order()
        super().__init__()
        self.protocol.begin(session)
        self.settle()

    def feed(self, event: ev.Event) -> list[ev.Command]:
        commands = super().feed(event)
        for command in commands:
            self.protocol.happened(command)
        self.settle()
        return commands

    def settle(self) -> None:
        while self.protocol.acts or self.protocol.outgoing:
            self.take_events()
            if self.protocol.acts:
                self.do(self.protocol.acts.pop(0))

    def take_events(self) -> None:
        for event in self.protocol.outgoing:
            json.dumps(event)
            if not self.beta:
                OFFICIAL.validate_python(event)
                self.order.take(event)
            self.events.append(event)
        self.protocol.outgoing.clear()

    def do(self, act: Any) -> None:
        match act:
            case Tell(event):
                self.feed(event)
            case Wish():
                self.wishes.append(act)
            case Compose():
                self.composing.append(act)
            case StopComposing(ref):
                self.stopped.append(ref)
            case Hear(pcm):
                self.sample += len(pcm)

    # ---- the client

    def send(self, kind: str, **fields: Any) -> list[dict[str, Any]]:
        """One client event; what it was answered with at once."""
        before = len(self.events)
        self.protocol.receive(json.dumps({"type": kind, **fields}))
        self.settle()
        return self.events[before:]

    def update(self, **session: Any) -> list[dict[str, Any]]:
        return self.send("session.update", session={"type": "realtime", **session})

    def append(self, pcm: Pcm) -> list[dict[str, Any]]:
        return self.send("input_audio_buffer.append", audio=base64.b64encode(pcm.tobytes()).decode())

    def append_ms(self, ms: int) -> list[dict[str, Any]]:
        return self.append(silence(RATE_HZ * ms // 1000))

    def add(self, role: str, text: str, **more: Any) -> list[dict[str, Any]]:
        kind = "output_text" if role == "assistant" else "input_text"
        item = {"type": "message", "role": role, "content": [{"type": kind, "text": text}], **more}
        return self.send("conversation.item.create", item=item)

    def play(self, ms: int) -> None:
        """So much of the live reply's sound is sent."""
        self.protocol.played(np.ones(RATE_HZ * ms // 1000, np.int16))
        self.settle()

    # ---- what it was told

    def kinds(self, since: int = 0) -> list[str]:
        return [event["type"] for event in self.events[since:]]

    def told(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]

    def last(self, kind: str) -> dict[str, Any]:
        return self.told(kind)[-1]


def self_settings() -> Any:
    return Script(started=False).settings


class Order:
    """What clients rely on: see `responses.py`. Fed every event."""

    def __init__(self) -> None:
        self.open: dict[str, list[str]] = {}
        self.over: set[str] = set()
        self.items: set[str] = set()
        self.done: set[str] = set()

    def take(self, event: dict[str, Any]) -> None:
        kind = event["type"]
        if kind == "response.created":
            response = event["response"]["id"]
            assert response not in self.open and response not in self.over
            self.open[response] = []
        elif kind == "response.done":
            response = event["response"]["id"]
            added = self.open.pop(response)
            assert [item["id"] for item in event["response"]["output"]] == added
            assert self.done.issuperset(added), "every item is done before its response"
            self.over.add(response)
        elif kind.startswith("response."):
            self._take_part(kind, event)
        elif kind == "conversation.item.added":
            assert event["item"]["id"] not in self.items
            self.items.add(event["item"]["id"])
        elif kind == "conversation.item.done":
            assert event["item"]["id"] in self.items

    def _take_part(self, kind: str, event: dict[str, Any]) -> None:
        added = self.open[event["response_id"]]  # KeyError: something of a response that is not open.
        if kind == "response.output_item.added":
            assert event["output_index"] == len(added)
            added.append(event["item"]["id"])
            return
        item = event["item"]["id"] if kind == "response.output_item.done" else event["item_id"]
        assert added[event["output_index"]] == item and item not in self.done
        if kind == "response.output_item.done":
            self.done.add(item)
