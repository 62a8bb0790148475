"""The journal: rows on their way to the database, one JSON line each, safe from the moment that they are written.

It is the ledger's only queue. The loop appends a line with one `write` to a file opened with O_APPEND: microseconds,
and from then on the line belongs to the kernel, which keeps it when the process is killed. The ledger's thread reads
the lines in order, commits them to the database, and only then forgets them. What a killed process has left is adopted
by the next one that opens the folder; rows have keys, so reading some of them again does no harm.

On disk, in one folder for all processes: NAME.lock, held by `flock` while its process lives, and NAME.000001 and so on,
the segments. A segment is deleted when all of it has been committed and the next has been begun.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

SEGMENT_BYTES = 2**20
"""A segment that has been read to its end is replaced from this size on."""
CHUNK_BYTES = 2**20
LONGEST_LINE = 2**18
"""Bytes; a longer line is refused. Smaller than a chunk, so that reading always gets on."""


class Segment:
    """Reads whole lines of one file, in order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0
        """Of the first byte that has not been acknowledged."""
        self._fd = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def lines(self, limit: int) -> tuple[list[bytes], int]:
        """At most `limit` lines from the offset on, and the offset after them. A line without its end is left."""
        chunk = os.pread(self._fd, CHUNK_BYTES, self.offset)
        lines: list[bytes] = []
        start = 0
        while len(lines) < limit and (stop := chunk.find(b"\n", start)) >= 0:
            lines.append(chunk[start:stop])
            start = stop + 1
        return lines, self.offset + start

    @property
    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def close(self, delete: bool) -> None:
        os.close(self._fd)
        if delete:
            self.path.unlink(missing_ok=True)


class Journal:
    """This process's journal. `append` is the loop's; everything else is the ledger thread's."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        """`max_bytes`: what may wait; a row beyond is refused. Raises: OSError."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        """Held for one `write`, or to exchange the file that is written to."""
        self._name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._lock_fd = _hold(folder, self._name)
        self._number = 1
        self._reading = Segment(self._path(1))
        self._fd = self._open(1)
        self._torn = False
        """The last write was cut short; the next begins a new line."""
        self._after = 0
        self.waiting_bytes = 0

    def append(self, line: bytes) -> bool:
        """Keep a line, given without its newline. False: no room, or the disk refused it. Thread: the loop."""
        with self._lock:
            text = b"\n" * self._torn + line + b"\n"
            if len(line) > LONGEST_LINE or self.waiting_bytes + len(text) > self._max_bytes:
                return False
            try:
                written = os.write(self._fd, text)
            except OSError:
                return False
            self._torn = written < len(text)
            self.waiting_bytes += written
            return not self._torn

    def lines(self, limit: int) -> list[bytes]:
        """The oldest lines that have not been acknowledged."""
        lines, self._after = self._reading.lines(limit)
        return lines

    def acknowledge(self) -> None:
        """The lines that were last read are in the database."""
        with self._lock:
            self.waiting_bytes -= self._after - self._reading.offset
        self._reading.offset = self._after

    def rotate(self) -> bool:
        """Begin a new segment if this one is large and done with; call when `lines` is empty. True: look again."""
        old = self._reading
        if old.path != self._path(self._number):
            self._reading = Segment(self._path(self._number))
            with self._lock:
                self.waiting_bytes -= old.size - old.offset
            old.close(delete=True)
            return True
        if old.offset >= SEGMENT_BYTES:
            following = self._open(self._number + 1)
            with self._lock:
                past, self._fd = self._fd, following
                self._number += 1
            os.close(past)
            return True
        return False

    def close(self) -> None:
        """Delete what has been acknowledged; leave the rest to be adopted. An `append` after it is refused."""
        with self._lock:
            fd, self._fd = self._fd, -1
        os.close(fd)
        done = self._reading.offset >= self._reading.size and self._reading.path == self._path(self._number)
        self._reading.close(delete=done)
        if done:
            (self._folder / f"{self._name}.lock").unlink(missing_ok=True)
        os.close(self._lock_fd)

    def _path(self, number: int) -> Path:
        return self._folder / f"{self._name}.{number:06}"

    def _open(self, number: int) -> int:
        return os.open(self._path(number), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


class Orphan:
    """The journal of a process that is gone, held by this one until it is closed."""

    def __init__(self, lock: Path, lock_fd: int) -> None:
        self._lock = lock
        self._lock_fd = lock_fd
        self._segments = sorted(path for path in lock.parent.glob(f"{lock.stem}.*") if path.suffix != ".lock")

    def lines(self) -> Iterator[bytes]:
        """All lines, oldest first, the last one even if it was cut short."""
        for path in self._segments:
            yield from (line for line in path.read_bytes().split(b"\n") if line)

    def close(self, delete: bool) -> None:
        """`delete`: all of it is in the database."""
        if delete:
            for path in (*self._segments, self._lock):
                path.unlink(missing_ok=True)
        os.close(self._lock_fd)


def orphans(folder: Path) -> Iterator[Orphan]:
    """The journals in a folder whose processes are gone. Close each before asking for the next."""
    for lock in sorted(folder.glob("*.lock")):
        try:
            fd = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            continue
        if lock.exists():
            yield Orphan(lock, fd)
        else:
            os.close(fd)


def _hold(folder: Path, name: str) -> int:
    """The lock file, locked before it gets the name under which others look for it."""
    unseen = folder / f"{name}.new"
    fd = os.open(unseen, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    unseen.rename(folder / f"{name}.lock")
    return fd
