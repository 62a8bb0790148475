"""Reading ahead: while the caller speaks, the model that would answer reads what is known of its prompt.

Only an engine of this machine that keeps prompts in a cache is asked, and it is asked for no token. Nothing is
labelled, booked or told: what was read in vain costs the time that it took, and changes no answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

from voicebot.brain.fleet import Member
from voicebot.brain.tools_runs import CallTools
from voicebot.core.history import Line
from voicebot.core.labels import Label
from voicebot.core.wishes import Wishes
from voicebot.engines.base import CachesPrompts, LlmEngine, LlmRequest
from voicebot.errors import EngineError
from voicebot.lane import LaneLike

log = logging.getLogger(__name__)
Foresee = Callable[[str, Sequence[Line], Wishes], tuple[Member, LlmRequest] | None]
"""Who would answer words that begin like these, and its prompt without tools; None where nobody reads ahead."""


def reads_ahead(engine: LlmEngine) -> bool:
    """Whether what it reads now it need not read again; and partial words go to no other machine."""
    return engine.locality == "local" and isinstance(engine, CachesPrompts) and engine.caches_prompts


class Ahead:
    """One call's. At most one prompt is read at a time; the latest replaces it. Thread: the loop."""

    def __init__(
        self,
        foresee: Foresee,
        tools: CallTools,
        spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
    ) -> None:
        """`spawn` starts a task that is cancelled when the call is over."""
        self._foresee = foresee
        self._tools = tools
        self._spawn = spawn
        self._task: asyncio.Task[None] | None = None

    def read(self, text: str, lines: Sequence[Line], wishes: Wishes) -> None:
        """The talk so far, and words that the next turn will probably begin with."""
        self.stop()
        if (foreseen := self._foresee(text, lines, wishes)) is not None:
            member, request = foreseen
            schema = self._tools.for_reply(0, 0).begin(Label.LOCAL_ONLY, member.tools, wishes)
            self._task = self._spawn(_read(member.lane, replace(request, tools=schema)), "read ahead")

    def stop(self) -> None:
        """What has been read stays in the engine's cache. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            self._task = None


async def _read(lane: LaneLike[LlmEngine], request: LlmRequest) -> None:
    try:
        async for _ in lane.stream(lambda cancel: lane.engine.generate(request, cancel)):
            pass
    except EngineError as error:  # If it still goes wrong when an answer is wanted, the caller is told then.
        log.debug("nothing was read ahead: %s", error)
