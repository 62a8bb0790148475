"""Genesys Cloud AudioHook, protocol version 2: JSON messages, binary audio, request signatures. Pure.

Source: Genesys' "AudioHook protocol reference" and the signatures of its reference implementation (an early draft of
RFC 9421). Messages are numbered per direction; ours also name the last one of theirs. What we send is played in
order; there is no acknowledgement, so what was heard is known by the clock alone; an interruption is an `event`
with a `barge_in` entity. `disconnect` from us is answered by their `close`. An `open` for the nil conversation only
tries the line. Unverified on a live system: the `dtmf` message's `digit` and that our audio may be PCMU or L16 as
agreed in `opened`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Any

from voicebot.core.audio import Pcm
from voicebot.errors import ProtocolError
from voicebot.transports.telephony.codecs import LINEAR, MULAW, Codec
from voicebot.transports.telephony.reading import (
    INVALID_PAYLOAD,
    UNSUPPORTED,
    bounded,
    compact,
    flat,
    optional_text,
    read_digit,
    read_id,
    read_inner,
    read_number,
    read_object,
    read_text,
    shown,
)
from voicebot.transports.telephony.wire import (
    Audio,
    Connected,
    Digit,
    Ignored,
    Lost,
    Message,
    Started,
    Stopped,
    Wire,
    WireEvent,
)

NIL = "00000000-0000-0000-0000-000000000000"
FORMATS: Mapping[str, Codec] = {"PCMU": MULAW, "L16": LINEAR}
RATE_HZ = 8_000
DURATION = re.compile(r"PT(\d{1,9})(?:\.(\d{1,9}))?S", re.ASCII)


class AudioHookWire(Wire):
    """One session. Its packets are coarse: the far side limits how many messages it takes."""

    kind = "audiohook"
    packet_s = 0.2
    lead_s = 0.3
    waits_for_stop = True
    transfers = True

    def __init__(self) -> None:
        self._id = ""
        self._seq = self._client_seq = 0
        self._codec, self._channels, self._external = MULAW, 1, 0
        self._answers: list[Message] = []

    def parse(self, message: Message) -> WireEvent:
        if isinstance(message, bytes):
            bounded(message)
            return self._audio(message)
        read = read_object(message)
        if read.get("version") != "2":
            raise ProtocolError(f"AudioHook version {shown(read.get('version'))}; only '2' is supported", UNSUPPORTED)
        self._client_seq = read_number(read, "seq")
        name, session = read_text(read, "type"), read_id(read, "id")
        if self._id and session != self._id:
            raise ProtocolError(f"a message of session {shown(session)} in that of {self._id!r}")
        self._id = session
        return self._event(name, read_inner(read, "parameters"))

    def answers(self) -> Sequence[Message]:
        answers, self._answers = self._answers, []
        return answers

    def media(self, pcm: Pcm) -> bytes:
        return self._codec.encode(pcm)

    def clear(self) -> tuple[str]:
        return (self._message("event", {"entities": [{"type": "barge_in", "data": {}}]}),)

    def transfer(self, target: str) -> tuple[str]:
        """The flow that the call came from goes on, and reads `transfer` from the output variables."""
        return (self._message("disconnect", {"reason": "completed", "outputVariables": {"transfer": target}}),)

    def goodbye(self, reason: str) -> tuple[str]:
        return (self._message("disconnect", {"reason": "completed", "info": reason[:200]}),)

    def _event(self, name: str, parameters: Mapping[str, Any]) -> WireEvent:
        if name == "open":
            return self._opened(parameters)
        if name == "ping":
            return self._answered("pong", Ignored("ping"))
        if name == "close":
            return self._answered("closed", Stopped())
        if name == "update":
            return self._answered("updated", Ignored("update"))
        if name in ("discarded", "resumed"):
            return Lost(_milliseconds(read_text(parameters, "discarded")))
        return Digit(read_digit(parameters)) if name == "dtmf" else Ignored(name[:40])

    def _answered(self, name: str, event: WireEvent) -> WireEvent:
        self._answers.append(self._message(name, {}))
        return event

    def _opened(self, parameters: Mapping[str, Any]) -> WireEvent:
        chosen = self._chosen(parameters.get("media"))
        conversation = read_id(parameters, "conversationId")
        self._answers.append(self._message("opened", {"startPaused": False, "media": [chosen]}))
        if conversation == NIL:
            return Connected()
        participant = read_inner(parameters, "participant")
        config, inputs = parameters.get("customConfig"), parameters.get("inputVariables")
        given = [part for part in (config, inputs) if isinstance(part, dict)]
        return Started(
            stream_sid=self._id,
            call_sid=conversation,
            account_sid=optional_text(parameters, "organizationId"),
            parameters=flat({key: value for part in given for key, value in part.items()}),
            caller=optional_text(participant, "ani"),
            called=optional_text(participant, "dnis"),
        )

    def _chosen(self, offered: Any) -> Mapping[str, Any]:
        """Of the media offered the one with the fewest channels that holds the caller's."""
        fit = [one for one in offered if _fits(one)] if isinstance(offered, list) else []
        if not fit:
            raise ProtocolError(f"media {shown(offered)}; none is PCMU or L16 at 8000 Hz with 'external'", UNSUPPORTED)
        chosen: Mapping[str, Any] = min(fit, key=lambda one: len(one["channels"]))
        self._codec = FORMATS[chosen["format"]]
        self._channels = len(chosen["channels"])
        self._external = chosen["channels"].index("external")
        return chosen

    def _audio(self, encoded: bytes) -> WireEvent:
        pcm = self._codec.decode(encoded)
        if len(pcm) % self._channels:
            raise ProtocolError(f"{len(pcm)} samples for {self._channels} channels", INVALID_PAYLOAD)
        return Audio(pcm[self._external :: self._channels].copy())

    def _message(self, name: str, parameters: Mapping[str, Any]) -> str:
        self._seq += 1
        base = {"version": "2", "id": self._id, "type": name, "seq": self._seq, "clientseq": self._client_seq}
        return compact({**base, "parameters": parameters})


def _fits(offered: Any) -> bool:
    channels = offered.get("channels") if isinstance(offered, dict) else None
    if not isinstance(channels, list) or "external" not in channels or len(channels) > 2:
        return False
    told = (offered.get("type"), offered.get("format"), offered.get("rate"))
    return told in {("audio", name, RATE_HZ) for name in FORMATS} if all(map(_plain, told)) else False


def _plain(value: Any) -> bool:
    return isinstance(value, str | int)


def _milliseconds(duration: str) -> int:
    """Of an ISO 8601 duration in seconds, "PT1.2S"."""
    found = DURATION.fullmatch(duration)
    if found is None:
        raise ProtocolError(f"{shown(duration)} is not a duration like 'PT1.2S'")
    return int(found[1]) * 1000 + int((found[2] or "0").ljust(3, "0")[:3])


SIGNED = ("@request-target", "@authority", "audiohook-organization-id", "audiohook-session-id",
          "audiohook-correlation-id", "x-api-key")  # fmt: skip
"""What a signature must cover."""
SIGNATURE_AGE_S = 10
HEADER_CHARS = 4_000
_INPUT = re.compile(r'\s*([a-z*][a-z0-9_.*-]*)=(\(([^)]*)\)((?:;[a-z]+=(?:"[^"]*"|\d{1,15}))*))\s*', re.ASCII)
_PARAMETER = re.compile(r';([a-z]+)=(?:"([^"]*)"|(\d{1,15}))', re.ASCII)


def signature(secret: bytes, values: Mapping[str, str], params: str) -> bytes:
    """HMAC-SHA256 over one line for each component and the line of the signature's parameters."""
    lines = [f'"{name}": {value}' for name, value in values.items()]
    signed = "\n".join([*lines, f'"@signature-params": {params}'])
    return hmac.new(secret, signed.encode(), hashlib.sha256).digest()


def key_fault(headers: Mapping[str, str], key: str) -> str:
    """Why the request does not come from who has our API key, in words; "" if it does."""
    right = hmac.compare_digest(headers.get("x-api-key", "").encode(), key.encode())
    return "" if right else "the X-API-KEY header is not ours"


def signature_fault(
    headers: Mapping[str, str], target: str, authority: str, key: str, secret: bytes, now_s: float
) -> str:
    """Why the request is not signed by `secret`, in words; "" if it is. `headers` have names in small letters."""
    if fault := key_fault(headers, key):
        return fault
    found = _INPUT.fullmatch(headers.get("signature-input", "")[:HEADER_CHARS])
    if found is None:
        return "the Signature-Input header is missing or unreadable"
    label, params, listed, tail = found.groups()
    names = [name.strip('"') for name in listed.split()]
    if missing := set(SIGNED) - set(names):
        return f"the signature does not cover {', '.join(sorted(missing))}"
    given = {name: text or number for name, text, number in _PARAMETER.findall(tail)}
    if given.get("keyid") != key or given.get("alg", "hmac-sha256") != "hmac-sha256":
        return "the signature is by another key or algorithm"
    if abs(now_s - int(given.get("created") or 0)) > SIGNATURE_AGE_S:
        return "the signature is too old"
    derived = {"@request-target": target, "@authority": authority}
    values = {name: derived.get(name, headers.get(name, "")).strip() for name in names}
    if not hmac.compare_digest(_given(headers.get("signature", ""), label), signature(secret, values, params)):
        return "the signature does not sign this request"
    return ""


def _given(header: str, label: str) -> bytes:
    """The bytes of `label=:base64:`; none where there are none."""
    found = re.fullmatch(rf"\s*{re.escape(label)}=:([A-Za-z0-9+/=]*):\s*", header[:HEADER_CHARS])
    try:
        return base64.b64decode(found[1], validate=True) if found else b""
    except binascii.Error:
        return b""
