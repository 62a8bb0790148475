"""What is particular to one vendor: codecs, forms, names, signatures."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from voicebot.cli.carriers.events import TelnyxCarrier
from voicebot.cli.carriers.exchange import AudioHookCarrier
from voicebot.core.audio import mulaw_encode
from voicebot.errors import ProtocolError
from voicebot.transports.telephony import audiohook, audiosocket
from voicebot.transports.telephony.asterisk import AsteriskWire
from voicebot.transports.telephony.audio_stream import AudioStreamWire
from voicebot.transports.telephony.audiohook import NIL, AudioHookWire
from voicebot.transports.telephony.audiosocket import AudioSocketWire
from voicebot.transports.telephony.codecs import ALAW, LINEAR_NETWORK
from voicebot.transports.telephony.exotel import ExotelWire
from voicebot.transports.telephony.jambonz import ForkWire
from voicebot.transports.telephony.plivo import PlivoWire
from voicebot.transports.telephony.telnyx import TelnyxWire
from voicebot.transports.telephony.vonage import VonageWire
from voicebot.transports.telephony.wire import (
    Audio,
    Connected,
    Digit,
    Ignored,
    Lost,
    Marked,
    Media,
    Started,
    Stopped,
    Wire,
)

FRAME = (np.arange(160) * 50 - 4000).astype(np.int16)


def text(**message: Any) -> str:
    return json.dumps(message)


def refused(wire: Wire, message: str | bytes) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        wire.parse(message)
    return caught.value


# ---- Telnyx


def telnyx_start(encoding: str, rate_hz: int, channels: int = 1) -> str:
    start = json.loads(TelnyxCarrier().opening()[1])
    start["start"]["media_format"] = {"encoding": encoding, "sample_rate": rate_hz, "channels": channels}
    return json.dumps(start)


@pytest.mark.parametrize(("encoding", "rate_hz", "codec"), [("PCMA", 8000, ALAW), ("L16", 16000, LINEAR_NETWORK)])
def test_telnyx_hears_what_the_start_says_and_speaks_what_was_asked_for(
    encoding: str, rate_hz: int, codec: Any
) -> None:
    wire = TelnyxWire("PCMU")
    wire.parse(telnyx_start(encoding, rate_hz))
    payload = base64.b64encode(codec.encode(FRAME)).decode()
    media = {"track": "inbound", "chunk": "1", "timestamp": "0", "payload": payload}
    heard = wire.parse(text(event="media", media=media))
    assert isinstance(heard, Media) and np.abs(heard.pcm.astype(int) - FRAME).max() <= 150
    assert (wire.rate_hz, wire.playout_rate_hz) == (rate_hz, 8000)
    assert base64.b64decode(json.loads(wire.media(FRAME))["media"]["payload"]) == mulaw_encode(FRAME)


@pytest.mark.parametrize(
    ("encoding", "rate_hz", "channels"), [("OPUS", 16000, 1), ("PCMU", 16000, 1), ("PCMU", 8000, 2)]
)
def test_telnyx_says_which_codec_to_set(encoding: str, rate_hz: int, channels: int) -> None:
    error = refused(TelnyxWire(), telnyx_start(encoding, rate_hz, channels))
    assert (error.close_code, "set the stream's codec" in str(error)) == (1003, True)


# ---- Plivo, Exotel, Vonage


def test_plivo_refuses_a_form_that_it_does_not_have() -> None:
    about = {"callId": "c", "streamId": "s", "mediaFormat": {"encoding": "audio/x-l16", "sampleRate": 44100}}
    assert refused(PlivoWire(), text(event="start", start=about)).close_code == 1003


def test_plivo_reads_extra_headers_with_braces_and_odd_parts() -> None:
    about = {"callId": "c", "streamId": "s", "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000}}
    started = PlivoWire().parse(text(event="start", start=about, extra_headers="{caller= 155 , odd, menu=a=b}"))
    assert isinstance(started, Started) and started.parameters == {"caller": "155", "menu": "a=b"}


@pytest.mark.parametrize(("samples", "expected"), [(160, 3200), (1600, 3200), (1601, 3520), (3200, 6400)])
def test_exotel_messages_have_the_sizes_that_it_takes(samples: int, expected: int) -> None:
    sent = json.loads(ExotelWire().media(np.full(samples, 5, np.int16)))["media"]["payload"]
    data = np.frombuffer(base64.b64decode(sent), "<i2")
    assert len(data) * 2 == expected
    assert np.count_nonzero(data) == samples


@pytest.mark.parametrize(
    "content_type", ["audio/l16", "audio/l16;rate=44100", "audio/pcm;rate=16000", "audio/l16;rate=x"]
)
def test_vonage_refuses_audio_of_another_kind(content_type: str) -> None:
    first = {"event": "websocket:connected", "content-type": content_type, "call_uuid": "c"}
    assert refused(VonageWire(), json.dumps(first)).close_code == 1003


def test_vonage_needs_a_name_for_the_call() -> None:
    first = json.dumps({"event": "websocket:connected", "content-type": "audio/l16;rate=16000"})
    assert "call_uuid" in str(refused(VonageWire(), first))
    started = VonageWire("given").parse(first)
    assert isinstance(started, Started) and started.call_sid == "given"


# ---- jambonz and FreeSWITCH


def test_a_mark_that_was_cleared_says_nothing_and_one_that_was_played_does() -> None:
    wire = ForkWire()
    wire.parse(text(callSid="c", sampleRate=8000))
    assert wire.parse(text(type="mark", data={"name": "0:1", "event": "cleared"})) == Ignored("a cleared mark")
    assert wire.parse(text(type="mark", data={"name": "0:1", "event": "playout"})) == Marked("0:1")


def test_two_mixed_channels_are_refused() -> None:
    assert "mono" in str(refused(ForkWire(), text(callSid="c", sampleRate=8000, mixType="stereo")))


def test_mod_audio_stream_may_begin_with_sound_at_once_or_with_any_text() -> None:
    assert isinstance(AudioStreamWire(8000, "given").parse(b"\0\0"), Started)
    started = AudioStreamWire(16000, "given").parse("agent=7")
    assert isinstance(started, Started) and started.parameters == {"metadata": "agent=7"}
    assert "callSid" in str(refused(AudioStreamWire(8000), "{}"))


# ---- Asterisk


def asterisk(plain: bool = False, **parameters: str) -> AsteriskWire:
    wire = AsteriskWire(parameters)
    fields = {"connection_id": "c1", "channel": "WebSocket/x", "channel_id": "ch", "format": "ulaw", "ptime": "20"}
    line = " ".join(["MEDIA_START", *(f"{key}:{value}" for key, value in fields.items())])
    wire.parse(line if plain else text(event="MEDIA_START", **fields))
    return wire


def test_asterisk_is_answered_in_the_form_that_it_began_with() -> None:
    assert asterisk().clear() == ('{"command":"FLUSH_MEDIA"}',)
    assert asterisk(plain=True).clear() == ("FLUSH_MEDIA",)
    assert asterisk(plain=True).end("0:1") == ("STOP_MEDIA_BUFFERING", "MARK_MEDIA 0:1", "REPORT_QUEUE_DRAINED")


def test_a_drained_queue_proves_only_what_was_asked_about_last() -> None:
    wire = asterisk()
    drained = text(event="QUEUE_DRAINED")
    wire.end("0:1")
    assert wire.parse(drained) == Marked("0:1")
    wire.end("0:2")
    wire.begin()
    wire.end("0:3")
    assert isinstance(wire.parse(drained), Ignored)
    assert wire.parse(drained) == Marked("0:3")
    assert isinstance(wire.parse(drained), Ignored)


def test_an_asterisk_that_tells_no_format_is_told_it_by_the_dialplan() -> None:
    start = text(event="MEDIA_START", connection_id="c1", channel="x", optimal_frame_size=640)
    assert "v(format=...)" in str(refused(AsteriskWire(), start))
    wire = AsteriskWire({"format": "slin16", "caller": "155"})
    started = wire.parse(start)
    assert isinstance(started, Started)
    assert (started.call_sid, started.caller, wire.rate_hz) == ("c1", "155", 16000)


# ---- AudioSocket


def test_audiosocket_reads_each_kind_of_message() -> None:
    wire = AudioSocketWire()
    assert wire.parse(audiosocket.frame(audiosocket.DTMF, b"#")) == Digit("#")
    assert wire.parse(audiosocket.frame(audiosocket.TERMINATE)) == Stopped()
    assert isinstance(wire.parse(audiosocket.frame(0x42, b"x")), Ignored)
    assert "the caller hung up" in str(refused(wire, audiosocket.frame(audiosocket.ERROR, b"\x01")))
    assert "16000 Hz where 8000" in str(refused(wire, audiosocket.frame(0x12, bytes(640))))
    assert "length" in str(refused(wire, b"\x10\x01\x40abc"))


# ---- AudioHook


def hook(*channels: str, conversation: str = "conversation", kind: str = "PCMU") -> tuple[AudioHookWire, Any]:
    carrier = AudioHookCarrier()
    opening = json.loads(carrier.opening()[0])
    opening["parameters"]["conversationId"] = conversation
    opening["parameters"]["media"] = [{"type": "audio", "format": kind, "channels": list(channels), "rate": 8000}]
    wire = AudioHookWire()
    return wire, wire.parse(json.dumps(opening))


def said(wire: AudioHookWire, kind: str, session: str | None = None, **parameters: Any) -> str:
    return text(version="2", id=session or wire._id, type=kind, seq=2, serverseq=1, parameters=parameters)


def test_of_two_channels_the_callers_is_heard() -> None:
    wire, _ = hook("internal", "external")
    both = np.empty(320, np.int16)
    both[0::2], both[1::2] = 0, FRAME
    heard = wire.parse(mulaw_encode(both))
    assert isinstance(heard, Audio) and np.abs(heard.pcm.astype(int) - FRAME).max() <= 150


def test_a_probe_is_answered_and_is_no_call() -> None:
    wire, event = hook("external", conversation=NIL)
    assert event == Connected()
    (opened,) = wire.answers()
    assert json.loads(opened)["type"] == "opened"
    assert wire.parse(said(wire, "close", reason="end")) == Stopped()
    assert [json.loads(answer)["type"] for answer in wire.answers()] == ["closed"]


def test_audiohook_answers_pings_and_counts_its_messages() -> None:
    wire, _ = hook("external")
    wire.parse(said(wire, "ping"))
    answers = [json.loads(answer) for answer in wire.answers()]
    assert [(one["type"], one["seq"], one["clientseq"]) for one in answers] == [("opened", 1, 1), ("pong", 2, 2)]


def test_what_the_far_side_discarded_is_lost_time() -> None:
    wire, _ = hook("external")
    assert wire.parse(said(wire, "discarded", start="PT1S", discarded="PT0.25S")) == Lost(250)
    assert wire.parse(said(wire, "resumed", start="PT1S", discarded="PT3S")) == Lost(3000)
    assert "duration" in str(refused(wire, said(wire, "discarded", start="PT1S", discarded="1s")))


def test_audiohook_refuses_other_sessions_versions_and_media() -> None:
    wire, _ = hook("external")
    assert "in that of" in str(refused(wire, said(wire, "ping", session="other")))
    assert refused(wire, text(version="3", id="s", type="ping", seq=1, parameters={})).close_code == 1003
    with pytest.raises(ProtocolError, match="none is PCMU or L16"):
        hook("internal")


def test_the_signature_of_genesys_own_example_is_right_and_a_changed_one_wrong() -> None:
    """Source: the worked example of "AudioHook protocol, security"."""
    key = "SGVsbG8sIEkgYW0gdGhlIEFQSSBrZXkh"
    secret = base64.b64decode("TXlTdXBlclNlY3JldEtleVRlbGxOby0xITJAMyM0JDU=")
    covered = " ".join(f'"{name}"' for name in audiohook.SIGNED)
    stamps = 'nonce="VGhpc0lzQVVuaXF1ZU5vbmNl";alg="hmac-sha256";created=1641013200;expires=3282026430'
    headers = {
        "audiohook-organization-id": "d7934305-0972-4844-938e-9060eef73d05",
        "audiohook-correlation-id": "e160e428-53e2-487c-977d-96989bf5c99d",
        "audiohook-session-id": "30b0e395-84d3-4570-ac13-9a62d8f514c0",
        "x-api-key": key,
        "signature": "sig1=:NZBwyBHRRyRoeLqy1IzOa9VYBuI8TgMFt2GRDkDuJh4=:",
        "signature-input": f'sig1=({covered});keyid="{key}";{stamps}',
    }

    def fault(now_s: float = 1641013201, target: str = "/api/v1/voicebiometrics/ws", **changed: str) -> str:
        return audiohook.signature_fault(headers | changed, target, "audiohook.example.com", key, secret, now_s)

    assert fault() == ""
    assert "too old" in fault(now_s=1641013300)
    assert "does not sign" in fault(target="/other")
    assert "X-API-KEY" in fault(**{"x-api-key": "other"})
    assert "unreadable" in fault(**{"signature-input": "sig1=x"})
    assert "does not cover" in fault(**{"signature-input": f'sig1=("@authority");keyid="{key}"'})
