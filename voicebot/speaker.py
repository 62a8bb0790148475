"""The call's mouth: each reply's sound queued at the playout rate, pulled by the transport 20 ms at a time.

At least the last 2 s pulled of a reply are kept, so that a pause can go back to the first unheard sample.
Bounded: MAX_QUEUED_S of sound ahead of the caller; `room` tells the reply's maker to wait.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import numpy as np

from voicebot.core.audio import Pcm, silence
from voicebot.transports.base import Transport

KEPT_S = 2.0
MAX_QUEUED_S = 30.0
FRAME_S = 0.02
"""What is pulled at once."""


FIRST_ROOM = 16_384
"""Samples that a reply's buffer holds at first; it doubles as it must."""


@dataclass(slots=True)
class _Track:
    """One reply's sound. Positions count samples from the reply's first."""

    sound: Pcm = field(default_factory=lambda: silence(FIRST_ROOM))
    """What is kept: positions [first, queued), and room after it."""
    first: int = 0
    queued: int = 0
    pulled: int = 0
    heard: int = 0
    complete: bool = False
    begun: bool = False

    def append(self, pcm: Pcm, kept: int) -> None:
        """More sound; where there is no room for it, what lies `kept` samples behind the last pulled is let go."""
        if self.queued - self.first + len(pcm) > len(self.sound):
            self._make_room(len(pcm), max(self.first, self.pulled - kept))
        at = self.queued - self.first
        self.sound[at : at + len(pcm)] = pcm
        self.queued += len(pcm)

    def _make_room(self, samples: int, first: int) -> None:
        live = self.sound[first - self.first : self.queued - self.first]
        if len(live) + samples > len(self.sound) // 2:
            grown = silence(2 * (len(live) + samples))
            grown[: len(live)] = live
            self.sound = grown
        else:
            self.sound[: len(live)] = live.copy()
        self.first = first

    def take(self, samples: int) -> Pcm:
        """The next samples, zero-padded at the end."""
        ready = self.sound[self.pulled - self.first : min(self.pulled + samples, self.queued) - self.first]
        self.pulled += len(ready)
        return ready.copy() if len(ready) == samples else np.concatenate((ready, silence(samples - len(ready))))


class Speaker:
    """One call's playout. Thread: the loop; all methods but `room` are synchronous."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._tracks: dict[int, _Track] = {}
        self._live: int | None = None
        self._paused = False
        self._drained = asyncio.Event()

    def queue(self, reply: int, pcm: Pcm) -> None:
        """More of a reply's sound, held until `start`."""
        track, rate_hz = self._tracks.setdefault(reply, _Track()), self._transport.playout_rate_hz
        starved = track.queued - track.pulled < FRAME_S * rate_hz
        track.append(pcm, int(KEPT_S * rate_hz))
        if starved:
            self._tell_ready(reply)

    def complete(self, reply: int) -> None:
        """Nothing more will be queued for it."""
        self._tracks.setdefault(reply, _Track()).complete = True
        self._tell_ready(reply)

    def _tell_ready(self, reply: int) -> None:
        if reply == self._live and not self._paused:
            self._transport.sound_ready()

    async def room(self, reply: int) -> None:
        """Wait until less than MAX_QUEUED_S of the reply lies ahead of the caller."""
        limit = MAX_QUEUED_S * self._transport.playout_rate_hz
        while (track := self._tracks.get(reply)) is not None and track.queued - track.pulled > limit:
            self._drained.clear()
            await self._drained.wait()

    def start(self, reply: int) -> None:
        self._live, self._paused = reply, False
        self._tracks.setdefault(reply, _Track())
        self._tell_ready(reply)

    def pause(self, reply: int) -> None:
        """Silence now; what the far end gave up unplayed goes back into the queue, what it keeps counts as heard."""
        if reply != self._live or self._paused:
            return
        self._paused = True
        track = self._tracks[reply]
        heard = self.heard_samples()
        track.pulled = track.heard = max(heard, track.pulled - self._transport.clear())

    def resume(self, reply: int) -> None:
        if reply == self._live:
            self._paused = False
            self._tell_ready(reply)

    def clear(self, reply: int) -> None:
        """Silence now, and forget the reply."""
        if reply == self._live and not self._paused:
            self._transport.clear()
        self.drop(reply)

    def drop(self, reply: int) -> None:
        """Forget a reply that has been heard, cleared or never wanted."""
        if reply == self._live:
            self._live, self._paused = None, False
        self._tracks.pop(reply, None)
        self._drained.set()

    @property
    def live(self) -> int | None:
        return self._live

    @property
    def unfinished(self) -> bool:
        """Whether more of the live reply, which is not paused, will be queued."""
        return (track := self._playing) is not None and not track.complete

    @property
    def _playing(self) -> _Track | None:
        return self._tracks.get(self._live) if self._live is not None and not self._paused else None

    def heard_samples(self) -> int:
        """How much of the live reply the caller has heard by now; never runs back."""
        track = self._tracks.get(self._live) if self._live is not None else None
        if track is None:
            return 0
        if not self._paused:
            track.heard = max(track.heard, track.pulled - self._transport.unplayed_samples())
        return track.heard

    def pull(self, samples: int) -> Pcm | None:
        """The next 20 ms, or None: nothing live, paused, or its sound is late (better a pause than a torn word)."""
        if (track := self._playing) is None:
            return None
        ready = track.queued - track.pulled
        if ready <= 0 or (ready < samples and not track.complete):
            return None
        pcm = track.take(samples)
        self._drained.set()
        return pcm

    def begun(self) -> int | None:
        """The live reply, once only: when the first of it has been pulled."""
        track = self._tracks.get(self._live) if self._live is not None else None
        if track is None or track.begun or not track.pulled:
            return None
        track.begun = True
        return self._live

    def finished(self) -> int | None:
        """The live reply, once the caller has heard all of it."""
        track = self._playing
        if track is None or not track.complete or track.pulled < track.queued or not track.queued:
            return None
        return self._live if self.heard_samples() >= track.queued else None
