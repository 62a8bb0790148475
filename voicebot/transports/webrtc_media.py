"""The sending half of a WebRTC call: speech as Opus packets on a steady clock.

aiortc's own Opus encoder (stereo, 96 kb/s, a thread hop for each frame) is set aside: a track may hand over packets
that are already encoded.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import deque
from fractions import Fraction
from typing import Any

import av
import numpy as np
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from voicebot.core.audio import silence
from voicebot.transports.alarm import Alarm
from voicebot.transports.base import CallPort, Pcm
from voicebot.transports.opus import CLOCK_HZ, OpusEncoder

RATE_HZ = 24_000
"""No voice here is made at a higher rate, and each sample less is one less to resample, queue and encode."""
FRAME_SAMPLES = 480
FRAME_S = 0.02
BIT_RATE = 32_000
"""Speech up to 12 kHz, mono, with room for the copies against loss. Source: RFC 7587 section 3.1.1."""
LATE_FRAMES = 3
"""Frames that may be made up for at once after a stall; beyond, the time is skipped."""
STEADY_S = 0.003
"""So long after the caller's packets, by their median, a frame goes out that did not go with one of them."""
EARLY_S = 0.008
"""A frame goes out with a packet that comes so long before the frame's time, and with none that comes earlier."""
STEP_S = 0.001
"""By which the clock moves with each packet: what it is off is made up for in a fifth of a second of silence."""
FAR_DELAY_S = 0.08
"""From sending a frame to its being heard: a browser's jitter buffer and device. Source: NetEq's target of 60 ms."""
SETTLED_FRAMES = 10
"""Silent frames after which the encoder has nothing left of the speech before; from then on its last packet will do.

Measured: 85 us a frame saved, and what is decoded stays below -90 dBFS; a call is silent for half of its time.
Why not DTX: a sender that stops sending is harder on every receiver's clock than 8 kb/s are on the network.
"""
MOST_LOSS_PERCENT = 30
"""Beyond, more copies would leave too little for the words themselves."""
EDGE_SAMPLES = RATE_HZ // 200
"""5 ms: long enough that a cut is no click, too short to be heard as anything else."""
_RISE = np.linspace(0.0, 1.0, EDGE_SAMPLES, endpoint=False, dtype=np.float32)
_TIME_BASE = Fraction(1, CLOCK_HZ)


class OpusTrack(MediaStreamTrack):
    """Takes 20 ms of speech on a steady clock and hands it to aiortc as an Opus packet."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._encoder = OpusEncoder(RATE_HZ, BIT_RATE)
        self.loss_percent = 0
        """That the far side is taken to have."""
        self._start_s: float | None = None
        self._alarm = Alarm()
        self._frame = 0
        self._silent_frames = 0
        self._silence = b""

    @abstractmethod
    def next_frame(self, now: float) -> Pcm | None:
        """int16[FRAME_SAMPLES], or None for silence."""

    async def recv(self) -> av.Packet[Any]:
        """The next packet, when it is due. Absolute deadlines: the clock does not drift with the loop's delays."""
        now = _now()
        if self._start_s is None:
            self._start_s = now
        late = int((now - self._start_s) / FRAME_S) - self._frame
        if late > LATE_FRAMES:
            self._frame += late
        await self._alarm.sleep_until(self._start_s + self._frame * FRAME_S)
        if self.readyState != "live":
            raise MediaStreamError
        packet: av.Packet[Any] = av.Packet(self._encoded(self.next_frame(_now())))
        packet.pts, packet.time_base = round(self._frame * FRAME_S * CLOCK_HZ), _TIME_BASE
        self._frame += 1
        return packet

    def follow(self) -> None:
        """The caller's packet has come and is dealt with: what is said to it goes out now and not up to 20 ms later.

        The clock is moved, while nothing is said, to where frames go out just behind the caller's; by small steps, so
        that it follows their median, and not the jitter.
        """
        if self._start_s is None:
            return
        early_s = self._start_s + self._frame * FRAME_S - _now()
        if self._silent_frames:
            off_s = (early_s - STEADY_S + FRAME_S / 2) % FRAME_S - FRAME_S / 2
            self._start_s -= min(max(off_s, -STEP_S), STEP_S)
        if early_s <= EARLY_S:
            self._alarm.ring()

    def note_loss(self, percent: int) -> None:
        """The far side lost so much of late. Copies come at once and go slowly: loss comes in bursts."""
        self.loss_percent = max(min(percent, MOST_LOSS_PERCENT), self.loss_percent // 2)
        self._encoder.expect_loss(self.loss_percent)

    def _encoded(self, pcm: Pcm | None) -> bytes:
        if pcm is not None:
            self._silent_frames = 0
            return self._encoder.encode(pcm)
        self._silent_frames += 1
        if self._silent_frames <= SETTLED_FRAMES:
            self._silence = self._encoder.encode(silence(FRAME_SAMPLES))
        return self._silence


class BotTrack(OpusTrack):
    """The bot's voice, pulled from the call."""

    def __init__(self) -> None:
        super().__init__()
        self.port: CallPort | None = None
        self._sent: deque[tuple[float, int]] = deque()
        self._last: Pcm | None = None

    def unplayed_samples(self, now: float) -> int:
        """Samples pulled less than the far end's delay ago."""
        while self._sent and self._sent[0][0] + FAR_DELAY_S <= now:
            self._sent.popleft()
        return sum(samples for _, samples in self._sent)

    def next_frame(self, now: float) -> Pcm | None:
        pcm = self.port.pull_audio(FRAME_SAMPLES) if self.port is not None else None
        self.unplayed_samples(now)
        if pcm is not None:
            self._sent.append((now, len(pcm)))
        return self._without_edges(pcm)

    def _without_edges(self, pcm: Pcm | None) -> Pcm | None:
        """A voice that is stopped or goes on in the middle of a sound fades there; one that begins or ends does anyway.

        What follows a stop is the last sound mirrored: it begins where that ended, and is in nobody's account.
        """
        last, self._last = self._last, None if pcm is None else pcm[-EDGE_SAMPLES:]
        if pcm is None:
            return None if last is None else np.concatenate((_faded(last)[::-1], silence(FRAME_SAMPLES - len(last))))
        return pcm if last is not None else np.concatenate((_faded(pcm[:EDGE_SAMPLES]), pcm[EDGE_SAMPLES:]))


def _faded(pcm: Pcm) -> Pcm:
    """Faded in."""
    faded: Pcm = np.rint(pcm * _RISE[: len(pcm)]).astype(np.int16)
    return faded


def _now() -> float:
    return asyncio.get_running_loop().time()
