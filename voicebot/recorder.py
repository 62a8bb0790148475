"""Writes a call's trace to disk, line by line, off the loop; a killed server loses at most what was in flight.

One writer thread for all calls takes lines from one bounded queue. When the disk cannot keep up for so long that the
queue is full, that call's trace ends there and the log says so: a call never waits for its trace.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Sequence
from pathlib import Path

from voicebot.core.events import Command, Event
from voicebot.core.settings import TurnSettings
from voicebot.core.trace import command_line, end_line, event_line, header_line

log = logging.getLogger(__name__)
QUEUE_ENTRIES = 20_000
"""About 60 s of 10 busy calls."""


class TraceWriter:
    """The thread and the folder. `keep`: how many traces stay; older ones are deleted when a call begins."""

    def __init__(self, folder: Path, keep: int) -> None:
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


class Recorder:
    """One call's trace. Lines are batched: a batch goes out when a command came or BATCH_LINES are waiting."""

    BATCH_LINES = 32

    def __init__(self, writer: TraceWriter, path: Path) -> None:
        self._writer = writer
        self._lines: list[str] = []
        self._lost = False
        self.path = path

    def step(self, event: Event, now: float, commands: Sequence[Command]) -> None:
        """`now`: seconds since the call began."""
        self._lines.append(event_line(event, now))
        if commands:
            self._lines += map(command_line, commands)
        if commands or len(self._lines) >= self.BATCH_LINES:
            self._flush()

    def close(self, reason: str, counts: dict[str, int]) -> None:
        self.put([end_line(reason, counts)])

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
