"""Every vendor's wire against its carrier: messages in -> events, PCM in -> messages that the carrier plays."""

from __future__ import annotations

import numpy as np
import pytest

from tests.carriers.vendors import VENDORS, Vendor
from voicebot.cli.carriers.base import CALLED, CALLER, Carrier
from voicebot.core.audio import Pcm
from voicebot.errors import ProtocolError
from voicebot.transports.telephony.wire import (
    Audio,
    Connected,
    Digit,
    Ignored,
    Marked,
    Media,
    Message,
    Started,
    Stopped,
    Wire,
)

EVERY = pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.name)
STRETCH_S = 0.6


def tone(rate_hz: int, seconds: float = 0.02) -> Pcm:
    at = np.arange(round(rate_hz * seconds)) / rate_hz
    pcm: Pcm = (8000 * np.sin(2 * np.pi * 300 * at)).astype(np.int16)
    return pcm


def opened(vendor: Vendor) -> tuple[Wire, Carrier, Started]:
    wire, carrier = vendor.wire(), vendor.carrier()
    events = [wire.parse(message) for message in carrier.opening()]
    for message in wire.answers():
        carrier.receive(message, 0.0)
    assert all(isinstance(event, Connected) for event in events[:-1])
    started = events[-1]
    assert isinstance(started, Started)
    return wire, carrier, started


def played(wire: Wire, carrier: Carrier, pcm: Pcm, now: float) -> list[Message]:
    """The carrier's answers to a stretch of the server's audio in packets of the wire's size."""
    answers: list[Message] = []
    size = round(wire.packet_s * wire.playout_rate_hz)
    for message in wire.begin():
        answers += carrier.receive(message, now)
    for at in range(0, len(pcm), size):
        answers += carrier.receive(wire.media(pcm[at : at + size]), now)
    return answers


@EVERY
def test_the_start_tells_which_call_it_is_who_calls_and_with_which_parameters(vendor: Vendor) -> None:
    wire, carrier, started = opened(vendor)
    assert started.call_sid == carrier.call_id
    assert wire.rate_hz == wire.playout_rate_hz == carrier.rate_hz
    if vendor.numbers:
        assert (started.caller, started.called) == (CALLER, CALLED)
    if vendor.parameters:
        assert started.parameters["menu"] == "7"


@EVERY
def test_the_callers_audio_arrives_as_it_was_spoken(vendor: Vendor) -> None:
    wire, carrier, _ = opened(vendor)
    pcm = tone(carrier.rate_hz)
    event = wire.parse(carrier.media(pcm))
    assert isinstance(event, Media | Audio)
    assert len(event.pcm) == len(pcm)
    assert np.abs(event.pcm.astype(int) - pcm).max() <= 300


@EVERY
def test_a_key_is_a_digit(vendor: Vendor) -> None:
    wire, carrier, _ = opened(vendor)
    if carrier.presses:
        assert [wire.parse(carrier.digit(key)) for key in "0*#D"] == [Digit("0"), Digit("*"), Digit("#"), Digit("D")]


@EVERY
def test_a_caller_who_hangs_up_is_told_where_the_vendor_tells_it(vendor: Vendor) -> None:
    wire, carrier, _ = opened(vendor)
    assert [wire.parse(message) for message in carrier.stop()] == ([Stopped()] if vendor.stops else [])


@EVERY
def test_our_audio_is_taken_and_played_as_it_was_made(vendor: Vendor) -> None:
    wire, carrier, _ = opened(vendor)
    pcm = tone(wire.playout_rate_hz, STRETCH_S)
    played(wire, carrier, pcm, 10.0)
    heard = carrier.heard.pcm()
    assert len(heard) == len(pcm)
    assert np.abs(heard.astype(int) - pcm).max() <= 300
    assert carrier.heard.stop_s == pytest.approx(10.6)


@EVERY
def test_a_mark_comes_back_when_the_audio_before_it_has_played_and_not_before(vendor: Vendor) -> None:
    wire, carrier, _ = opened(vendor)
    answers = played(wire, carrier, tone(wire.playout_rate_hz, STRETCH_S), 10.0)
    for message in wire.end("0:1"):
        answers += carrier.receive(message, 10.0)
    assert not [m for m in answers + carrier.due(10.5) if wire.parse(m) == Marked("0:1")]
    events = [wire.parse(message) for message in carrier.due(10.61)]
    assert (Marked("0:1") in events) is vendor.marks


@EVERY
def test_a_clear_silences_the_far_end_and_audio_after_it_plays_at_once(vendor: Vendor) -> None:
    wire, carrier, _ = opened(vendor)
    if not wire.clears:
        assert wire.clear() == ()
        return
    played(wire, carrier, tone(wire.playout_rate_hz, STRETCH_S), 10.0)
    for message in wire.clear():
        carrier.receive(message, 10.2)
    assert carrier.heard.stop_s == pytest.approx(10.2, abs=1e-3)
    played(wire, carrier, tone(wire.playout_rate_hz, STRETCH_S), 10.3)
    assert carrier.heard.stop_s == pytest.approx(10.9, abs=1e-3)


@EVERY
def test_what_a_clear_gives_back_is_understood(vendor: Vendor) -> None:
    wire, carrier, _ = opened(vendor)
    answers = played(wire, carrier, tone(wire.playout_rate_hz, STRETCH_S), 10.0)
    for message in (*wire.end("0:1"), *wire.clear()):
        answers += carrier.receive(message, 10.1)
    assert all(isinstance(wire.parse(message), Marked | Ignored) for message in answers)


@EVERY
def test_a_message_of_another_kind_of_wire_is_a_protocol_error(vendor: Vendor) -> None:
    wire, carrier, _ = opened(vendor)
    text_only = isinstance(carrier.media(tone(carrier.rate_hz)), str)
    wrong: Message = b"\x00\x01" if text_only else ("{" if vendor.name != "audiosocket" else "{}")
    with pytest.raises(ProtocolError):
        wire.parse(wrong)


@EVERY
def test_a_message_that_nobody_sends_is_too_long(vendor: Vendor) -> None:
    wire, carrier, _ = opened(vendor)
    if vendor.name == "audiosocket":
        return  # Its length field cannot say more than 65,535.
    text_only = isinstance(carrier.media(tone(carrier.rate_hz)), str)
    with pytest.raises(ProtocolError) as caught:
        wire.parse("x" * 70_000 if text_only else b"x" * 70_000)
    assert caught.value.close_code == 1009
