from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from voicebot.cli.carriers.events import TwilioCarrier as Carrier
from voicebot.core.audio import mulaw_encode
from voicebot.errors import ProtocolError
from voicebot.transports.telephony.twilio import TwilioWire
from voicebot.transports.telephony.wire import Connected, Digit, Marked, Media, Started, Stopped

FRAME = np.full(160, 4000, np.int16)


def message(carrier: Carrier, event: str, **rest: Any) -> str:
    return json.dumps({"event": event, "streamSid": carrier.stream_id, **rest})


def media(carrier: Carrier, frames: int) -> str:
    payload = base64.b64encode(mulaw_encode(np.tile(FRAME, frames))).decode()
    return message(carrier, "media", media={"payload": payload})


def mark(carrier: Carrier, name: str) -> str:
    return message(carrier, "mark", mark={"name": name})


def names(messages: list[str]) -> list[str]:
    return [json.loads(text)["mark"]["name"] for text in messages]


def test_what_it_sends_is_understood_by_the_servers_own_wire() -> None:
    carrier, wire = Carrier(), TwilioWire()
    connected, start = (wire.parse(text) for text in carrier.opening())
    assert isinstance(connected, Connected)
    assert isinstance(start, Started)
    assert start.stream_sid == carrier.stream_id
    heard = wire.parse(carrier.media(FRAME))
    assert isinstance(heard, Media)
    assert wire.parse(carrier.digit("5")) == Digit("5")
    carrier.receive(mark(carrier, "m"), 0.0)
    (stop,) = carrier.stop()
    assert isinstance(wire.parse(stop), Stopped)


def test_an_echoed_mark_is_understood_by_the_servers_own_wire() -> None:
    carrier = Carrier()
    (echo,) = carrier.receive(mark(carrier, "reply-1"), 0.0)
    assert TwilioWire().parse(echo) == Marked("reply-1")


def test_messages_are_numbered_and_audio_is_stamped_in_milliseconds() -> None:
    carrier = Carrier()
    start = json.loads(carrier.opening()[1])
    first, second = (json.loads(carrier.media(FRAME)) for _ in range(2))
    assert [start["sequenceNumber"], first["sequenceNumber"], second["sequenceNumber"]] == ["1", "2", "3"]
    assert [first["media"]["chunk"], first["media"]["timestamp"]] == ["1", "0"]
    assert [second["media"]["chunk"], second["media"]["timestamp"]] == ["2", "20"]


def test_media_that_comes_early_is_played_in_order_one_after_the_other() -> None:
    carrier = Carrier()
    carrier.receive(media(carrier, 5), 10.0)
    carrier.receive(media(carrier, 5), 10.01)
    assert carrier.heard.first_audible_s(0) == pytest.approx(10.0)
    assert carrier.heard.stop_s == pytest.approx(10.2)


def test_media_after_a_pause_plays_when_it_comes() -> None:
    carrier = Carrier()
    carrier.receive(media(carrier, 1), 10.0)
    carrier.receive(media(carrier, 1), 11.0)
    assert carrier.heard.first_audible_s(10.5) == pytest.approx(11.0)


def test_a_mark_comes_back_when_the_media_before_it_has_played() -> None:
    carrier = Carrier()
    carrier.receive(media(carrier, 5), 10.0)
    assert carrier.receive(mark(carrier, "a"), 10.0) == []
    carrier.receive(media(carrier, 5), 10.0)
    assert carrier.receive(mark(carrier, "b"), 10.0) == []
    assert carrier.due(10.09) == []
    assert names(carrier.due(10.11)) == ["a"]
    assert names(carrier.due(10.21)) == ["b"]
    assert carrier.due(11.0) == []


def test_a_mark_comes_back_at_once_when_nothing_waits_to_be_played() -> None:
    carrier = Carrier()
    assert names(carrier.receive(mark(carrier, "a"), 10.0)) == ["a"]


def test_clear_drops_what_has_not_played_and_returns_every_waiting_mark() -> None:
    carrier = Carrier()
    carrier.receive(media(carrier, 10), 10.0)
    carrier.receive(mark(carrier, "a"), 10.0)
    carrier.receive(media(carrier, 10), 10.0)
    carrier.receive(mark(carrier, "b"), 10.0)
    assert names(carrier.receive(message(carrier, "clear"), 10.05)) == ["a", "b"]
    assert carrier.heard.stop_s == pytest.approx(10.05)
    assert carrier.playback.cleared_s == [10.05]
    assert carrier.due(20.0) == []


def test_media_after_a_clear_plays_at_once() -> None:
    carrier = Carrier()
    carrier.receive(media(carrier, 50), 10.0)
    carrier.receive(message(carrier, "clear"), 10.1)
    carrier.receive(media(carrier, 1), 10.2)
    assert carrier.heard.stop_s == pytest.approx(10.22)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[]", "not an object"),
        ('{"event": "play"}', "'play'"),
        ('{"event": "clear", "streamSid": "MZ0"}', "'MZ0'"),
    ],
)
def test_a_message_that_twilio_would_refuse_is_a_protocol_error(text: str, said: str) -> None:
    with pytest.raises(ProtocolError, match=said):
        Carrier().receive(text, 0.0)


@pytest.mark.parametrize(
    ("event", "rest", "said"),
    [
        ("media", {}, "has no|no payload"),
        ("media", {"media": {"payload": 5}}, "has no|no payload"),
        ("media", {"media": {"payload": "a"}}, "not base64"),
        ("media", {"media": {"payload": "é"}}, "not base64"),
        ("mark", {}, "has no"),
        ("mark", {"mark": {"name": None}}, "has no"),
    ],
)
def test_a_message_with_a_broken_body_is_a_protocol_error_and_changes_nothing(
    event: str, rest: dict[str, Any], said: str
) -> None:
    carrier = Carrier()
    with pytest.raises(ProtocolError, match=said):
        carrier.receive(message(carrier, event, **rest), 0.0)
    assert carrier.heard.stop_s == float("-inf")
    assert carrier.due(100.0) == []
