"""An in-memory caller: for tests, simulations and benches, on real or virtual time.

It speaks what it is told to, 20 ms at a time, pulls the bot's audio on the same clock (where there was none, as soon as
there is some), and keeps what was heard and when. `delay_ms` stands for the network and the far end's buffer: pulled
audio is heard that much later, and `clear` drops what has not been heard by then.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from voicebot.core.audio import EMPTY, SPEECH_RATE_HZ, silence
from voicebot.transports.base import CallPort, Pcm

FRAME_S = 0.02
RECORD_FRAMES = 90_000
"""Heard frames and events kept (30 minutes of frames); the oldest beyond are forgotten."""
AUDIBLE_LEVEL = 100
"""Absolute sample value from which sound counts as audible, -50 dBFS: above dither and a resampler's ripple."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A piece of the bot's audio: heard from `at_s` (the loop's clock) on. `pcm`: int16[n] at the playout rate."""

    at_s: float
    pcm: Pcm


class LoopbackTransport:
    """One caller. Drive it with `run()`, or with `tick(now)` every 20 ms and no event loop at all."""

    kind = "loopback"
    narrowband = False

    def __init__(self, playout_rate_hz: int = SPEECH_RATE_HZ, delay_ms: float = 0.0) -> None:
        self.playout_rate_hz = playout_rate_hz
        self.heard: deque[Heard] = deque(maxlen=RECORD_FRAMES)
        self.events: deque[dict[str, Any]] = deque(maxlen=RECORD_FRAMES)
        self.clears: list[tuple[float, int]] = []
        """When, and how many samples were dropped: (seconds, samples)."""
        self.closed_reason: str | None = None
        self.speech_stop_s: float | None = None
        """When the last queued speech sample had been said; None while there is some left or there was none."""
        self._delay_s = delay_ms / 1000
        self._port: CallPort | None = None
        self._to_say = EMPTY
        self._in_flight: deque[Heard] = deque()
        self._now = 0.0
        self._hung_up = False
        self._next_s: float | None = None
        """When the next tick is due, while `run` drives it."""
        self._quiet = True
        """There was nothing to pull last time."""

    def attach(self, port: CallPort) -> None:
        """Give it its call; before the first tick."""
        self._port = port

    def say(self, pcm: Pcm) -> None:
        """Queue speech: int16[n], 16 kHz, after what is still queued."""
        self._to_say = np.concatenate((self._to_say, pcm))
        self.speech_stop_s = None

    def hang_up(self, reason: str = "caller hung up") -> None:
        """The caller puts the phone down."""
        if not self._hung_up and self._port is not None:
            self._port.hang_up(reason)
        self._hung_up = True

    @property
    def over(self) -> bool:
        """Whether either side has ended the call."""
        return self._hung_up or self.closed_reason is not None

    def tick(self, now: float) -> None:
        """The next 20 ms of both directions, at `now` seconds of the clock."""
        assert self._port is not None, "attach a call first"
        self._now = now
        self._settle()
        self._speak()
        self._pull(now, FRAME_S)
        self._settle()

    async def run(self) -> None:
        """Tick every 20 ms of the running loop's clock, without drift, until either side ends the call."""
        loop = asyncio.get_running_loop()
        start, ticks = loop.time(), 0
        while not self.over:
            ticks += 1
            self._next_s = start + ticks * FRAME_S
            self.tick(loop.time())
            await asyncio.sleep(max(0.0, self._next_s - loop.time()))

    def first_audible_s(self, since_s: float = 0.0) -> float | None:
        """When the first audible sample at or after `since_s` was heard; None if there was none."""
        for piece in self.heard:
            loud = np.flatnonzero(np.abs(piece.pcm.astype(np.int32)) >= AUDIBLE_LEVEL)
            for at in piece.at_s + loud / self.playout_rate_hz:
                if at >= since_s:
                    return float(at)
        return None

    def heard_pcm(self) -> Pcm:
        """All that was heard, without the silences between: int16[n] at the playout rate."""
        return np.concatenate([piece.pcm for piece in self.heard]) if self.heard else EMPTY

    def unplayed_samples(self) -> int:
        self._settle()
        return sum(len(piece.pcm) for piece in self._in_flight)

    def sound_ready(self) -> None:
        """Driven by `run` it does not wait for the next tick."""
        if self._quiet and self._next_s is not None:
            asyncio.get_running_loop().call_soon(self._pull_until_tick)

    def clear(self) -> int:
        dropped = self.unplayed_samples()
        self._in_flight.clear()
        self.clears.append((self._clock(), dropped))
        return dropped

    def send_event(self, event: dict[str, Any]) -> None:
        self.events.append(event)

    def close(self, reason: str) -> None:
        if self.closed_reason is None:
            self.closed_reason = reason

    def _speak(self) -> None:
        assert self._port is not None
        samples = round(SPEECH_RATE_HZ * FRAME_S)
        frame, self._to_say = self._to_say[:samples], self._to_say[samples:]
        if len(frame) and not len(self._to_say):
            self.speech_stop_s = self._now + len(frame) / SPEECH_RATE_HZ
        self._port.push_audio(np.concatenate((frame, silence(samples - len(frame)))))

    def _pull_until_tick(self) -> None:
        assert self._next_s is not None
        now = self._clock()
        if self._quiet and not self.over:
            self._pull(now, self._next_s - now)

    def _pull(self, now: float, seconds: float) -> None:
        assert self._port is not None
        samples = round(self.playout_rate_hz * seconds)
        pulled = self._port.pull_audio(samples) if samples > 0 else None
        self._quiet = pulled is None
        if pulled is not None:
            self._in_flight.append(Heard(now + self._delay_s, pulled))

    def _settle(self) -> None:
        """Move what has reached the caller's ear by now from flight to `heard`."""
        now = self._clock()
        while self._in_flight and self._in_flight[0].at_s <= now:
            self.heard.append(self._in_flight.popleft())

    def _clock(self) -> float:
        """The running loop's time, or the last tick's where there is no loop."""
        try:
            return max(self._now, asyncio.get_running_loop().time())
        except RuntimeError:
            return self._now
