"""A call over a vendor's socket: the one shell that all telephony wires share.

    reader   message -> wire.parse -> ordered, gaps filled -> 16 kHz -> port.push_audio
    player   every 20 ms port.pull_audio -> packet -> wire.media -> outbox, a lead ahead of the far end's playback
    writer   outbox -> socket

A `ShortSocket` needs the reader only for its end and the writer only where it has to wait.
What was heard is in `transports.heard.HeardAccount`. Liveness never depends on an echo.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Any

import numpy as np
from starlette.websockets import WebSocketDisconnect

from voicebot.core.audio import EMPTY, SPEECH_RATE_HZ, Pcm, resampler, silence
from voicebot.errors import ProtocolError
from voicebot.transports.alarm import Alarm
from voicebot.transports.base import CallPort
from voicebot.transports.heard import HeardAccount, Held
from voicebot.transports.jitter import GAP_LIMIT_S, ChunkOrder
from voicebot.transports.pacer import FRAME_S, IDLE_LOOK_S
from voicebot.transports.telephony.socket_like import ShortSocket, Socket
from voicebot.transports.telephony.wire import (
    Audio,
    Connected,
    Digit,
    Ignored,
    Lost,
    Marked,
    Media,
    Message,
    Started,
    Stopped,
    Wire,
    WireEvent,
)

START_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0
OUTBOX_LIMIT = 64
"""Messages that may wait for the socket (over a second of audio); beyond, the far end reads too slowly: hang up."""
DRAIN_EVERY = 10
"""Of silence one frame in so many is left out, so that what a stall has left waiting at the far end drains; else it
would delay all that comes after, and a far end that wants silence tells nothing of it."""
LATE_S = 0.05
"""How long one waits for more of a voice that is late before its stretch is ended. Well below the lead of a wire that
pads, so that what waits for more comes in time all the same."""
TELEPHONE_RATE_HZ = 8_000
POLICY_VIOLATION = 1008
INTERNAL_ERROR = 1011
"""Close code. Source: RFC 6455 section 7.4.1."""
REASON_BYTES = 123
"""Source: RFC 6455 section 5.5: a control frame holds 125 bytes, two of them the code."""


class SocketTransport:
    """One telephone call. `open()` until it starts, then `run()` until it is over. Rates are known once it is open."""

    def __init__(self, socket: Socket, wire: Wire) -> None:
        self.kind = wire.kind
        self.transfers, self.sends_digits = wire.transfers, wire.sends_digits
        self.ignored_messages = 0
        """Messages of unknown type, for the metrics."""
        self.ended_by_us = False
        """Whether the call was over before the far side left."""
        self._socket = socket
        self._short = socket if isinstance(socket, ShortSocket) else None
        self._wire = wire
        self._now = asyncio.get_running_loop().time
        self._port: CallPort | None = None
        self._outbox: deque[tuple[Message, int]] = deque()
        self._outbox_filled = asyncio.Event()
        self._draining = False
        self._alarm = Alarm()
        self._over = asyncio.Event()
        self._fault: Exception | None = None
        self._close_code, self._close_reason = 1000, ""
        self._socket_closed = False
        self._packet: list[Pcm] = []
        self._stretch_open = False
        self._sounded_s = 0.0
        """When the last frame of sound was pulled."""
        self._idle_frames = 0
        self._held = Held(EMPTY)
        self._take_rates()

    def _take_rates(self) -> None:
        wire = self._wire
        self.playout_rate_hz = wire.playout_rate_hz
        self.narrowband = wire.rate_hz <= TELEPHONE_RATE_HZ
        self._order = ChunkOrder(wire.rate_hz)
        self._to_speech = resampler(wire.rate_hz, SPEECH_RATE_HZ)
        self._account = HeardAccount(wire.playout_rate_hz, wire.lead_s)

    async def open(self) -> Started | None:
        """Read until the stream starts, at most 10 s; None when the far side only tried the line and left in order.

        Raises: ProtocolError when something else comes, nothing comes, or the far side breaks off.
        """
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while True:
                    event = await self._receive()
                    await self._drain()
                    if isinstance(event, Started):
                        self._take_rates()
                        return event
                    if isinstance(event, Stopped):
                        return None
                    if not isinstance(event, Connected | Ignored):
                        raise ProtocolError(f"{type(event).__name__} came before the start message")
        except TimeoutError:
            raise ProtocolError(f"no start message within {START_TIMEOUT_S:g} s", POLICY_VIOLATION) from None
        except WebSocketDisconnect:
            self._socket_closed = True
            raise ProtocolError("the far side closed the socket", 1000) from None

    async def run(self, port: CallPort) -> None:
        """Carry the call until either side ends it; the socket is closed when this returns.

        Cancellation: the socket is still closed, within 2 s.
        """
        self._port = port
        if self._short is not None:
            self._short.hand_over(self._arrived)
        loops = {
            "read": self._read(port),
            "play": self._play(port),
            "write": self._write(),
        }
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(loop, name=f"{name} {port.call_id}") for name, loop in loops.items()]
                await self._over.wait()
                for task in tasks:
                    task.cancel()
            if self._fault is not None:
                raise self._fault
        finally:
            if self._short is not None:
                self._short.hand_over(None)
            port.hang_up("the socket has closed")
            await self.shut()

    async def shut(self) -> None:
        """Send what is queued and the vendor's goodbye, and close the socket, together within 2 s. Idempotent."""
        if self._socket_closed:
            return
        self._socket_closed = True
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                self._flush_packet()
                if self.ended_by_us:
                    self._outbox.extend((message, 0) for message in self._wire.goodbye(self._close_reason))
                await self._drain()
                if self.ended_by_us and self._wire.waits_for_stop:
                    await self._await_stop()
                await self._socket.close(self._close_code, _fit(self._close_reason))
        except (TimeoutError, WebSocketDisconnect):
            pass  # It will not take our goodbye; the server drops the connection.

    async def _await_stop(self) -> None:
        """Until the far side has said its goodbye too, and ours to that is out."""
        try:
            while not isinstance(await self._receive(), Stopped):
                pass
        except ProtocolError:
            return
        await self._drain()

    def unplayed_samples(self) -> int:
        return max(self._account.unplayed(self._now()), self._unsent_samples())

    def clear(self) -> int:
        """Silence the far end. The message is queued before this returns, ahead of any later audio.

        A far end that can pause keeps its audio until the next frame tells whether to go on; one that cannot drop
        what it has plays it, and only what has not left us counts as dropped.
        """
        now, unsent = self._now(), self._unsent_samples()
        dropped = self.unplayed_samples() if self._wire.clears else unsent
        if self._account.anything_sent:
            self._outbox.clear()
            self._packet.clear()
            self._silence_far_end(dropped, unsent)
        if self._wire.clears:
            self._account.clear(now)
        return dropped

    def sound_ready(self) -> None:
        """A line that is filled with silence goes on at its own pace: what is sent early would stay there as delay."""
        if not self._wire.sends_silence:
            self._account.pacer.wanted()
            self._alarm.ring()

    def _silence_far_end(self, dropped: int, unsent: int) -> None:
        if self._wire.pauses and not self._held and dropped > unsent:
            tail = self._account.last_sent(dropped)
            self._held = Held(tail[: len(tail) - unsent])
            self._enqueue(self._wire.pause())
            return
        self._held = Held(EMPTY)
        self._stretch_open = False
        self._enqueue(self._wire.clear())

    def send_digits(self, digits: str) -> bool:
        """Play DTMF keys to the caller's line; False where the vendor has no such thing."""
        messages = self._wire.digits(digits)
        self._enqueue(messages)
        return bool(messages)

    def transfer(self, target: str) -> bool:
        """Hand the caller over within the stream; False where the vendor has no such thing."""
        messages = self._wire.transfer(target)
        self._enqueue(messages)
        return bool(messages)

    def send_event(self, event: dict[str, Any]) -> None:
        """A telephone has no screen."""

    def close(self, reason: str) -> None:
        self.refuse(reason, 1000)

    def refuse(self, reason: str, code: int) -> None:
        """End the call with a WebSocket close code that says why."""
        self.ended_by_us |= not self._over.is_set()
        self._end(reason, code)

    def _end(self, reason: str, code: int) -> None:
        if not self._over.is_set():
            self._close_code, self._close_reason = code, reason
            self._over.set()

    async def _receive(self) -> WireEvent:
        """The next event. Raises: ProtocolError, also when the far side has left."""
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            self._socket_closed = True
            raise ProtocolError("the far side closed the socket", 1000)
        text = message.get("text")
        return self._parse(message["bytes"] if text is None else text)

    def _parse(self, message: Message) -> WireEvent:
        event = self._wire.parse(message)
        self._enqueue(self._wire.answers())
        return event

    async def _read(self, port: CallPort) -> None:
        """Of a short socket only the end comes here."""
        try:
            while not self._over.is_set():
                self._take(await self._receive(), port)
        except ProtocolError as error:
            self._part(str(error), error.close_code)

    def _arrived(self, message: Message) -> None:
        assert self._port is not None
        if self._over.is_set():
            return
        try:
            self._take(self._parse(message), self._port)
        except ProtocolError as error:
            self._part(str(error), error.close_code)
        except Exception as error:  # noqa: BLE001 - it ends the call, in `run`, and not the loop's reading of the socket
            self._fault = error
            self._end("internal error", INTERNAL_ERROR)

    def _part(self, reason: str, code: int) -> None:
        """The far side has ended the call, or broken the protocol."""
        if self._port is not None:
            self._port.hang_up(reason)
        self._end(reason, code)

    def _take(self, event: WireEvent, port: CallPort) -> None:
        if isinstance(event, Media):
            for pcm in self._order.push(event.chunk, event.timestamp_ms, event.pcm):
                port.push_audio(self._to_speech.push(pcm))
        elif isinstance(event, Audio):
            port.push_audio(self._to_speech.push(event.pcm))
        elif isinstance(event, Lost):
            missing = round(min(event.ms / 1000, GAP_LIMIT_S) * self._wire.rate_hz)
            port.push_audio(self._to_speech.push(silence(missing)))
        elif isinstance(event, Marked):
            self._account.confirm(event.name, self._now())
        elif isinstance(event, Digit):
            port.push_digit(event.digit)
        elif isinstance(event, Stopped):
            self._part("the caller hung up", 1000)
        elif isinstance(event, Started):
            raise ProtocolError("a second start message on one socket")
        else:
            self.ignored_messages += 1

    async def _play(self, port: CallPort) -> None:
        pacer = self._account.pacer
        while not self._over.is_set():
            while pacer.due(now := self._now()):
                self._send_frame(port, now)
            await self._alarm.sleep_until(pacer.next_at)

    def _send_frame(self, port: CallPort, now: float) -> None:
        samples = round(self.playout_rate_hz * FRAME_S)
        pcm = port.pull_audio(samples)
        if pcm is None:
            self._account.pacer.idle(now, FRAME_S if self._wire.sends_silence else IDLE_LOOK_S)
            if not port.audio_to_come or now - self._sounded_s > LATE_S:
                self._end_stretch()
            elif not self._wire.pads:
                self._flush_packet()
            self._idle_frames += 1
            if self._wire.sends_silence and self._idle_frames % DRAIN_EVERY:
                self._enqueue((self._wire.media(silence(samples)),))
            return
        self._sounded_s = now
        fresh = self._go_on_or_flush(pcm) if self._held else pcm
        self._account.sent(pcm, now)
        if not len(fresh):
            return
        if not self._stretch_open:
            self._stretch_open = True
            self._enqueue(self._wire.begin())
        self._packet.append(fresh)
        if sum(map(len, self._packet)) >= self._wire.packet_s * self.playout_rate_hz:
            self._flush_packet()

    def _go_on_or_flush(self, pcm: Pcm) -> Pcm:
        """What of `pcm` the paused far end does not have yet."""
        paused = not self._held.resumed
        rest = self._held.take(pcm)
        if rest is None:
            self._stretch_open = False
            self._enqueue(self._wire.clear())
            return pcm
        if paused:
            self._enqueue(self._wire.resume())
        return rest

    def _flush_packet(self) -> None:
        """What lies ready becomes one message, however short."""
        if self._packet:
            pcm = np.concatenate(self._packet)
            self._packet.clear()
            self._enqueue((self._wire.media(pcm),), len(pcm))

    def _end_stretch(self) -> None:
        """Ask to be told when all sent so far has been played."""
        if self._stretch_open and not self._held:
            self._stretch_open = False
            self._flush_packet()
            self._enqueue(self._wire.end(self._account.mark()))

    def _unsent_samples(self) -> int:
        return sum(samples for _, samples in self._outbox) + sum(map(len, self._packet))

    def _enqueue(self, messages: Iterable[Message], samples: int = 0) -> None:
        for message in messages:
            if len(self._outbox) >= OUTBOX_LIMIT:
                self._outbox.clear()
                self._part("the far end reads too slowly", POLICY_VIOLATION)
                return
            waits = self._outbox or self._draining
            if self._short is not None and not waits and self._short.send_now(message):
                continue
            self._outbox.append((message, samples))
            self._outbox_filled.set()

    async def _write(self) -> None:
        try:
            while True:
                await self._outbox_filled.wait()
                await self._drain()
        except WebSocketDisconnect:
            self._socket_closed = True
            self._end("the far side closed the socket", 1000)

    async def _drain(self) -> None:
        self._outbox_filled.clear()
        self._draining = True
        try:
            while self._outbox:
                message, _ = self._outbox.popleft()
                if isinstance(message, str):
                    await self._socket.send_text(message)
                else:
                    await self._socket.send_bytes(message)
        finally:
            self._draining = False


def _fit(reason: str) -> str:
    return reason.encode()[:REASON_BYTES].decode(errors="ignore")
