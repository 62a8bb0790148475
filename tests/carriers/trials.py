"""What is tried on each vendor over real sockets: a talk, keys, an interruption, garbage, a hang-up, bad signatures."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from tests.carriers.fuzz import Mutator
from tests.carriers.vendors import Vendor
from voicebot.cli.caller import CallFailed, fetch_call
from voicebot.cli.caller_carrier import CarrierCaller, carrier_call
from voicebot.config_telephony import TelephonyConfig
from voicebot.core.audio import Pcm, silence
from voicebot.core.playout import ReplyPlayout
from voicebot.core.text import ClauseSplitter
from voicebot.telephony.access import Access

MS_PER_CHAR = 60
REPLY = "Well, that is a good question, and " + "it goes on like this for quite a while, you see, " * 4 + "to the end."
PAST_REOPENING_S = 2.5
"""How much of an answer is heard before the caller interrupts: words are then a new turn."""
OVER_S = 12.0
SECRETS = {
    "TELEPHONY_SECRET": "a secret of thirty-two characters",
    "TWILIO_AUTH_TOKEN": "twilio-t0ken",
    "TELNYX_API_KEY": "telnyx-key",
    "PLIVO_AUTH_TOKEN": "plivo-t0ken",
    "AUDIOHOOK_API_KEY": "audiohook-key",
    "AUDIOHOOK_CLIENT_SECRET": "c2VjcmV0IG9mIGF1ZGlvaG9vaw==",
}
BY_SIGNATURE = ("twilio", "audiohook")
"""Vendors that sign their media sockets."""
BY_REST = {"twilio": "POST /2010-04-01/", "telnyx": "POST /v2/calls/", "plivo": "DELETE /v1/Account/"}
"""Vendors whose calls are ended over HTTP, and how."""
IN_STREAM = ("jambonz", "audio_fork", "audiohook", "asterisk", "asterisk plain", "audiosocket")
"""Vendors that are told in the stream; for the rest closing the socket is the end."""


@dataclass
class Row:
    """One vendor's results; "" is not tried."""

    vendor: str
    talk_ms: float | None = None
    digits: bool | None = None
    clear_ms: float | None = None
    word_error: int | None = None
    hang_up: str = ""
    refused: str = ""
    survived: str = ""
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Site:
    """Two servers: an open one on this machine, and a closed one that ends calls after a while."""

    open_url: str
    open_audiosocket: int
    closed_url: str
    closed_audiosocket: int
    vendor_api: VendorApi


class VendorApi:
    """A stand-in for the vendors' HTTP interfaces that keeps what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        """Those that were JSON."""
        self.url = ""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield
        finally:
            server.close()

    async def was_asked(self, begins: str, holds: str, within_s: float = 5.0) -> bool:
        """Whether there is or comes a request whose first line is such."""
        deadline = _now() + within_s
        while not any(line.startswith(begins) and holds in line for line in self.asked):
            if _now() > deadline:
                return False
            await asyncio.sleep(0.02)
        return True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head.splitlines()[0])
        length = re.search(r"content-length: (\d+)", head.lower())
        with contextlib.suppress(ValueError):
            self.bodies.append(json.loads(await reader.readexactly(int(length[1]) if length else 0)))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        await writer.drain()
        writer.close()


async def try_vendor(vendor: Vendor, site: Site) -> Row:
    """Everything, one after the other; what goes wrong is a fault of the row."""
    row = Row(vendor.name)
    for trial in (_garbage, _talk_and_interrupt, _press, _hang_up, _bad_signature):
        try:
            async with asyncio.timeout(60):
                await trial(vendor, site, row)
        except (CallFailed, AssertionError, TimeoutError) as error:
            row.faults.append(f"{trial.__name__.strip('_')}: {error or type(error).__name__}")
    return row


def loud(seconds: float) -> Pcm:
    at = np.arange(round(16_000 * seconds))
    pcm: Pcm = (8_000 * np.sin(at * 2 * np.pi * 330 / 16_000)).astype(np.int16)
    return pcm


async def _talk_and_interrupt(vendor: Vendor, site: Site, row: Row) -> None:
    async with _call(vendor, _open_url(vendor, site)) as caller:
        said = await caller.say(loud(0.6))
        await caller.until(lambda: caller.heard.first_audible_s(said.stop_s) is not None, OVER_S, "no answer was heard")
        began = caller.heard.first_audible_s(said.stop_s)
        assert began is not None
        row.talk_ms = round((began - said.stop_s) * 1000)
        heard = PAST_REOPENING_S * caller.heard.rate_hz
        await caller.until(lambda: caller.heard.played(_now()) > heard, OVER_S, "the answer did not go on")
        over = await caller.say(np.concatenate((loud(1.0), silence(160))))
        last = caller.heard.last_audible_s()
        assert last is not None
        row.clear_ms = round((last - over.start_s) * 1000)
        true = _words(caller)
        claimed = await _interrupted_reply(caller, site)
        row.word_error = claimed - true


def _words(caller: CarrierCaller) -> int:
    """How many words of REPLY the carrier has played by now."""
    splitter = ClauseSplitter()
    clauses = splitter.push(REPLY) + splitter.flush()
    rate_hz = caller.heard.rate_hz
    true = ReplyPlayout(rate_hz)
    for number, text in enumerate(clauses):
        true.write(number, text)
        true.queue(number, round(len(text) * MS_PER_CHAR * rate_hz / 1000), done=True)
    true.hear(caller.heard.played(_now()))
    return len(true.heard_text().split())


async def _interrupted_reply(caller: CarrierCaller, site: Site) -> int:
    """How many words the server believes were heard of its first reply."""
    async with asyncio.timeout(OVER_S):
        while True:
            turns = (await fetch_call(site.open_url, caller.call_id))["turns"]
            if turns and turns[0]["ended"]:
                assert turns[0]["interrupted"], "the server does not know that it was interrupted"
                return len(turns[0]["reply"].split())
            await asyncio.sleep(0.05)


async def _press(vendor: Vendor, site: Site, row: Row) -> None:
    async with _call(vendor, _open_url(vendor, site)) as caller:
        if not caller.carrier.presses:
            return
        await asyncio.sleep(0.1)
        for key in "12#":
            await caller.press(key)
        said = _now()
        await caller.until(lambda: caller.heard.first_audible_s(said) is not None, OVER_S, "no answer to the keys")
        turns = (await fetch_call(site.open_url, caller.call_id))["turns"]
        row.digits = turns[0]["heard"] == "I pressed 1 2."


async def _garbage(vendor: Vendor, site: Site, row: Row) -> None:
    for seed in range(3):
        async with _call(vendor, _open_url(vendor, site)) as caller:
            mutator = Mutator(vendor, seed, caller.carrier)
            for _ in range(40):
                if caller.gone:
                    break
                await caller.send(mutator.next())
                await asyncio.sleep(0.005)
    row.survived = "yes"


async def _hang_up(vendor: Vendor, site: Site, row: Row) -> None:
    name = vendor.name.removesuffix(" plain")
    access = Access(TelephonyConfig(), SECRETS)
    async with _call(vendor, _closed_url(name, site, access)) as caller:
        assert await _gone(caller, OVER_S), "the server did not end the call"
        if name in BY_REST:
            assert await site.vendor_api.was_asked(BY_REST[name], caller.call_id), "the HTTP interface was not asked"
            row.hang_up = "HTTP"
        elif vendor.name in IN_STREAM:
            assert caller.carrier.hung_up, "the stream was not told"
            row.hang_up = "in the stream"
        else:
            row.hang_up = "socket closed"


async def _bad_signature(vendor: Vendor, site: Site, row: Row) -> None:
    """A wrong signature, a changed token and none at all: each must be refused."""
    name = vendor.name.removesuffix(" plain")
    access = Access(TelephonyConfig(), {"TELEPHONY_SECRET": "not the server's secret at all"})
    tries = [_closed_url(name, site, access)]
    if name != "audiosocket":
        tries.append(f"{_scheme(name)}+ws://{urlsplit(site.closed_url).netloc}/telephony/{name}")
    for url in tries:
        try:
            async with _call(vendor, url, dict.fromkeys(SECRETS, "d3Jvbmc=")) as caller:
                assert await _gone(caller, 5.0), f"it was let in at {url}"
                assert not caller.heard.played(_now()), "it was answered"
                row.refused = "closed"
        except CallFailed as error:
            assert "HTTP 403" in str(error), str(error)
            row.refused = "403"


async def _gone(caller: CarrierCaller, within_s: float) -> bool:
    """Whether the server ends the call within that."""
    deadline = _now() + within_s
    while not caller.gone and _now() < deadline:
        await asyncio.sleep(0.02)
    return bool(caller.gone)


def _scheme(name: str) -> str:
    return name.replace("_", "-")


def _open_url(vendor: Vendor, site: Site) -> str:
    name = vendor.name.removesuffix(" plain")
    if name == "audiosocket":
        return f"audiosocket://127.0.0.1:{site.open_audiosocket}?api={site.open_url}"
    return f"{_scheme(name)}+ws://{urlsplit(site.open_url).netloc}"


def _closed_url(name: str, site: Site, access: Access) -> str:
    if name == "audiosocket":
        return f"audiosocket://127.0.0.1:{site.closed_audiosocket}/{access.mint_uuid()}?api={site.closed_url}"
    token = "" if name in BY_SIGNATURE else f"/{access.mint(name)}"
    return f"{_scheme(name)}+ws://{urlsplit(site.closed_url).netloc}/telephony/{name}{token}"


@contextlib.asynccontextmanager
async def _call(vendor: Vendor, url: str, secrets: dict[str, str] | None = None) -> AsyncIterator[CarrierCaller]:
    """`secrets`: what the carrier signs with, its own if None."""
    given = urlsplit(url)
    named = given.path.strip("/") if given.scheme == "audiosocket" else ""
    make = (lambda: vendor.carrier(name=named)) if named else vendor.carrier
    async with carrier_call(url, 10.0, make, os.environ | SECRETS | (secrets or {})) as caller:
        yield caller


def _now() -> float:
    return asyncio.get_running_loop().time()
