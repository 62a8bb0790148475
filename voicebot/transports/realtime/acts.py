"""What a client's events ask of the call, in order: the protocol decides, its shell carries out."""

from __future__ import annotations

from dataclasses import dataclass

from voicebot.core.audio import Pcm
from voicebot.core.events import Event
from voicebot.core.history import Line
from voicebot.core.wishes import Wishes


@dataclass(frozen=True, slots=True, eq=False)
class Hear:
    """The caller's speech goes on: int16[n], 16 kHz."""

    pcm: Pcm


@dataclass(frozen=True, slots=True)
class Tell:
    """An event for the call's machine."""

    event: Event


@dataclass(frozen=True, slots=True)
class Wish:
    """What holds for all replies from now on, or for the next one that is wanted (`once`)."""

    wishes: Wishes
    once: bool = False


@dataclass(frozen=True, slots=True)
class Compose:
    """Answer in writing. `lines` None: to the talk as it stands. `ref`: names it."""

    ref: str
    lines: tuple[Line, ...] | None
    wishes: Wishes


@dataclass(frozen=True, slots=True)
class StopComposing:
    """Nobody waits for it any more."""

    ref: str


Act = Hear | Tell | Wish | Compose | StopComposing
