"""The simulated wire: when the far end really played what, and what the near end may believe about it.

A "clearing" wire (like Twilio's) holds a lead of 100 ms at the far end and can have it dropped; what is unplayed is
known from the pacer's clock. A "streaming" wire (like WebRTC) is pulled every 20 ms, cannot take back what is under
way, and assumes a delay that is not quite the true one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from random import Random
from typing import Any

import numpy as np

from tests.sim.checks import Checks
from tests.sim.engines import words_in
from voicebot.core.audio import EMPTY, silence
from voicebot.session import Session
from voicebot.transports.base import Pcm
from voicebot.transports.pacer import Pacer

FRAME_S = 0.02
UP_FRAME = 320


class SimWire:
    def __init__(self, rng: Random, clearing: bool, checks: Checks) -> None:
        self.kind = "sim-clearing" if clearing else "sim-streaming"
        self.playout_rate_hz = 8000 if clearing else 16000
        self.narrowband = clearing
        self.state = "listening"
        self.volumes: list[int] = []
        self.closed = False
        self.mute = False
        """Whether the caller has no microphone: nothing at all is sent up."""
        self.breaks = True
        """Whether the caller's packets are lost and bunched now and then."""
        self._rng = rng
        self._clearing = clearing
        self._checks = checks
        self._loop = asyncio.get_running_loop()
        self._pacer = Pacer()
        self._assumed_s = 0.0 if clearing else 0.08
        self._true_s = 0.0 if clearing else rng.uniform(0.05, 0.11)
        self._flight: deque[tuple[float, Pcm]] = deque()
        self._believed: deque[tuple[float, int]] = deque()
        self._free_at = 0.0
        self.to_say: deque[Pcm] = deque()
        self._held: list[Pcm] = []
        self._gap_until = self._burst_until = 0.0

    # ---- Transport

    def unplayed_samples(self) -> int:
        now = self._loop.time()
        if self._clearing:
            return round(self._pacer.unplayed_s(now) * self.playout_rate_hz)
        while self._believed and self._believed[0][0] <= now:
            self._believed.popleft()
        return sum(samples for _, samples in self._believed)

    def sound_ready(self) -> None:
        """It looks every 20 ms."""

    def clear(self) -> int:
        if not self._clearing:
            return 0
        dropped = self.unplayed_samples()
        self._pacer.cleared(self._loop.time())
        self._drop_unplayed()
        return dropped

    def send_event(self, event: dict[str, Any]) -> None:
        self._checks.on_sent(event)
        if event["type"] == "state":
            self.state = event["state"]
        elif event["type"] == "volume":
            self.volumes.append(event["percent"])

    def close(self, _reason: str) -> None:
        self._checks.expect(not self.closed, "the transport was closed twice")
        self.closed = True

    # ---- the far end

    def _drop_unplayed(self) -> None:
        """What was under way when the clear caught up with it; the frame that is playing is cut in the middle."""
        self._play()
        now = self._loop.time()
        if self._flight and self._flight[0][0] < now:
            at, pcm = self._flight[0]
            self._hear(pcm[: round((now - at) * self.playout_rate_hz)])
        self._flight.clear()
        self._free_at = now

    def _play(self) -> None:
        now = self._loop.time()
        while self._flight and self._flight[0][0] + len(self._flight[0][1]) / self.playout_rate_hz <= now + 1e-9:
            self._hear(self._flight.popleft()[1])

    def _hear(self, pcm: Pcm) -> None:
        if len(pcm):
            for word, samples in words_in(pcm).items():
                self._checks.played[word] += samples

    def settle(self) -> None:
        """Play what is still under way: the world has ended."""
        while self._flight:
            self._hear(self._flight.popleft()[1])

    # ---- the near end's clock

    async def run(self, session: Session) -> None:
        """20 ms of both directions, again and again, until the world ends it."""
        start, ticks = self._loop.time(), 0
        while True:
            self._play()
            self._send_up(session)
            self._pull(session)
            ticks += 1
            await asyncio.sleep(max(0.0, start + ticks * FRAME_S - self._loop.time()))

    def _pull(self, session: Session) -> None:
        now = self._loop.time()
        while self._pacer.due(now) if self._clearing else True:
            pcm = session.pull_audio(round(self.playout_rate_hz * FRAME_S))
            self._checks.on_pulled(pcm)
            if pcm is None:
                self._pacer.idle(now)
                return
            self._pacer.sent(now)
            at = max(now + self._true_s, self._free_at)
            self._free_at = at + FRAME_S
            self._flight.append((at, pcm))
            self._believed.append((now + self._assumed_s, len(pcm)))
            if not self._clearing:
                return

    # ---- the caller's voice

    def _send_up(self, session: Session) -> None:
        now = self._loop.time()
        frame = self.to_say.popleft() if self.to_say else silence(UP_FRAME)
        if self.mute or now < self._gap_until:
            return
        self._held.append(frame)
        if now < self._burst_until:
            return
        session.push_audio(self._held[0] if len(self._held) == 1 else np.concatenate(self._held))
        self._held.clear()
        luck = self._rng.random() if self.breaks else 1.0
        if luck < 0.0006:
            self._gap_until = now + self._rng.uniform(0.1, 4.0)
        elif luck < 0.004:
            self._burst_until = now + self._rng.uniform(0.04, 0.6)

    def say(self, pcm: Pcm) -> None:
        """Queue sound after what is queued, in whole frames."""
        padded = np.concatenate((pcm, silence(-len(pcm) % UP_FRAME))) if len(pcm) else EMPTY
        self.to_say.extend(padded[at : at + UP_FRAME] for at in range(0, len(padded), UP_FRAME))
