"""What each vendor's HTTP interface is asked, and what happens when it does not do it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from voicebot.config_telephony import TelephonyConfig
from voicebot.errors import ConfigError
from voicebot.telephony.rest import OVER, send
from voicebot.telephony.vendor import Vendor
from voicebot.telephony.vendors_cloud import Exotel, Plivo, Telnyx, Twilio, Vonage
from voicebot.telephony.vendors_pbx import VENDORS
from voicebot.transports.telephony.rest import RestRequest
from voicebot.transports.telephony.wire import Started

STARTED = Started("stream/1", "call/../1", "acc/1", caller="+15550100", called="15550199")
ENV = {"TWILIO_AUTH_TOKEN": "twilio-t", "TELNYX_API_KEY": "telnyx-k", "PLIVO_AUTH_TOKEN": "plivo-t"}
TARGET = "+15550123"
KEY = generate_private_key(65537, 2048)


def vendor(kind: type[Vendor], env: Mapping[str, str] = ENV, **settings: Any) -> Vendor:
    return kind(TelephonyConfig(**settings), env)


def asked(request: RestRequest | None) -> tuple[str, str]:
    assert request is not None
    return request.method, request.url


def test_ending_a_call_is_asked_of_the_vendors_that_would_go_on_without() -> None:
    twilio = vendor(Twilio).hang_up(STARTED)
    assert asked(twilio) == ("POST", "https://api.twilio.com/2010-04-01/Accounts/acc%2F1/Calls/call%2F..%2F1.json")
    telnyx = vendor(Telnyx).hang_up(STARTED)
    assert asked(telnyx) == ("POST", "https://api.telnyx.com/v2/calls/call%2F..%2F1/actions/hangup")
    assert telnyx is not None and telnyx.bearer == "telnyx-k"
    plivo = vendor(Plivo).hang_up(STARTED)
    assert asked(plivo) == ("DELETE", "https://api.plivo.com/v1/Account/acc%2F1/Call/call%2F..%2F1/")
    assert plivo is not None and plivo.user == ("acc/1", "plivo-t")
    assert vendor(Exotel).hang_up(STARTED) is None


def test_a_transfer_is_asked_for_in_the_vendors_own_way() -> None:
    twilio = vendor(Twilio).transfer(STARTED, TARGET, "")
    assert twilio is not None and twilio.form is not None
    assert "<Dial><Number>+15550123</Number></Dial>" in twilio.form["Twiml"]
    telnyx = vendor(Telnyx).transfer(STARTED, TARGET, "")
    assert telnyx is not None and (telnyx.url.endswith("/actions/transfer"), telnyx.body) == (True, {"to": TARGET})
    plivo = vendor(Plivo).transfer(STARTED, TARGET, "https://bot/telephony/plivo/transfer/x?to=1")
    assert plivo is not None and plivo.body is not None
    assert plivo.body["aleg_url"] == "https://bot/telephony/plivo/transfer/x?to=1"
    assert "<Dial><User>sip:desk@pbx</User></Dial>" in vendor(Plivo).transfer_document("sip:desk@pbx")


def test_keys_are_sent_by_http_where_the_stream_cannot() -> None:
    telnyx = vendor(Telnyx).send_digits(STARTED, "12#")
    assert telnyx is not None and (telnyx.url.endswith("/actions/send_dtmf"), telnyx.body) == (True, {"digits": "12#"})


def vonage() -> Vendor:
    pem = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return vendor(Vonage, {"VONAGE_PRIVATE_KEY": pem}, vonage={"application_id": "app-1"})


def test_vonage_is_asked_with_a_token_that_our_key_has_signed() -> None:
    request = vonage().transfer(STARTED, TARGET, "")
    assert request is not None and request.body is not None
    (connect,) = request.body["destination"]["ncco"]
    assert connect["endpoint"] == [{"type": "phone", "number": "15550123"}] and connect["from"] == "15550199"
    signed, _, signature = request.bearer.rpartition(".")
    KEY.public_key().verify(_unpadded(signature), signed.encode(), PKCS1v15(), SHA256())
    claims = json.loads(_unpadded(signed.partition(".")[2]))
    assert (claims["application_id"], claims["exp"] - claims["iat"]) == ("app-1", 60)
    digits = vonage().send_digits(STARTED, "1")
    assert digits is not None and (digits.method, digits.body) == ("PUT", {"digits": "1"})


def _unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_a_key_that_is_none_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="private key is no PEM"):
        vendor(Vonage, {"VONAGE_PRIVATE_KEY": "x"}, vonage={"application_id": "app-1"})


@pytest.mark.parametrize("kind", VENDORS, ids=lambda kind: kind.name)
def test_without_its_secrets_a_vendor_is_asked_nothing(kind: type[Vendor]) -> None:
    without = vendor(kind, {})
    asked_for = (without.hang_up(STARTED), without.transfer(STARTED, TARGET, ""), without.send_digits(STARTED, "1"))
    assert asked_for == (None, None, None)


@pytest.mark.realtime
@pytest.mark.parametrize(
    ("answer", "over", "done"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", frozenset[int](), True),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", OVER, True),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", frozenset[int](), False),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", OVER, False),
        (b"garbage\r\n\r\n", OVER, False),
        (b"", OVER, False),
    ],
)
def test_a_vendor_that_does_not_do_it_is_logged_without_secrets(
    answer: bytes, over: frozenset[int], done: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    async def main() -> bool:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x"
            return await send(RestRequest("POST", url, user=("acc", "s3cret"), form={"a": "+15550100"}), "ending", over)

    assert asyncio.run(main()) is done
    told = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("voicebot"))
    assert bool(told) is not done
    assert "s3cret" not in told and "+15550100" not in told
