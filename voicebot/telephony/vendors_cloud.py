"""The telephone companies with an HTTP interface: Twilio, Telnyx, Plivo, Vonage, Exotel."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping

from starlette.responses import JSONResponse, Response

from voicebot.config_telephony import TelephonyConfig
from voicebot.telephony.vendor import Asked, Vendor, numbers, xml
from voicebot.transports.telephony import plivo, telnyx, twilio, vonage
from voicebot.transports.telephony.exotel import ExotelWire
from voicebot.transports.telephony.rest import RestRequest, dial_xml
from voicebot.transports.telephony.wire import Started, Wire


class Twilio(Vendor):
    """Signs its webhooks and its media sockets."""

    name = "twilio"
    call_fields = ("CallSid",)

    def wire(self, query: Mapping[str, str], given_id: str) -> Wire:
        return twilio.TwilioWire()

    def answer(self, stream_url: str, asked: Asked) -> Response:
        return xml(twilio.twiml(stream_url, numbers(asked)))

    def webhook_fault(self, asked: Asked, now_s: float) -> str | None:
        token = self.secret(self._config.twilio.auth_token_env)
        if not token:
            return None
        given = asked.headers.get("x-twilio-signature", "")
        if twilio.signature_matches(given, token, asked.url, asked.form):
            return ""
        return "the X-Twilio-Signature header does not sign this request; check telephony.public_url"

    upgrade_fault = webhook_fault

    def hang_up(self, started: Started) -> RestRequest | None:
        account, token = self._account(started)
        return twilio.hang_up(self._api, account, token, started.call_sid) if token else None

    def transfer(self, started: Started, target: str, document_url: str) -> RestRequest | None:
        account, token = self._account(started)
        return twilio.transfer(self._api, account, token, started.call_sid, target) if token else None

    def _account(self, started: Started) -> tuple[str, str]:
        """The account and its token, "" for both where either is not known."""
        account = self._config.twilio.account_sid or started.account_sid
        token = self.secret(self._config.twilio.auth_token_env)
        return (account, token) if account and token else ("", "")

    @property
    def _api(self) -> str:
        return self._config.twilio.api_url.rstrip("/")


class Telnyx(Vendor):
    """Signs its webhooks. Its streams are not bound to the webhook's call, because the two may be named otherwise."""

    name = "telnyx"
    password_header = "x-telnyx-streaming-auth-token"

    def wire(self, query: Mapping[str, str], given_id: str) -> Wire:
        return telnyx.TelnyxWire(self._config.telnyx.encoding)

    def answer(self, stream_url: str, asked: Asked) -> Response:
        return xml(telnyx.texml(stream_url, self._config.telnyx.encoding))

    def webhook_fault(self, asked: Asked, now_s: float) -> str | None:
        key = self.secret(self._config.telnyx.public_key_env)
        if not key:
            return None
        given = asked.headers.get("telnyx-signature-ed25519", "")
        stamp = asked.headers.get("telnyx-timestamp", "")
        if telnyx.signature_matches(given, stamp, asked.body, key, now_s):
            return ""
        return "the Telnyx-Signature-Ed25519 header does not sign this request, or is older than 5 minutes"

    def hang_up(self, started: Started) -> RestRequest | None:
        return self._action(started, "hangup")

    def transfer(self, started: Started, target: str, document_url: str) -> RestRequest | None:
        return self._action(started, "transfer", to=target)

    def send_digits(self, started: Started, digits: str) -> RestRequest | None:
        return self._action(started, "send_dtmf", digits=digits)

    def _action(self, started: Started, name: str, **body: str) -> RestRequest | None:
        key = self.secret(self._config.telnyx.api_key_env)
        api = self._config.telnyx.api_url.rstrip("/")
        return telnyx.action(api, key, started.call_sid, name, **body) if key else None


class Plivo(Vendor):
    """Signs its webhooks; for a transfer it asks us for a document."""

    name = "plivo"
    call_fields = ("CallUUID",)

    def wire(self, query: Mapping[str, str], given_id: str) -> Wire:
        return plivo.PlivoWire()

    def answer(self, stream_url: str, asked: Asked) -> Response:
        return xml(plivo.plivo_xml(stream_url, self._config.plivo.rate_hz, numbers(asked)))

    def webhook_fault(self, asked: Asked, now_s: float) -> str | None:
        token = self.secret(self._config.plivo.auth_token_env)
        if not token:
            return None
        nonce = asked.headers.get("x-plivo-signature-v3-nonce", "")
        given = asked.headers.get("x-plivo-signature-v3", "")
        if plivo.signature_matches(given, token, asked.method, asked.url, nonce, asked.form):
            return ""
        return "the X-Plivo-Signature-V3 header does not sign this request; check telephony.public_url"

    def hang_up(self, started: Started) -> RestRequest | None:
        auth_id, token = self._account(started)
        return plivo.hang_up(self._api, auth_id, token, started.call_sid) if token else None

    def transfer(self, started: Started, target: str, document_url: str) -> RestRequest | None:
        auth_id, token = self._account(started)
        return plivo.transfer(self._api, auth_id, token, started.call_sid, document_url) if token else None

    def transfer_document(self, target: str) -> str:
        return dial_xml(target, sip="User")

    def _account(self, started: Started) -> tuple[str, str]:
        auth_id = self._config.plivo.auth_id or started.account_sid
        token = self.secret(self._config.plivo.auth_token_env)
        return (auth_id, token) if auth_id and token else ("", "")

    @property
    def _api(self) -> str:
        return self._config.plivo.api_url.rstrip("/")


class Vonage(Vendor):
    """Signs its webhooks with a JWT. A call ends with its socket, since its NCCO has nothing further to do."""

    name = "vonage"
    call_fields = ("uuid",)

    def __init__(self, config: TelephonyConfig, env: Mapping[str, str]) -> None:
        super().__init__(config, env)
        self._token()  # A key that is none is an error now and not in a call.

    def wire(self, query: Mapping[str, str], given_id: str) -> Wire:
        return vonage.VonageWire(given_id)

    def answer(self, stream_url: str, asked: Asked) -> Response:
        call, caller, called = asked.get("uuid"), asked.get("from"), asked.get("to")
        return JSONResponse(vonage.ncco(stream_url, self._config.vonage.rate_hz, call, caller, called))

    def webhook_fault(self, asked: Asked, now_s: float) -> str | None:
        secret = self.secret(self._config.vonage.signature_secret_env)
        if not secret:
            return None
        return vonage.webhook_fault(asked.headers.get("authorization", ""), secret, asked.body, now_s)

    def transfer(self, started: Started, target: str, document_url: str) -> RestRequest | None:
        token = self._token()
        return vonage.transfer(self._api, token, started.call_sid, target, started.called) if token else None

    def send_digits(self, started: Started, digits: str) -> RestRequest | None:
        token = self._token()
        return vonage.send_digits(self._api, token, started.call_sid, digits) if token else None

    def _token(self) -> str:
        """ "" where the application is not known. Raises: ConfigError."""
        application, key = self._config.vonage.application_id, self.secret(self._config.vonage.private_key_env)
        if not (application and key):
            return ""
        return vonage.application_token(application, key, time.time(), secrets.token_hex(8))

    @property
    def _api(self) -> str:
        return self._config.vonage.api_url.rstrip("/")


class Exotel(Vendor):
    """Has no signature: its applet's URL has our token, or the password as basic auth. A call ends with its socket."""

    name = "exotel"

    def wire(self, query: Mapping[str, str], given_id: str) -> Wire:
        return ExotelWire()

    def answer(self, stream_url: str, asked: Asked) -> Response:
        """For the applet's dynamic URL: JSON that names the socket."""
        return JSONResponse({"url": f"{stream_url}?sample-rate={self._config.exotel.rate_hz}"})
