"""Writes a call's trace to disk, line by line, off the loop; a killed server loses at most what was in flight.

A private turn's words are not written. Whether a turn is private is known for good two turns later ("keep that to
yourself" holds for the turn before, too), so a call's last steps are held back until then, or until its end. With
`keep_private` nothing is held back and nothing left out.

One writer thread for all calls takes lines from one bounded queue. When the disk cannot keep up for so long that the
queue is full, that call's trace ends there and the log says so: a call never waits for its trace.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from voicebot.core.events import Command, Event
from voicebot.core.settings import TurnSettings
from voicebot.core.trace import command_line, end_line, event_line, header_line
from voicebot.core.trace_words import Owners, Tokens, has_words, only_noises

log = logging.getLogger(__name__)
QUEUE_ENTRIES = 20_000
"""About 60 s of 10 busy calls."""


class TraceWriter:
    """The thread and the folder. `keep`: how many traces stay; older ones are deleted when a call begins."""

    def __init__(self, folder: Path, keep: int, keep_private: bool = False) -> None:
        """`keep_private`: write the words of private turns too; the callers know of it."""
        self.keep_private = keep_private
        self._folder = folder
        self._keep = keep
        self._entries: queue.Queue[tuple[Path, str] | None] = queue.Queue(QUEUE_ENTRIES)
        self._thread = threading.Thread(target=self._write_all, name="trace writer", daemon=True)

    def start(self) -> None:
        """Raises: OSError, if the folder cannot be made."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._thread.start()

    def close(self) -> None:
        """Write what is queued and end the thread."""
        self._entries.put(None)
        self._thread.join()

    def flush(self) -> None:
        """Wait until all that was put before is on disk. Thread: not the loop."""
        self._entries.join()

    def open(self, call_id: str, transport: str, settings: TurnSettings, **more: object) -> Recorder:
        path = self._folder / f"{call_id}.jsonl"
        recorder = Recorder(self, path)
        recorder.put([header_line(call_id, transport, settings, **more)])
        return recorder

    def put(self, path: Path, text: str) -> bool:
        """False when the queue is full."""
        try:
            self._entries.put_nowait((path, text))
        except queue.Full:
            return False
        return True

    def _write_all(self) -> None:
        """Thread: the writer's."""
        while True:
            entry = self._entries.get()
            try:
                if entry is None:
                    return
                self._append(*entry)
            except OSError as error:
                log.error("trace not written: %s; check space and permissions of %s", error, self._folder)
            finally:
                self._entries.task_done()

    def _append(self, path: Path, text: str) -> None:
        if not path.exists():
            self._make_room()
        with path.open("a", encoding="utf-8") as file:
            file.write(text)

    def _make_room(self) -> None:
        traces = sorted(self._folder.glob("*.jsonl"), key=lambda trace: trace.stat().st_mtime)
        for trace in traces[: max(0, len(traces) - self._keep + 1)]:
            trace.unlink(missing_ok=True)


class Privacy(Protocol):
    """What a call knows of whose words are private."""

    def settled(self, turn: int) -> bool:
        """Whether nothing can make this turn private any more."""
        ...

    def labelled(self, turns: Collection[int]) -> bool:
        """Whether any of these turns has been read and labelled."""
        ...

    def private(self, turns: Collection[int]) -> bool:
        """Whether the words of any of these turns are; for none of them, whether any of the call's are."""
        ...


@dataclass(frozen=True, slots=True)
class _Step:
    event: Event
    now: float
    commands: Sequence[Command]
    turns: list[frozenset[int]]
    """Whose words the event and each command hold."""


class Recorder:
    """One call's trace. Lines are batched: a batch goes out when a command came or BATCH_LINES are waiting."""

    BATCH_LINES = 32
    HELD_STEPS = 20_000
    """About 10 minutes; the oldest beyond are written without their words."""

    def __init__(self, writer: TraceWriter, path: Path) -> None:
        self._writer = writer
        self._lines: list[str] = []
        self._lost = False
        self._privacy: Privacy | None = None
        self._owners, self._tokens = Owners(), Tokens()
        self._held: deque[_Step | str] = deque()
        """A step without words is a line already: the garbage collector has nothing to follow in it."""
        self.path = path

    def guard(self, privacy: Privacy) -> None:
        """Leave out what this call says is private. Before the first step."""
        if not self._writer.keep_private:
            self._privacy = privacy

    def step(self, event: Event, now: float, commands: Sequence[Command]) -> None:
        """`now`: seconds since the call began."""
        if self._privacy is None:
            self._lines.append(event_line(event, now))
            self._write(map(command_line, commands))
            return
        if commands or has_words(event):
            self._held.append(_Step(event, now, commands, self._owners.of(event, commands)))
        else:
            self._held.append(event_line(event, now))
        while self._held and (len(self._held) > self.HELD_STEPS or self._settled(self._privacy, self._held[0])):
            self._release(self._privacy)

    def _settled(self, privacy: Privacy, step: _Step | str) -> bool:
        return isinstance(step, str) or all(privacy.settled(turn) for turns in step.turns for turn in turns)

    def close(self, reason: str, counts: dict[str, int]) -> None:
        """The labels are final."""
        while self._held and self._privacy is not None:
            self._release(self._privacy)
        self.put([end_line(reason, counts)])

    def _release(self, privacy: Privacy) -> None:
        unsure = len(self._held) > self.HELD_STEPS
        step = self._held.popleft()
        if isinstance(step, str):
            self._lines.append(step)
            self._write(())
            return
        parts = zip((step.event, *step.commands), step.turns, strict=True)
        private = [has_words(part) and (unsure or _private(privacy, part, turns)) for part, turns in parts]
        without = [self._tokens if left_out else None for left_out in private]
        self._lines.append(event_line(step.event, step.now, without[0], any(private)))
        self._write(map(command_line, step.commands, without[1:]))

    def _write(self, commands: Iterable[str]) -> None:
        lines = [*commands]
        self._lines += lines
        if lines or len(self._lines) >= self.BATCH_LINES:
            self._flush()

    def put(self, lines: list[str]) -> None:
        self._lines += lines
        self._flush()

    def _flush(self) -> None:
        text, self._lines = "".join(f"{line}\n" for line in self._lines), []
        if self._lost:
            return
        self._lost = not self._writer.put(self.path, text)
        if self._lost:
            log.error("trace %s ends here: the disk is too slow", self.path)


def _private(privacy: Privacy, part: Event | Command, turns: frozenset[int]) -> bool:
    """Whether the words are to be left out. Those of a turn that nobody has come to label are, but for mere noises."""
    if turns and not privacy.labelled(turns):
        return not only_noises(part)
    return privacy.private(turns)
