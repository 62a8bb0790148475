"""One caller, whatever the wire: speaks at chosen times, records what it hears, and knows when an answer has ended.

The two kinds are `caller_webrtc.WebRtcCaller` and `caller_carrier.CarrierCaller`; `dial` opens what a URL names.
Times are seconds of the running event loop's clock.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np

from voicebot.cli.recording import Recording
from voicebot.core.audio import SPEECH_RATE_HZ, Pcm, resampler, silence
from voicebot.errors import ConfigError, VoicebotError

PTIME_S = 0.02
REPLY_ENDED_S = 0.7
"""Silence after which a reply counts as ended: longer than any pause between its clauses."""
GREETING_S = 1.0
"""How long a greeting may take to begin."""
_POLL_S = 0.01


class CallFailed(VoicebotError):
    """The call could not be made or did not last: refused, cut off, or nothing answered in time."""


@dataclass(frozen=True, slots=True)
class Said:
    """When the packets with the first and the last sample of an utterance were sent."""

    start_s: float
    stop_s: float


class Mouth:
    """What the caller is about to say, cut into 20 ms frames; silence when there is nothing.

    Bounded by its user: `Caller.say` waits until what it pushed has gone.
    """

    def __init__(self, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self.frame_samples = round(rate_hz * PTIME_S)
        self._pending: Pcm = silence(0)
        self._pushed = 0
        self._pulled = 0
        self._waiting: deque[tuple[int, asyncio.Future[float]]] = deque()

    def push(self, pcm: Pcm, mark: int) -> tuple[asyncio.Future[float], asyncio.Future[float]]:
        """Say `pcm` (16 kHz) next; when its first sample and its sample `mark` (1..n) will have been sent."""
        converter = resampler(SPEECH_RATE_HZ, self.rate_hz)
        own = np.concatenate((converter.push(pcm), converter.flush()))
        loop = asyncio.get_running_loop()
        first, last = loop.create_future(), loop.create_future()
        self._waiting.append((self._pushed, first))
        self._waiting.append((self._pushed + max(0, mark * self.rate_hz // SPEECH_RATE_HZ - 1), last))
        self._pending = np.concatenate((self._pending, own))
        self._pushed += len(own)
        return first, last

    @property
    def silent(self) -> bool:
        """Everything pushed has been sent."""
        return not len(self._pending)

    def pull(self, now: float) -> Pcm:
        """The next frame, int16[frame_samples], which is sent at `now`."""
        frame = self._pending[: self.frame_samples]
        self._pending = self._pending[self.frame_samples :]
        self._pulled += len(frame)
        while self._waiting and self._waiting[0][0] < self._pulled:
            done = self._waiting.popleft()[1]
            if not done.done():
                done.set_result(now)
        return np.concatenate((frame, silence(self.frame_samples - len(frame))))


class Caller(ABC):
    """An open call. Use `say`, `wait_reply` and `hang_up`; or `drop` to vanish as a killed client does."""

    transport: str
    call_id: str = ""
    """What `GET /api/calls/{id}` knows it by."""
    mouth: Mouth
    heard: Recording

    def __init__(self) -> None:
        self.gone = ""
        """Why the call has ended, in words; "" while it is up."""
        self.events: list[tuple[float, dict[str, Any]]] = []
        """Events from the data channel and when each came; none on wires without one."""

    @abstractmethod
    async def hang_up(self) -> None:
        """End the call as the protocol wants it. Idempotent."""

    @abstractmethod
    async def drop(self) -> None:
        """Vanish without a word, as a killed client does. Idempotent."""

    def reply_finished(self, after_s: float) -> bool:
        """Whether the server has said that its reply is over; True on wires that cannot say."""
        return True

    async def say(self, pcm: Pcm, speech_stop_sample: int | None = None) -> Said:
        """Speak int16[n] (16 kHz); returns when the last sample has gone. `stop_s` is when the last SPEECH sample went.

        Raises: CallFailed.
        """
        first, last = self.mouth.push(pcm, len(pcm) if speech_stop_sample is None else speech_stop_sample)
        await self.until(lambda: self.mouth.silent, len(pcm) / SPEECH_RATE_HZ + 5.0, "the audio was not sent")
        return Said(first.result(), last.result())

    async def wait_reply(self, after_s: float, timeout_s: float) -> float:
        """Wait until an answer was heard after `after_s` and has ended; when its first audible sample played.

        Raises: CallFailed when there is none within `timeout_s`, or it does not end within that.
        """
        await self.wait_begun(after_s, timeout_s)
        await self.until(
            lambda: self._reply_ended(after_s), timeout_s, f"the answer did not end within {timeout_s:g} s"
        )
        return self._first_audible_s(after_s)

    async def wait_begun(self, after_s: float, timeout_s: float) -> float:
        """Wait until an answer is heard after `after_s`; when its first audible sample played. Raises: CallFailed."""
        await self.until(lambda: self._reply_began(after_s), timeout_s, f"no answer was heard within {timeout_s:g} s")
        return self._first_audible_s(after_s)

    def _first_audible_s(self, after_s: float) -> float:
        started = self.heard.first_audible_s(after_s)
        if started is None:
            raise CallFailed("the answer was cleared before any of it was heard")
        return started

    async def wait_greeting(self, timeout_s: float) -> None:
        """Let a greeting, if there is one, come to its end. Raises: CallFailed when it does not end."""
        loop = asyncio.get_running_loop()
        since = loop.time()
        while loop.time() < since + GREETING_S and not self._reply_began(since):
            self._check_up()
            await asyncio.sleep(_POLL_S)
        if self._reply_began(since):
            await self.wait_reply(since, timeout_s)

    async def until(self, done: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Raises: CallFailed with `what` after `timeout_s`, or with the reason when the call ends first."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while not done():
            self._check_up()
            if loop.time() > deadline:
                raise CallFailed(what)
            await asyncio.sleep(_POLL_S)

    def _check_up(self) -> None:
        if self.gone:
            raise CallFailed(f"the call ended early: {self.gone}")

    def _reply_began(self, after_s: float) -> bool:
        began = self.heard.first_audible_s(after_s)
        return began is not None and began <= asyncio.get_running_loop().time()

    def _reply_ended(self, after_s: float) -> bool:
        last = self.heard.last_audible_s()
        quiet = last is None or asyncio.get_running_loop().time() - last >= REPLY_ENDED_S
        return quiet and self.reply_finished(after_s)


@asynccontextmanager
async def background(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run `work` beside the body and end it with the body. An exception in it is a programmer's error: raised here."""
    tasks = [asyncio.create_task(part) for part in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result


async def pace(send: Callable[[float], Awaitable[None]]) -> None:
    """Call (and await) `send(now)` every 20 ms of an absolute clock, until cancelled."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        await send(loop.time())
        due += PTIME_S
        await asyncio.sleep(max(0.0, due - loop.time()))


def http_root(url: str) -> str:
    """The HTTP address of the server that a call URL names. Raises: ConfigError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        from voicebot.cli.caller_carrier import api_root, carrier_named

        carrier_named(url)
        return api_root(url)
    if not parts.hostname:
        raise ConfigError(f"{url!r} is no call URL; write http://HOST:PORT or e.g. twilio+ws://HOST:PORT")
    return f"{parts.scheme}://{parts.netloc}"


@asynccontextmanager
async def dial(url: str, timeout_s: float = 10.0) -> AsyncIterator[Caller]:
    """A call over the wire that `url` names: http(s) is WebRTC, others are `caller_carrier`'s. Hangs up at the end.

    Raises: ConfigError for another URL, CallFailed when the server cannot be reached or refuses.
    """
    root = http_root(url)
    if url.startswith("http"):
        from voicebot.cli.caller_webrtc import webrtc_call

        async with webrtc_call(root, timeout_s) as caller:
            yield caller
    else:
        from voicebot.cli.caller_carrier import carrier_call

        async with carrier_call(url, timeout_s) as caller:
            yield caller


async def fetch_call(url: str, call_id: str) -> dict[str, Any]:
    """What the server recorded of a call: `GET /api/calls/{id}`. Raises: CallFailed."""
    address = f"{http_root(url)}/api/calls/{call_id}"
    try:
        async with httpx.AsyncClient(timeout=10.0) as client:
            answer = await client.get(address)
            answer.raise_for_status()
            call: dict[str, Any] = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise CallFailed(f"the server did not tell about the call: GET {address}: {error}") from None
    return call
