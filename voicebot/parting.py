"""What a call's tools ask of its line: to end it or hand it over once the present reply is heard, and to press keys."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any

from voicebot.core.events import EndCall, NoticeDue
from voicebot.transports.base import PhoneLine

log = logging.getLogger(__name__)
NOT_PUT_THROUGH = "Sorry, I could not put you through."


class Parting:
    """One call's. What was asked for is withdrawn when the caller goes on. Thread: the loop."""

    def __init__(
        self,
        call_id: str,
        line: PhoneLine,
        end: Callable[[EndCall], None],
        notify: Callable[[NoticeDue], None],
        spawn: Callable[[Coroutine[Any, Any, None], str], object],
    ) -> None:
        """`spawn` starts a task that ends with the call."""
        self._call_id = call_id
        self._line = line
        self._end = end
        self._notify = notify
        self._spawn = spawn
        self._reason = self._target = ""

    def for_tools(self) -> dict[str, Any]:
        """What the call's tools may know of the line and ask of it: fields of `brain.agenda.Agenda`."""
        line = self._line
        return {
            "caller": line.caller,
            "called": line.called,
            "parameters": line.parameters,
            "end_call": self._end_when_said,
            "transfer_call": self._transfer_when_said if line.transfer is not None else None,
            "play_digits": self._send_digits if line.send_digits is not None else None,
        }

    def withdraw(self) -> None:
        """The caller goes on."""
        self._reason = self._target = ""

    def said(self) -> None:
        """Nobody is speaking any more."""
        reason, target = self._reason, self._target
        self.withdraw()
        if target:
            self._spawn(self._transfer(target), "transfer")
        elif reason:
            self._end(EndCall(reason))

    def _end_when_said(self, reason: str) -> None:
        self._reason = reason

    def _transfer_when_said(self, target: str) -> None:
        self._target = target

    async def _transfer(self, target: str) -> None:
        assert self._line.transfer is not None
        if not await self._line.transfer(target):
            self._notify(NoticeDue(NOT_PUT_THROUGH))

    def _send_digits(self, digits: str) -> None:
        self._spawn(self._press(digits), "digits")

    async def _press(self, digits: str) -> None:
        assert self._line.send_digits is not None
        if not await self._line.send_digits(digits):
            log.warning("call %s: %d DTMF keys were not played", self._call_id, len(digits))
