"""Many callers at once over Twilio's protocol, light enough that one core speaks for a hundred of them.

Each caller has a phase of its own in the 20 ms, as telephones do. What it sends is encoded before the call begins. It
says its sentence, hears the answer out, and every second time interrupts the answer.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from voicebot.core.audio import Pcm, mulaw_decode, mulaw_encode, silence
from voicebot.errors import EngineUnavailable

RATE_HZ = 8_000
FRAME_S = 0.02
STREAM_PATH = "/telephony/twilio"
ARRIVAL_S = 2.0
"""Over which the calls begin."""
FRAME_SAMPLES = 160
AUDIBLE = 164
"""Absolute sample value that a listener would notice: -46 dB full scale."""
PAUSE_S = 0.6
"""Between the end of an answer and the next sentence."""
INTERRUPT_AFTER_S = 0.6
"""Into an answer."""
ANSWER_S = 10.0
"""No answer by then is a lost turn."""
SILENCE = base64.b64encode(mulaw_encode(silence(FRAME_SAMPLES))).decode("ascii")
_QUIET_CODES = bytes(code for code in range(256) if abs(int(mulaw_decode(bytes([code]))[0])) < AUDIBLE)


@dataclass(frozen=True, slots=True)
class Sentence:
    """What callers say. `frames`: base64 mu-law of 20 ms each; `start_s`, `stop_s`: where speech is in it."""

    frames: tuple[str, ...]
    start_s: float
    stop_s: float


def sentence(pcm: Pcm, start_sample: int, stop_sample: int) -> Sentence:
    """`pcm`: int16[n] at 8 kHz, with the first and one past the last sample of speech in it."""
    encoded = mulaw_encode(pcm)
    pieces = [encoded[at : at + FRAME_SAMPLES] for at in range(0, len(encoded) - FRAME_SAMPLES + 1, FRAME_SAMPLES)]
    frames = tuple(base64.b64encode(piece).decode("ascii") for piece in pieces)
    return Sentence(frames, start_sample / RATE_HZ, stop_sample / RATE_HZ)


@dataclass(slots=True)
class Tally:
    """What all callers saw. Times in milliseconds."""

    v2v_ms: list[float] = field(default_factory=list)
    """Last sample of speech sent to the first audible sample played."""
    clear_ms: list[float] = field(default_factory=list)
    """First sample of an interruption sent to `clear` received."""
    lateness_ms: list[float] = field(default_factory=list)
    """Of each piece of an answer but its first: how long after the sound before it had been played out; 0 in time."""
    tick_late_ms: list[float] = field(default_factory=list)
    """How late each fiftieth of the callers' own messages went out: over a few ms, it is the crowd that is measured."""
    lost_turns: int = 0
    failures: list[str] = field(default_factory=list)


class CrowdCaller:
    """One call. Times are the running loop's."""

    def __init__(self, number: int, spoken: Sentence, tally: Tally) -> None:
        self._spoken = spoken
        self._tally = tally
        self._sid = f"MZ{number:032x}"
        self._chunks = count(1)
        self._to_say: list[str] = []
        self._played_until = 0.0
        self._in_answer = False
        self._marks: list[tuple[float, str]] = []
        self._answered = asyncio.Event()
        self._cleared = asyncio.Event()
        self._said = asyncio.Event()
        self._speech_began = 0.0
        self._listening_since: float | None = None
        self._gone = ""

    async def call(self, url: str, talk_s: float, phase_s: float) -> None:
        """Talk for so long. Whatever goes wrong is in the tally."""
        try:
            async with connect(url, compression=None, proxy=None, open_timeout=30, ping_interval=None) as socket:
                await self._talk(socket, talk_s, phase_s)
        except (OSError, ConnectionClosed, EngineUnavailable) as error:
            self._tally.failures.append(f"{type(error).__name__}: {error}")

    async def _talk(self, socket: ClientConnection, talk_s: float, phase_s: float) -> None:
        await self._open(socket)
        tasks = [asyncio.create_task(work) for work in (self._speak(socket, phase_s), self._listen(socket))]
        try:
            await self._converse(asyncio.get_running_loop().time() + talk_s)
            await socket.send(json.dumps({"event": "stop", "streamSid": self._sid, "stop": {"callSid": self._sid}}))
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with contextlib.suppress(asyncio.CancelledError, ConnectionClosed):
                    await task

    async def _open(self, socket: ClientConnection) -> None:
        form = {"encoding": "audio/x-mulaw", "sampleRate": RATE_HZ, "channels": 1}
        start = {"streamSid": self._sid, "callSid": f"CA{self._sid}", "accountSid": "AC0", "mediaFormat": form}
        await socket.send(json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"}))
        await socket.send(json.dumps({"event": "start", "sequenceNumber": "1", "streamSid": self._sid, "start": start}))

    async def _converse(self, until_s: float) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(PAUSE_S)
        for turn in count():
            if loop.time() >= until_s or not await self._ask():
                return
            if turn % 2 == 0:
                await asyncio.sleep(INTERRUPT_AFTER_S)
                if not await self._interrupt():
                    return
            await self._hear_out()
            await asyncio.sleep(PAUSE_S)

    async def _ask(self) -> bool:
        """Say the sentence and wait for the first sound of an answer; False once the call is over."""
        self._answered.clear()
        self._say()
        return await self._wait(self._answered)

    async def _interrupt(self) -> bool:
        self._cleared.clear()
        self._answered.clear()
        self._say()
        return await self._wait(self._cleared) and await self._wait(self._answered)

    def _say(self) -> None:
        self._said.clear()
        self._listening_since = None
        self._to_say = list(reversed(self._spoken.frames))

    async def _wait(self, event: asyncio.Event) -> bool:
        try:
            async with asyncio.timeout(ANSWER_S + len(self._spoken.frames) * FRAME_S):
                await event.wait()
        except TimeoutError:
            self._tally.lost_turns += 1
        return not self._gone

    async def _hear_out(self) -> None:
        """Until the answer's last sound has been played."""
        loop = asyncio.get_running_loop()
        while not self._gone and (left := self._played_until - loop.time()) > 0:  # noqa: ASYNC110 - it grows meanwhile
            await asyncio.sleep(left + FRAME_S)

    async def _speak(self, socket: ClientConnection, phase_s: float) -> None:
        """One message every 20 ms of an absolute clock; what was missed is sent at once, as a carrier does."""
        loop = asyncio.get_running_loop()
        due = loop.time() + phase_s
        while True:
            await asyncio.sleep(max(0.0, due - loop.time()))
            payload = SILENCE
            if self._to_say:
                self._note_speech(due)
                payload = self._to_say.pop()
            chunk = next(self._chunks)
            await socket.send(
                f'{{"event":"media","sequenceNumber":"{chunk + 1}","streamSid":"{self._sid}","media":{{"track":'
                f'"inbound","chunk":"{chunk}","timestamp":"{(chunk - 1) * 20}","payload":"{payload}"}}}}'
            )
            await self._echo_marks(socket, loop.time())
            if chunk % 50 == 0:
                self._tally.tick_late_ms.append((loop.time() - due) * 1000)
            due += FRAME_S

    def _note_speech(self, now: float) -> None:
        """A frame holds the 20 ms before it is sent."""
        said = len(self._spoken.frames) - len(self._to_say)
        if said == 0:
            self._speech_began = now - FRAME_S + self._spoken.start_s
        if said == int(self._spoken.stop_s / FRAME_S):
            self._listening_since = now - FRAME_S + self._spoken.stop_s % FRAME_S

    async def _echo_marks(self, socket: ClientConnection, now: float) -> None:
        while self._marks and self._marks[0][0] <= now:
            _, name = self._marks.pop(0)
            await socket.send(json.dumps({"event": "mark", "streamSid": self._sid, "mark": {"name": name}}))

    async def _listen(self, socket: ClientConnection) -> None:
        loop = asyncio.get_running_loop()
        try:
            async for text in socket:
                self._take(json.loads(text), loop.time())
        finally:
            self._gone = self._gone or "the server closed the socket"
            self._answered.set()
            self._cleared.set()

    def _take(self, message: dict[str, object], now: float) -> None:
        match message:
            case {"event": "media", "media": {"payload": str(payload)}}:
                self._hear(base64.b64decode(payload), now)
            case {"event": "mark", "mark": {"name": str(name)}}:
                self._in_answer = False
                self._marks.append((max(now, self._played_until), name))
            case {"event": "clear"}:
                self._in_answer = False
                self._played_until = now
                self._marks = [(now, name) for _, name in self._marks]
                if not self._cleared.is_set():
                    self._tally.clear_ms.append((now - self._speech_began) * 1000)
                    self._cleared.set()

    def _hear(self, encoded: bytes, now: float) -> None:
        starts = max(now, self._played_until)
        if self._in_answer:
            self._tally.lateness_ms.append(max(0.0, now - self._played_until) * 1000)
        self._in_answer = True
        self._played_until = starts + len(encoded) / RATE_HZ
        since = self._listening_since
        if since is not None:
            quiet = len(encoded) - len(encoded.lstrip(_QUIET_CODES))
            if quiet < len(encoded):
                self._tally.v2v_ms.append((starts + quiet / RATE_HZ - since) * 1000)
                self._listening_since = None
                self._answered.set()


async def crowd(spoken: Sentence, url: str, calls: int, talk_s: float, tally: Tally) -> None:
    """Hold so many calls at once with the server at `url` (http://...), evenly spread over the 20 ms of a frame."""
    stream = url.replace("http", "ws", 1) + STREAM_PATH

    async def one(number: int) -> None:
        await CrowdCaller(number, spoken, tally).call(stream, talk_s, FRAME_S * number / calls)

    await spread_over(calls, one)


async def spread_over(calls: int, one: Callable[[int], Coroutine[Any, Any, None]]) -> None:
    """All of them at once, begun evenly over the first two seconds."""

    async def later(number: int) -> None:
        await asyncio.sleep(ARRIVAL_S * number / calls)
        await one(number)

    async with asyncio.TaskGroup() as group:
        for number in range(calls):
            group.create_task(later(number))
