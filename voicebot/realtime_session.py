"""A call whose client has a say in it: the session of the Realtime protocol. What it adds to `Session`: the client's
events reach the turn machine, its wishes reach the brain, answers in writing, and every command is told to the wire.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Protocol

from voicebot.brain.composition import Writer
from voicebot.brain.reply import Reply
from voicebot.core import events as ev
from voicebot.core.composed import Piece, WroteAll
from voicebot.core.history import Line
from voicebot.core.labels import Label
from voicebot.core.wishes import NO_WISHES, Wishes
from voicebot.session import CallDeps, Session
from voicebot.transports.base import NO_LINE, PhoneLine, Transport

WRITTEN_TURNS = 1_000_000
"""Where the numbers of written answers begin in the books: beyond those of any call's spoken turns."""


class ClientWire(Transport, Protocol):
    """A transport that tells its client everything."""

    def happened(self, command: ev.Command) -> None:
        """A command of the machine's has been carried out."""
        ...

    def composed(self, ref: str, piece: Piece) -> None:
        """More of a written answer; the last piece is a `WroteAll`."""
        ...


class RealtimeSession(Session):
    """One call; implements `transports.realtime.socket.ClientPort`. Thread: the loop."""

    def __init__(
        self, call_id: str, transport: ClientWire, deps: CallDeps, label: Label | None = None, line: PhoneLine = NO_LINE
    ) -> None:
        super().__init__(call_id, transport, replace(deps, turn=replace(deps.turn, greeting="")), label, line)
        self._wire = transport
        self._replying = NO_WISHES
        self._once: Wishes | None = None
        self._writing: dict[str, asyncio.Task[None]] = {}
        self._written = WRITTEN_TURNS

    # ---- what the client does

    def tell(self, event: ev.Event) -> None:
        """An event of the client's, for the machine."""
        if self._open:
            self._apply(event)

    def wish(self, wishes: Wishes, once: bool) -> None:
        """For all replies from now on, or for the next one that is wanted."""
        if once:
            self._once = wishes
        else:
            self._wishes = wishes

    def compose(self, ref: str, lines: tuple[Line, ...] | None, wishes: Wishes) -> None:
        """Answer in writing: `lines`, or the talk as it stands."""
        if self._open:
            lines = tuple(self._machine.history.lines()) if lines is None else self._labelled(lines)
            self._writing[ref] = task = self._spawn(self._write(ref, lines, wishes), f"write {ref}")
            task.add_done_callback(lambda _task: self._writing.pop(ref, None))

    def stop_composing(self, ref: str) -> None:
        """Nobody reads it any more."""
        if ref in self._writing:
            self._writing[ref].cancel()

    def _labelled(self, lines: tuple[Line, ...]) -> tuple[Line, ...]:
        """Lines that no turn of the call holds, under numbers of their own, labelled by their words."""
        labelled = []
        for line in lines:
            if not line.turn:
                line = replace(line, turn=self._next_written())
                self._brain.label(line.turn, line.text)
            labelled.append(line)
        return tuple(labelled)

    def _next_written(self) -> int:
        self._written += 1
        return self._written

    async def _write(self, ref: str, lines: tuple[Line, ...], wishes: Wishes) -> None:
        deps, turn = self._deps, self._next_written()
        writer = Writer(self.call_id, deps.brain, self._brain.privacy, deps.tools, self._agenda, self._begin)
        asked = next((line.text for line in reversed(lines) if line.role == "user"), "")
        self._account.committed(self.call_id, turn, asked)

        async def emit(piece: Piece) -> None:
            self._wire.composed(ref, piece)

        try:
            await writer.write(turn, lines, wishes, emit)
        except Exception as error:
            await emit(WroteAll("failed", reason=type(error).__name__))
            raise

    # ---- what is different from a plain call

    def _do(self, command: ev.Command) -> None:
        super()._do(command)
        self._wire.happened(command)

    def _do_reply(self, command: ev.BeginReply | ev.Speak | ev.CommitReply | ev.DropReply | ev.DeliverErrand) -> None:
        self._replying = self._wishes
        if isinstance(command, ev.BeginReply) and not command.text:
            self._replying, self._once = self._once or self._wishes, None
        super()._do_reply(command)

    def _new_reply(self, number: int, turn: int = 0) -> Reply:
        reply = super()._new_reply(number, turn)
        reply.wishes = self._replying
        return reply

    def _publish(self, command: ev.Command) -> None:
        super()._publish(command)
        match command:
            case ev.PublishTranscript(turn, text, final=True) if text:
                self._brain.label(turn, text)
            case ev.PublishAdded(turn, role, text):
                self._brain.label(turn, text)
                if role == "user":
                    self._account.committed(self.call_id, turn, text)
