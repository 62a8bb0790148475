"""The audio of a WebRTC call: the bot's voice as Opus packets on a steady clock, the caller's frames as mono PCM.

aiortc's own Opus encoder (stereo, 96 kb/s, a thread hop for each frame) is set aside: a track may hand over packets
that are already encoded.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

import av
import numpy as np
from aiortc import RTCRtpReceiver
from aiortc.jitterbuffer import JitterBuffer
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from voicebot.core.audio import silence
from voicebot.transports.base import CallPort, Pcm

RATE_HZ = 48_000
FRAME_SAMPLES = 960
FRAME_S = 0.02
BIT_RATE = 32_000
"""Fullband speech, mono. Source: RFC 7587 section 3.1.1."""
LATE_FRAMES = 3
"""Frames that may be made up for at once after a stall; beyond, the time is skipped."""
FAR_DELAY_S = 0.08
"""From sending a frame to its being heard: a browser's jitter buffer and device. Source: NetEq's target of 60 ms."""
_JITTER_BUFFER = "_RTCRtpReceiver__jitter_buffer"


class BotTrack(MediaStreamTrack):
    """Pulls 20 ms from the call on a steady clock and hands it to aiortc as an Opus packet."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self.port: CallPort | None = None
        self._encoder: av.AudioCodecContext | None = _opus_encoder()
        self._start_s: float | None = None
        self._frame = 0
        self._sent: deque[tuple[float, int]] = deque()

    async def recv(self) -> av.Packet[av.AudioStream]:
        """The next packet, when it is due. Absolute deadlines: the clock does not drift with the loop's delays."""
        now = _now()
        if self._start_s is None:
            self._start_s = now
        late = int((now - self._start_s) / FRAME_S) - self._frame
        if late > LATE_FRAMES:
            self._frame += late
        await asyncio.sleep(max(0.0, self._start_s + self._frame * FRAME_S - now))
        if self._encoder is None:
            raise MediaStreamError
        pts = self._frame * FRAME_SAMPLES
        (packet,) = self._encoder.encode(_frame(self._pull(), pts))
        packet.pts, packet.time_base = pts, Fraction(1, RATE_HZ)
        self._frame += 1
        return packet

    def stop(self) -> None:
        """End the track and free its encoder now, not when the garbage collector finds the connection."""
        super().stop()
        self._encoder = None

    def unplayed_samples(self, now: float) -> int:
        """Samples pulled less than the far end's delay ago."""
        while self._sent and self._sent[0][0] + FAR_DELAY_S <= now:
            self._sent.popleft()
        return sum(samples for _, samples in self._sent)

    def _pull(self) -> Pcm:
        pcm = self.port.pull_audio(FRAME_SAMPLES) if self.port is not None else None
        now = _now()
        self.unplayed_samples(now)
        if pcm is None:
            return silence(FRAME_SAMPLES)
        self._sent.append((now, len(pcm)))
        return pcm


def _opus_encoder() -> av.AudioCodecContext:
    """Mono speech at complexity 5. Measured: about 0.3 ms of one core for a 20 ms frame."""
    encoder = av.AudioCodecContext.create("libopus", "w")
    encoder.bit_rate, encoder.sample_rate = BIT_RATE, RATE_HZ
    encoder.format, encoder.layout = "s16", "mono"
    encoder.options = {"application": "voip", "frame_duration": "20", "compression_level": "5"}
    with _one_cpu():
        encoder.encode(_frame(silence(FRAME_SAMPLES), pts=-FRAME_SAMPLES))
    return encoder


@contextmanager
def _one_cpu() -> Iterator[None]:
    """For its first frame an encoder makes a filter graph with a thread for each CPU that it sees, all of them idle.

    Showing it one CPU is the only way to have none. Where the system has no such call the threads are put up with.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    every = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(every)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, every)


def _frame(pcm: Pcm, pts: int) -> av.AudioFrame:
    frame = av.AudioFrame(format="s16", layout="mono", samples=len(pcm))
    frame.sample_rate, frame.time_base, frame.pts = RATE_HZ, Fraction(1, RATE_HZ), pts
    frame.planes[0].update(pcm.tobytes())
    return frame


def mono(frame: av.AudioFrame) -> Pcm:
    """int16[n] from a packed 16 bit frame of one or two channels."""
    samples = np.asarray(frame.to_ndarray(), dtype=np.int16).reshape(-1, len(frame.layout.channels))
    mixed: Pcm = samples.mean(axis=1).astype(np.int16) if samples.shape[1] > 1 else samples[:, 0]
    return mixed


def shorten_jitter_buffer(receiver: RTCRtpReceiver) -> None:
    """Hold back one packet instead of four, and three after a loss instead of fifteen.

    We recognise speech and do not play it, so packets need order but not an even pace.
    """
    assert isinstance(getattr(receiver, _JITTER_BUFFER), JitterBuffer), "aiortc keeps its jitter buffer elsewhere now"
    setattr(receiver, _JITTER_BUFFER, JitterBuffer(capacity=4, prefetch=1))


def _now() -> float:
    return asyncio.get_running_loop().time()
