"""What a transport may ask of a call, and what a call may ask of a transport.

A transport turns a wire (RTP, a vendor's WebSocket, memory) into 16 kHz PCM in and PCM at its own rate out.
It never sees engines, the brain or the session's inside; all methods here are synchronous and run on the loop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Pcm = npt.NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class PhoneLine:
    """Who calls whom, what the carrier was told to pass on, and what the line can do; None: it cannot."""

    caller: str = ""
    """The number or name that calls; "" where it is not known."""
    called: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Custom parameters, as the vendor calls them."""
    send_digits: Callable[[str], Awaitable[bool]] | None = None
    """Play DTMF keys into the caller's line; False when the vendor refused or was not reached."""
    transfer: Callable[[str], Awaitable[bool]] | None = None
    """Hand the caller over to a telephone number or SIP address; False as above. The far side then ends the stream."""


NO_LINE = PhoneLine()
"""Of a call that is no telephone's."""


class CallPort(Protocol):
    """A call, as its transport sees it. Every method may be called after the end and then does nothing."""

    @property
    def call_id(self) -> str: ...

    def push_audio(self, pcm: Pcm, then: Callable[[], None] | None = None) -> None:
        """Caller's speech: int16[n], mono, 16 kHz, any n >= 0, in order, gaps already filled with silence.

        `then` is called when all that it brings about at once is done, which may be some ms later, or never if more
        comes first.
        """
        ...

    def pull_audio(self, samples: int) -> Pcm | None:
        """The bot's next samples at the transport's `playout_rate_hz`: int16[samples], zero-padded at an end.

        None: nothing to play now (play silence, or send nothing). Call it every 20 ms as long as there is audio and
        the caller still hears some, also to let the call notice that; then at `Transport.sound_ready` and now and then.
        """
        ...

    @property
    def audio_to_come(self) -> bool:
        """Whether more of what is being said is still to be made: a `pull_audio` of None is then a wait and no end."""
        ...

    def push_text(self, text: str) -> None:
        """A turn that the caller typed (at most 2,000 characters; longer is cut)."""
        ...

    def push_digit(self, digit: str) -> None:
        """A DTMF key: one of 0-9 * # A-D."""
        ...

    def cancel_errand(self, errand: int) -> None:
        """The caller does not want that answer of the expert's any more."""
        ...

    def hang_up(self, reason: str) -> None:
        """The caller has gone, or the wire broke. `reason` is for the trace. Idempotent."""
        ...


class Transport(Protocol):
    """The wire of one call, as the call sees it."""

    kind: str
    """Short name for traces and metrics: "webrtc", "twilio", "loopback"."""
    playout_rate_hz: int
    """Sample rate of the PCM that it pulls, e.g. 48000 or 8000."""
    narrowband: bool
    """Whether the caller's speech came over a telephone line: nothing in it above 4 kHz."""

    def unplayed_samples(self) -> int:
        """How many pulled samples the caller has, by the best knowledge, not heard yet (>= 0, playout rate)."""
        ...

    def sound_ready(self) -> None:
        """There is sound to pull where there was none. Nothing is pulled before this returns."""
        ...

    def clear(self) -> int:
        """Drop what was pulled but not heard, at once, at the far end too; how many samples will not be heard.

        Called on pause and on clear: after a pause the call re-queues that many samples itself.
        """
        ...

    def send_event(self, event: dict[str, Any]) -> None:
        """Tell the caller's screen (see docs/events.md). Dropped where the wire has no such channel."""
        ...

    def close(self, reason: str) -> None:
        """End the call from our side (after what is queued has gone out, within 2 s). Idempotent."""
        ...
