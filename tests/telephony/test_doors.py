"""Who may come in through which door, and what each answer document says."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from tests.carriers.vendors import VENDORS, Vendor
from tests.test_server import account, serving, start_of, until
from voicebot.cli.carriers.events import TwilioCarrier
from voicebot.cli.carriers.exchange import AudioHookCarrier
from voicebot.config_telephony import TelephonyConfig
from voicebot.errors import ConfigError
from voicebot.telephony.access import Access
from voicebot.transports.telephony import plivo, twilio

PUBLIC = "telephony.public_url=https://bot.example.com"
SECRET = "a secret of thirty-two characters"
FAR = "192.0.2.7"
LOCAL = "ws://localhost"
WEB_SOCKETS = [vendor for vendor in VENDORS if vendor.name not in ("audiosocket", "asterisk plain")]
EVERY = pytest.mark.parametrize("vendor", WEB_SOCKETS, ids=lambda vendor: vendor.name)
ANSWERING = ("twilio", "telnyx", "plivo", "vonage", "exotel", "jambonz")


def password(vendor: str) -> tuple[str, str]:
    return ("bot", Access(TelephonyConfig(), {"TELEPHONY_SECRET": SECRET}).password(vendor))


def basic(vendor: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(":".join(password(vendor)).encode()).decode()}


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEPHONY_SECRET", SECRET)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A server that nothing was set for, called from its own machine."""
    with serving(tmp_path_factory.mktemp("server")) as client:
        yield client


def come(client: TestClient, vendor: Vendor, path: str, **headers: str) -> None:
    """A carrier's call begins at `path` and is a call of the server's. Raises: WebSocketDisconnect, when it may not."""
    carrier = vendor.carrier()
    with client.websocket_connect(LOCAL + path, subprotocols=list(carrier.subprotocols), headers=headers) as far:
        assert far.accepted_subprotocol == (carrier.subprotocols[0] if carrier.subprotocols else None)
        for message in carrier.opening():
            far.send_text(message) if isinstance(message, str) else far.send_bytes(message)
        until(lambda: client.get(f"/api/calls/{carrier.call_id}").status_code == 200)


def refusal(client: TestClient, vendor: Vendor, path: str, **headers: str) -> tuple[int, str]:
    """Status and words with which a media socket is refused."""
    with pytest.raises(WebSocketDisconnect) as caught:
        come(client, vendor, path, **headers)
    return caught.value.status_code, caught.value.json()["error"]  # type: ignore[attr-defined]


# ---- media sockets


@EVERY
def test_a_caller_on_this_machine_comes_in_as_it_is(vendor: Vendor, local: TestClient) -> None:
    come(local, vendor, f"/telephony/{vendor.name}")


@EVERY
def test_a_caller_from_elsewhere_needs_a_token(vendor: Vendor, tmp_path: Path, secret: None) -> None:
    with serving(tmp_path, "server.api_remote=true", host=FAR) as client:
        status, words = refusal(client, vendor, f"/telephony/{vendor.name}")
        assert (status, "voicebot token" in words) == (403, True)
        given = client.post(f"/telephony/{vendor.name}/token", headers=basic(vendor.name)).json()
        come(client, vendor, given["url"].removeprefix("wss://localhost"))


@EVERY
def test_a_token_is_for_one_call_and_for_one_vendor(vendor: Vendor, local: TestClient) -> None:
    other = next(one for one in WEB_SOCKETS if one is not vendor)
    path = local.post(f"/telephony/{vendor.name}/token").json()["url"].removeprefix("ws://localhost")
    token = path.rpartition("/")[2]
    assert "not one of ours" in refusal(local, other, f"/telephony/{other.name}/{token}")[1]
    come(local, vendor, path)
    assert refusal(local, vendor, path) == (403, "the token was used before; each is for one call")


@pytest.mark.parametrize("token", ["x", "A" * 48, "-" * 48, "A" * 47 + "=", "é" * 24, "A" * 5000])
def test_what_is_no_token_is_refused_even_on_this_machine(token: str, local: TestClient) -> None:
    assert refusal(local, WEB_SOCKETS[0], f"/telephony/twilio/{token}")[0] == 403


@pytest.mark.parametrize("path", ["/telephony/twilio/..%2F..%2Fetc", "/telephony/twilio/a/b"])
def test_a_path_that_climbs_is_no_door(path: str, local: TestClient) -> None:
    with pytest.raises(WebSocketDisconnect):
        come(local, WEB_SOCKETS[0], path)


def test_the_password_of_another_vendor_opens_nothing(tmp_path: Path, secret: None) -> None:
    with serving(tmp_path, host=FAR) as client:
        vendor = next(one for one in WEB_SOCKETS if one.name == "asterisk")
        assert refusal(client, vendor, "/telephony/asterisk", **basic("exotel"))[0] == 403
        with serving(tmp_path, "server.api_remote=true", host=FAR) as client:
            come(client, vendor, "/telephony/asterisk", **basic("asterisk"))


def test_telnyx_may_have_the_password_as_its_streams_auth_token(tmp_path: Path, secret: None) -> None:
    vendor = next(one for one in WEB_SOCKETS if one.name == "telnyx")
    header = "x-telnyx-streaming-auth-token"
    with serving(tmp_path, "server.api_remote=true", host=FAR) as client:
        assert refusal(client, vendor, "/telephony/telnyx", **{header: "wrong"})[0] == 403
        come(client, vendor, "/telephony/telnyx", **{header: password("telnyx")[1]})


@pytest.mark.parametrize(
    "header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via", "Origin"], ids=lambda header: header.lower()
)
def test_a_proxy_or_a_web_page_on_this_machine_is_not_this_machine(header: str, local: TestClient) -> None:
    assert refusal(local, WEB_SOCKETS[0], "/telephony/twilio", **{header: "192.0.2.9"})[0] == 403


def test_another_name_in_the_host_header_or_a_public_url_is_not_this_machine(tmp_path: Path) -> None:
    with serving(tmp_path) as client:
        assert refusal(client, WEB_SOCKETS[0], "/telephony/twilio", Host="rebound.example")[0] == 403
    with serving(tmp_path, PUBLIC) as client:
        assert refusal(client, WEB_SOCKETS[0], "/telephony/twilio")[0] == 403


@pytest.mark.parametrize("host", ["[bad", "localhost@rebound.example", "localhost.rebound.example", "127.0.0.1.x"])
def test_a_host_that_only_looks_like_this_machine_is_not(host: str, local: TestClient) -> None:
    assert refusal(local, WEB_SOCKETS[0], "/telephony/twilio", Host=host)[0] == 403
    assert local.get("/telephony/twilio/answer", headers={"host": host}).status_code == 403


def test_every_endpoint_is_in_the_schema_once(local: TestClient) -> None:
    paths = local.get("/openapi.json").json()["paths"]
    assert set(paths["/telephony/{vendor}/answer"]) == {"get", "post"}
    assert {"/telephony/{vendor}/token", "/telephony/asterisk/connect"} <= set(paths)


def test_a_vendor_that_there_is_not_is_told_which_there_are(local: TestClient) -> None:
    status, words = refusal(local, WEB_SOCKETS[0], "/telephony/carrierpigeon")
    assert (status, "twilio, telnyx" in words) == (404, True)
    assert local.get("/telephony/carrierpigeon/answer").status_code == 404


@pytest.mark.parametrize("name", ["jambonz", "audio_fork", "asterisk"])
def test_a_subprotocol_that_must_be_agreed_on_is_demanded(name: str, local: TestClient) -> None:
    bare = Vendor(name, next(one for one in WEB_SOCKETS if one.name == name).wire, TwilioCarrier)
    assert "subprotocol" in refusal(local, bare, f"/telephony/{name}")[1]


# ---- signatures of media sockets


def test_a_twilio_socket_is_signed_where_the_auth_token_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "t0ken")
    with serving(tmp_path, PUBLIC, "server.api_remote=true", host=FAR) as client:
        assert "X-Twilio-Signature" in refusal(client, WEB_SOCKETS[0], "/telephony/twilio")[1]
        signed = twilio.signature("t0ken", "wss://bot.example.com/telephony/twilio", {})
        come(client, WEB_SOCKETS[0], "/telephony/twilio", **{"X-Twilio-Signature": signed})


def test_an_audiohook_socket_has_the_key_and_the_signature(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env = {"AUDIOHOOK_API_KEY": "key-1", "AUDIOHOOK_CLIENT_SECRET": base64.b64encode(b"secret").decode()}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    vendor = next(one for one in WEB_SOCKETS if one.name == "audiohook")
    url = "wss://bot.example.com/telephony/audiohook"
    with serving(tmp_path, PUBLIC, "server.api_remote=true", host=FAR) as client:
        good = AudioHookCarrier().headers(url, env)
        for spoiled in ("x-api-key", "signature", "signature-input", "audiohook-session-id"):
            assert refusal(client, vendor, "/telephony/audiohook", **(good | {spoiled: "x"}))[0] == 403
        come(client, vendor, "/telephony/audiohook", **good)


def test_an_audiohook_secret_that_is_not_base64_is_a_config_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUDIOHOOK_CLIENT_SECRET", "not base64!")
    with pytest.raises(ConfigError, match="AUDIOHOOK_CLIENT_SECRET is not base64"), serving(tmp_path):
        pass


def test_a_token_for_one_call_does_not_let_another_in(local: TestClient) -> None:
    document = local.post("/telephony/twilio/answer", data={"CallSid": "CA-mine"}).text
    (path,) = re.findall(r'url="ws://localhost([^"]+)"', document)
    with local.websocket_connect(LOCAL + path) as far:
        far.send_json(start_of("CA-other"))
        with pytest.raises(WebSocketDisconnect) as caught:
            far.receive_json()
    assert (caught.value.code, caught.value.reason) == (1008, "the token in the URL is for another call")


# ---- answer documents


def stream_url(document: str) -> str:
    (url,) = re.findall(r"wss?://[^\"<?]+", document)
    return str(url)


@pytest.mark.parametrize("name", ANSWERING)
def test_the_answer_document_sends_the_call_to_a_socket_that_takes_it(name: str, local: TestClient) -> None:
    vendor = next(one for one in WEB_SOCKETS if one.name == name)
    document = local.get(f"/telephony/{name}/answer").text
    come(local, vendor, stream_url(document).removeprefix("ws://localhost"))


def test_the_documents_are_in_the_vendors_own_words_and_pass_the_numbers_on(local: TestClient) -> None:
    form = {"CallSid": "CA1", "CallUUID": "u1", "From": "+15550100", "To": "+15550199"}
    twiml = local.post("/telephony/twilio/answer", data=form)
    assert twiml.headers["content-type"].startswith("application/xml")
    assert '<Parameter name="caller" value="+15550100"/><Parameter name="called"' in twiml.text
    texml = local.post("/telephony/telnyx/answer", data=form).text
    assert 'bidirectionalMode="rtp" bidirectionalCodec="PCMU"' in texml
    xml = local.post("/telephony/plivo/answer", data=form).text
    assert 'contentType="audio/x-l16;rate=16000" extraHeaders="caller=15550100,called=15550199"' in xml
    asked = {"uuid": "v1", "from": "15550100", "to": "15550199"}
    ((connect,),) = (local.get("/telephony/vonage/answer", params=asked).json(),)
    assert connect["endpoint"][0]["headers"] == {"call_uuid": "v1", "caller": "15550100", "called": "15550199"}
    verbs = local.post("/telephony/jambonz/answer", json={"call_sid": "j1"}).json()
    assert [verb["verb"] for verb in verbs] == ["answer", "listen", "hangup"]
    assert verbs[1]["passDtmf"] is True
    exotel = local.get("/telephony/exotel/answer").json()
    assert exotel["url"].endswith("?sample-rate=8000")


def test_an_exchange_without_an_answer_document_is_told_where_to_go(local: TestClient) -> None:
    answer = local.get("/telephony/asterisk/answer")
    assert (answer.status_code, "/telephony/asterisk/token" in answer.json()["error"]) == (404, True)
    plain = local.post("/telephony/audio_stream/token", headers={"accept": "text/plain"}).text
    assert plain.startswith("ws://localhost/telephony/audio_stream/")


def twilio_request() -> dict[str, Any]:
    signed = twilio.signature("s3cret", "https://bot.example.com/telephony/twilio/answer", {"CallSid": "CA1"})
    return {"data": {"CallSid": "CA1"}, "headers": {"X-Twilio-Signature": signed}}


def plivo_request() -> dict[str, Any]:
    url = "https://bot.example.com/telephony/plivo/answer"
    signed = plivo.signature("s3cret", "POST", url, "n1", {"CallUUID": "u1"})
    headers = {"X-Plivo-Signature-V3": f"other,{signed}", "X-Plivo-Signature-V3-Nonce": "n1"}
    return {"data": {"CallUUID": "u1"}, "headers": headers}


TELNYX_KEY = Ed25519PrivateKey.generate()


def telnyx_request() -> dict[str, Any]:
    stamp = str(int(time.time()))
    signed = base64.b64encode(TELNYX_KEY.sign(f"{stamp}|CallSid=t1".encode())).decode()
    form = {"content-type": "application/x-www-form-urlencoded"}
    return {
        "content": b"CallSid=t1",
        "headers": form | {"Telnyx-Signature-Ed25519": signed, "Telnyx-Timestamp": stamp},
    }


def vonage_request() -> dict[str, Any]:
    body = b'{"uuid":"v1"}'

    def part(claims: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")

    hashed = hashlib.sha256(body).hexdigest()
    signed = part({"alg": "HS256"}) + "." + part({"iat": int(time.time()), "payload_hash": hashed})
    mac = hmac.new(b"s3cret", signed.encode(), hashlib.sha256).digest()
    token = f"{signed}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"
    return {"content": body, "headers": {"Authorization": f"Bearer {token}", "content-type": "application/json"}}


def jambonz_request() -> dict[str, Any]:
    body, stamp = b'{"call_sid":"j1"}', str(int(time.time()))
    mac = hmac.new(b"s3cret", f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return {
        "content": body,
        "headers": {"Jambonz-Signature": f"t={stamp},v1={mac}", "content-type": "application/json"},
    }


SIGNED: dict[str, tuple[str, Callable[[], dict[str, Any]]]] = {
    "twilio": ("TWILIO_AUTH_TOKEN", twilio_request),
    "plivo": ("PLIVO_AUTH_TOKEN", plivo_request),
    "telnyx": ("TELNYX_PUBLIC_KEY", telnyx_request),
    "vonage": ("VONAGE_SIGNATURE_SECRET", vonage_request),
    "jambonz": ("JAMBONZ_WEBHOOK_SECRET", jambonz_request),
}


@pytest.mark.parametrize("name", SIGNED)
def test_a_signed_webhook_is_answered_and_any_other_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env, request = SIGNED[name]
    raw = TELNYX_KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    monkeypatch.setenv(env, base64.b64encode(raw).decode() if name == "telnyx" else "s3cret")
    path = f"/telephony/{name}/answer"
    with serving(tmp_path, PUBLIC, host=FAR) as client:
        assert client.post(path, **request()).status_code == 200
        unsigned = {key: value for key, value in request().items() if key != "headers"}
        assert client.post(path, **unsigned).status_code == 403
        tampered = request()
        if "data" in tampered:
            tampered["data"] |= {"From": "+1"}
        else:
            tampered["content"] += b" "
        refused = client.post(path, **tampered)
        assert refused.status_code == 403
        assert "sign" in refused.json()["error"]


@pytest.mark.parametrize("name", ANSWERING)
def test_without_its_secret_a_vendor_from_elsewhere_gets_no_answer_but_with_the_password(
    name: str, tmp_path: Path, secret: None
) -> None:
    with serving(tmp_path, host=FAR) as client:
        assert client.post(f"/telephony/{name}/answer").status_code == 403
        assert client.post(f"/telephony/{name}/answer", auth=password(name)).status_code == 200


def test_a_webhook_with_a_huge_body_is_refused(local: TestClient) -> None:
    assert local.post("/telephony/twilio/answer", content=b"a" * 70_000).status_code == 413


def test_no_token_password_or_secret_is_ever_logged(
    tmp_path: Path, secret: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PLIVO_AUTH_TOKEN", "plivo-t0ken")
    caplog.set_level(logging.DEBUG)
    with serving(tmp_path, "server.api_remote=true", host=FAR) as client:
        url = client.post("/telephony/exotel/token", headers=basic("exotel")).json()["url"]
        vendor = next(one for one in WEB_SOCKETS if one.name == "exotel")
        come(client, vendor, url.removeprefix("wss://localhost"))
        assert refusal(client, vendor, url.removeprefix("wss://localhost"))[0] == 403
        client.post("/telephony/plivo/answer", data={"CallUUID": "u1"})
    logged = "\n".join(record.getMessage() for record in caplog.records if not record.name.startswith("httpx"))
    assert "was refused" in logged
    for told in (url.rpartition("/")[2], password("exotel")[1], SECRET, "plivo-t0ken"):
        assert told not in logged


# ---- what a call is told


def test_a_call_ends_when_its_far_side_does(local: TestClient) -> None:
    carrier = WEB_SOCKETS[0].carrier()
    with local.websocket_connect(LOCAL + "/telephony/twilio") as far:
        for message in (*carrier.opening(), *carrier.stop()):
            far.send_text(str(message))
        with pytest.raises(WebSocketDisconnect):
            far.receive_text()
    until(lambda: account(local, carrier.call_id)["ended"])
