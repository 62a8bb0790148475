"""The receiving half of a WebRTC call: aiortc's packets through our buffer and decoder to 16 kHz speech.

aiortc would hold four packets back always and fourteen for the rest of a call that lost one, decode them to 48 kHz
stereo in a thread for each call, and put silence for what was lost. Its jitter buffer is the one place through which
every packet of a receiver goes, in the loop and in one call, so ours takes that place: `Tap` hands each packet on and
keeps none, and the thread, which never gets any, sleeps until the call ends.
The attribute is private; `tap` says so in words if it is ever gone, and a test runs against the real thing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import numpy as np
from aiortc import RTCRtpReceiver
from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.rtp import RtpPacket

from voicebot.core.audio import SPEECH_RATE_HZ, Pcm
from voicebot.errors import ProtocolError
from voicebot.transports.opus import OpusDecoder, packet_samples
from voicebot.transports.packet_buffer import Lost, PacketBuffer, Sound

log = logging.getLogger(__name__)
_JITTER_BUFFER = "_RTCRtpReceiver__jitter_buffer"


class Tap(JitterBuffer):
    """Stands where aiortc keeps packets."""

    def __init__(self, take: Callable[[RtpPacket], None]) -> None:
        super().__init__(capacity=1)
        self._take = take

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        """Called for each packet that is authentic and of a known codec."""
        self._take(packet)
        return False, None


def tap(receiver: RTCRtpReceiver, take: Callable[[RtpPacket], None]) -> None:
    """From now on each packet goes to `take`, on the loop, and the receiver's track yields nothing but its end."""
    assert type(getattr(receiver, _JITTER_BUFFER, None)) is JitterBuffer, "aiortc keeps its jitter buffer elsewhere now"
    setattr(receiver, _JITTER_BUFFER, Tap(take))


class Reception:
    """One call's incoming voice. Thread: the loop; nothing is awaited between a packet and `deliver`."""

    def __init__(self, deliver: Callable[[Pcm], None]) -> None:
        """`deliver` gets int16[n] at 16 kHz, in order, gaps filled."""
        self.came_s: float | None = None
        """When the last packet came, on the loop's clock."""
        self._deliver = deliver
        self._source: int | None = None
        self._buffer = PacketBuffer()
        self._decoder = OpusDecoder(SPEECH_RATE_HZ)
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def lost_samples(self) -> int:
        """At 48 kHz: sound that never came, or too late, and was made up."""
        return self._buffer.lost_samples

    def take(self, packet: RtpPacket) -> None:
        """A packet has come. One from another source begins a new stream."""
        if self._closed:
            return
        now = self.came_s = _now()
        if self._source is not None and packet.ssrc != self._source:
            self._buffer, self._decoder = PacketBuffer(), OpusDecoder(SPEECH_RATE_HZ)
        self._source = packet.ssrc
        self._play(self._buffer.push(packet.sequence_number, packet.timestamp, packet.payload, now))

    def close(self) -> None:
        """Deliver nothing more. Idempotent."""
        self._closed = True
        self._disarm()

    def _play(self, ready: list[Sound | Lost]) -> None:
        if ready:
            parts = [self._decode(step) for step in ready]
            self._deliver(np.concatenate(parts) if len(parts) > 1 else parts[0])
        self._disarm()
        deadline = None if self._closed else self._buffer.deadline
        if deadline is not None:
            self._timer = asyncio.get_running_loop().call_at(deadline, self._due, deadline)

    def _due(self, deadline: float) -> None:
        """Its time has come, even where a coarse clock would have it a moment later."""
        self._timer = None
        self._play(self._buffer.due(max(deadline, _now())))

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _decode(self, step: Sound | Lost) -> Pcm:
        """A damaged packet is made up like a lost one."""
        try:
            if isinstance(step, Sound):
                return self._decoder.decode(step.payload)
            return self._make_up(step)
        except ProtocolError as error:
            log.warning("%s; its sound is made up", error)
            return self._decoder.conceal(packet_samples(step.payload) if isinstance(step, Sound) else step.samples)

    def _make_up(self, lost: Lost) -> Pcm:
        if lost.following is None:
            return self._decoder.conceal(lost.samples)
        copied = min(lost.samples, packet_samples(lost.following))
        recovered = lost.samples - copied
        guessed = [self._decoder.conceal(recovered)] if recovered else []
        return np.concatenate((*guessed, self._decoder.recover(lost.following, copied)))


def _now() -> float:
    return asyncio.get_running_loop().time()
