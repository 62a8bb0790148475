"""A server in a process of its own, as `voicebot serve` starts it, and what that process uses of the machine."""

from __future__ import annotations

import os
import re
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from voicebot.errors import EngineUnavailable

READY = re.compile(r"is ready after .*?(http://\S+)")
LOAD_S = 300.0
STOP_S = 30.0
METRIC = re.compile(r"^(\w+)(\{[^}]*\})? (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used. `cpu_s`: of all its threads since it began; `memory_mb`: in RAM now."""

    at_s: float
    cpu_s: float
    memory_mb: float


@dataclass(frozen=True, slots=True)
class Served:
    """A ready server. `url`: "http://127.0.0.1:PORT"."""

    url: str
    pid: int

    def usage(self) -> Usage:
        """Raises: EngineUnavailable where there is no /proc, or no such process any more."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        except OSError as error:
            raise EngineUnavailable(f"what the server uses cannot be read from /proc: {error}") from None
        ticks = int(stat[11]) + int(stat[12])  # utime and stime, see proc(5)
        megabytes = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
        return Usage(time.monotonic(), ticks / os.sysconf("SC_CLK_TCK"), megabytes)

    def events(self) -> Mapping[str, float]:
        """The server's counts of what happened in calls, from its metrics: drafts, aborted, reopened, ..."""
        with urlopen(f"{self.url}/metrics", timeout=10) as answer:
            return event_counts(answer.read().decode())


def event_counts(metrics: str) -> dict[str, float]:
    """Event -> how often, over all transports, from a server's metrics in Prometheus' text format."""
    found: dict[str, float] = {}
    for name, labels, value in METRIC.findall(metrics):
        if name == "voicebot_events_total" and (event := re.search(r'event="([^"]*)"', labels)):
            found[event[1]] = found.get(event[1], 0.0) + float(value)
    return found


@contextmanager
def serving(settings: Sequence[str], cpus: Sequence[int] = ()) -> Iterator[Served]:
    """A server with these `--set` settings on a free port, on these processors only; ended with the block.

    Raises: EngineUnavailable with its last words when it does not become ready.
    """
    command = [sys.executable, "-m", "voicebot.cli.main", "serve", "--host", "127.0.0.1", "--port", "0"]
    for setting in settings:
        command += ["--set", setting]
    with tempfile.TemporaryDirectory(prefix="voicebot-bench-") as home:
        environment = os.environ | {"VOICEBOT_HOME": home}
        server = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment
        )
        try:
            if cpus:
                os.sched_setaffinity(server.pid, cpus)
            yield Served(_wait_ready(server), server.pid)
            server.terminate()
            server.wait(STOP_S)
        finally:
            server.kill()
            server.wait()
            assert server.stderr is not None
            server.stderr.close()


def _wait_ready(server: subprocess.Popen[bytes]) -> str:
    assert server.stderr is not None
    said = b""
    deadline = time.monotonic() + LOAD_S
    with selectors.DefaultSelector() as ears:
        ears.register(server.stderr, selectors.EVENT_READ)
        while ears.select(max(0.0, deadline - time.monotonic())):
            more = os.read(server.stderr.fileno(), 65536)
            said += more
            if found := READY.search(said.decode(errors="replace")):
                return found.group(1)
            if not more:
                break
    words = said.decode(errors="replace").strip()[-2000:]
    raise EngineUnavailable(f"the server did not become ready within {LOAD_S:g} s; it said: {words or 'nothing'}")
