from __future__ import annotations

import base64
import json
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.core.audio import mulaw_decode, mulaw_encode
from voicebot.errors import ProtocolError
from voicebot.transports.telephony.twilio import (
    TwilioWire,
    hang_up,
    signature,
    signature_matches,
    transfer,
    twiml,
)
from voicebot.transports.telephony.wire import Connected, Digit, Ignored, Marked, Media, Started, Stopped

FORM = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
START: dict[str, Any] = {
    "event": "start",
    "sequenceNumber": "1",
    "streamSid": "MZ1",
    "start": {
        "streamSid": "MZ1",
        "accountSid": "AC1",
        "callSid": "CA1",
        "tracks": ["inbound"],
        "customParameters": {"caller": "+15550100", "called": "+15550199"},
        "mediaFormat": FORM,
    },
}
PAYLOAD = base64.b64encode(bytes(range(160))).decode()
MEDIA: dict[str, Any] = {
    "event": "media",
    "sequenceNumber": "3",
    "streamSid": "MZ1",
    "media": {"track": "inbound", "chunk": "2", "timestamp": "20", "payload": PAYLOAD},
}
MARK: dict[str, Any] = {"event": "mark", "sequenceNumber": "4", "streamSid": "MZ1", "mark": {"name": "0:1"}}
DTMF: dict[str, Any] = {"event": "dtmf", "streamSid": "MZ1", "dtmf": {"track": "inbound_track", "digit": "5"}}
STOP: dict[str, Any] = {"event": "stop", "streamSid": "MZ1", "stop": {"accountSid": "AC1", "callSid": "CA1"}}
CONNECTED: dict[str, Any] = {"event": "connected", "protocol": "Call", "version": "1.0.0"}
ALL = [CONNECTED, START, MEDIA, MARK, DTMF, STOP]


def parse(message: Any) -> Any:
    return TwilioWire().parse(json.dumps(message))


def changed(message: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with the value at `path` ("media.payload") replaced; deleted where the value is ..."""
    copy = json.loads(json.dumps(message))
    *parents, last = path.split(".")
    within = copy
    for key in parents:
        within = within[key]
    if value is ...:
        del within[last]
    else:
        within[last] = value
    return copy


def test_connected_stop_dtmf_and_mark_become_events() -> None:
    assert parse(CONNECTED) == Connected()
    assert parse(STOP) == Stopped()
    assert parse(DTMF) == Digit("5")
    assert parse(MARK) == Marked("0:1")


def test_start_tells_who_calls_and_with_which_parameters() -> None:
    given = {"caller": "+15550100", "called": "+15550199"}
    assert parse(START) == Started("MZ1", "CA1", "AC1", given, "+15550100", "+15550199")


def test_media_is_decoded_to_8_khz_samples() -> None:
    event = parse(MEDIA)
    assert isinstance(event, Media)
    assert (event.chunk, event.timestamp_ms) == (2, 20)
    assert np.array_equal(event.pcm, mulaw_decode(bytes(range(160))))


def test_numbers_may_be_json_numbers_too() -> None:
    assert parse(changed(MEDIA, "media.chunk", 2)).chunk == 2


def test_media_of_the_outbound_track_is_ignored() -> None:
    assert parse(changed(MEDIA, "media.track", "outbound")) == Ignored("media of another track")


def test_an_unknown_event_is_ignored_by_name() -> None:
    assert parse({"event": "tea", "x": 1}) == Ignored("tea")


@pytest.mark.parametrize(
    ("message", "code", "words"),
    [
        ([1], 1007, "not an object"),
        ({}, 1002, "'event' is missing"),
        ({"event": 5}, 1002, "'event' is 5"),
        (changed(START, "start", ...), 1002, "without its 'start' object"),
        (changed(START, "start.mediaFormat", ...), 1002, "without its 'mediaFormat'"),
        (changed(START, "start.mediaFormat.encoding", "audio/opus"), 1003, "audio/opus"),
        (changed(START, "start.mediaFormat.sampleRate", 16000), 1003, "16000"),
        (changed(START, "start.mediaFormat.channels", 2), 1003, "'2'"),
        (changed(START, "start.callSid", 7), 1002, "'callSid' is 7"),
        (changed(START, "start.customParameters", [1]), 1002, "customParameters"),
        (changed(MEDIA, "media", "x"), 1002, "without its 'media' object"),
        (changed(MEDIA, "media.payload", ...), 1002, "'payload' is missing"),
        (changed(MEDIA, "media.payload", "%%%"), 1007, "not base64"),
        (changed(MEDIA, "media.payload", "AAA"), 1007, "not base64"),
        (changed(MEDIA, "media.payload", "äöü="), 1007, "not base64"),
        (changed(MEDIA, "media.payload", base64.b64encode(b"a" * 161).decode()), 1007, "161 mu-law bytes"),
        (changed(MEDIA, "media.chunk", "-1"), 1002, "'chunk' is '-1'"),
        (changed(MEDIA, "media.chunk", True), 1002, "'chunk' is True"),
        (changed(MEDIA, "media.chunk", "9" * 400), 1002, "'chunk' is '999"),
        (changed(MEDIA, "media.timestamp", None), 1002, "'timestamp' is missing"),
        (changed(DTMF, "dtmf.digit", "x"), 1002, "none of 0-9"),
        (changed(MARK, "mark.name", ""), 1002, "'name' is ''"),
    ],
)
def test_what_the_protocol_forbids_is_an_error_that_names_it(message: Any, code: int, words: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse(message)
    assert words in str(caught.value)
    assert caught.value.close_code == code


@pytest.mark.parametrize(
    ("text", "code"), [("{", 1007), ("", 1007), ("[" * 60_000, 1007), ("9" * 60_000, 1007), ("x" * 70_000, 1009)]
)
def test_text_that_is_not_json_or_too_long_is_an_error(text: str, code: int) -> None:
    with pytest.raises(ProtocolError) as caught:
        TwilioWire().parse(text)
    assert caught.value.close_code == code


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(ALL), st.data())
def test_a_message_with_any_one_value_replaced_raises_nothing_but_a_protocol_error(
    message: dict[str, Any], data: st.DataObject
) -> None:
    paths = list(message) + [
        f"{key}.{inner}" for key, value in message.items() if isinstance(value, dict) for inner in value
    ]
    mutated = changed(message, data.draw(st.sampled_from(paths)), data.draw(JSON))
    try:
        parse(mutated)
    except ProtocolError as error:
        assert str(error)


@given(st.sampled_from(ALL), st.data())
def test_a_message_cut_or_altered_as_text_raises_nothing_but_a_protocol_error(
    message: dict[str, Any], data: st.DataObject
) -> None:
    text = json.dumps(message)
    at = data.draw(st.integers(0, len(text)))
    text = text[:at] + data.draw(st.text(max_size=3)) + text[at + data.draw(st.integers(0, 4)) :]
    try:
        TwilioWire().parse(text)
    except ProtocolError as error:
        assert str(error)


def test_outgoing_messages_carry_the_streams_id() -> None:
    wire = TwilioWire()
    wire.parse(json.dumps(START))
    pcm = np.arange(160, dtype=np.int16) * 100
    assert json.loads(wire.media(pcm)) == {
        "event": "media",
        "streamSid": "MZ1",
        "media": {"payload": base64.b64encode(mulaw_encode(pcm)).decode()},
    }
    assert json.loads(wire.end("3:1")[0]) == {"event": "mark", "streamSid": "MZ1", "mark": {"name": "3:1"}}
    assert json.loads(wire.clear()[0]) == {"event": "clear", "streamSid": "MZ1"}


def test_the_twiml_connects_the_call_to_the_stream_and_escapes_the_url() -> None:
    root = ElementTree.fromstring(twiml('wss://bot.example.com/telephony/twilio?a=1&b="2"', {"caller": '"<&>'}))
    stream = root.find("./Connect/Stream")
    assert root.tag == "Response"
    assert stream is not None
    assert stream.get("url") == 'wss://bot.example.com/telephony/twilio?a=1&b="2"'
    assert [parameter.attrib for parameter in stream] == [{"name": "caller", "value": '"<&>'}]


DOCUMENTED = {
    "CallSid": "CA1234567890ABCDE",
    "Caller": "+14158675309",
    "Digits": "1234",
    "From": "+14158675309",
    "To": "+18005551212",
}


def test_the_signature_is_that_of_the_documented_example() -> None:
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert signature("12345", url, DOCUMENTED) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="


@pytest.mark.parametrize(
    ("signed", "checked"),
    [
        ("https://bot.example.com/x", "https://bot.example.com/x"),
        ("https://bot.example.com:443/x", "https://bot.example.com/x"),
        ("https://bot.example.com/x", "https://bot.example.com:8443/x"),
    ],
)
def test_a_signature_counts_with_and_without_the_port(signed: str, checked: str) -> None:
    given_signature = signature("token", signed, {"a": "1"})
    assert signature_matches(given_signature, "token", checked, {"a": "1"})


@pytest.mark.parametrize("given_signature", ["", "x", "ä", signature("other", "https://h/x", {})])
def test_a_wrong_signature_does_not_match(given_signature: str) -> None:
    assert not signature_matches(given_signature, "token", "https://h/x", {})


def test_a_changed_parameter_does_not_match() -> None:
    assert not signature_matches(signature("token", "https://h/x", {"a": "1"}), "token", "https://h/x", {"a": "2"})


def test_the_request_that_ends_a_call_cannot_leave_its_path() -> None:
    request = hang_up("https://api.twilio.com", "AC1", "t0ken", "../CA1")
    assert request.url == "https://api.twilio.com/2010-04-01/Accounts/AC1/Calls/..%2FCA1.json"
    assert (request.method, request.form, request.user) == ("POST", {"Status": "completed"}, ("AC1", "t0ken"))
    assert "t0ken" not in repr(request)


@pytest.mark.parametrize(
    ("target", "dialled"),
    [("+15550123", "<Number>+15550123</Number>"), ("sip:desk@pbx", "<Sip>sip:desk@pbx</Sip>")],
)
def test_a_transfer_dials_a_number_or_a_sip_address(target: str, dialled: str) -> None:
    form = transfer("https://api.twilio.com", "AC1", "t0ken", "CA1", target).form
    assert form is not None
    assert f"<Response><Dial>{dialled}</Dial></Response>" in form["Twiml"]
