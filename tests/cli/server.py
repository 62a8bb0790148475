"""A real server in a process of its own, for tests that call it."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

READY = re.compile(r"is ready after .*?(http://\S+)")
LOAD_S = 60.0
STOP_S = 15.0


@contextmanager
def running_server(home: Path, *settings: str, port: int = 0, env: Mapping[str, str] | None = None) -> Iterator[str]:
    """The address of a ready server with these `--set` settings; stopped by SIGTERM at the end, which must succeed."""
    command = [sys.executable, "-m", "voicebot.cli.main", "serve", "--port", str(port), "--set", f"trace.dir={home}"]
    for setting in settings:
        command += ["--set", setting]
    log = home / "server.log"
    with log.open("w") as stderr:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr, env=env)
    try:
        yield _wait_ready(server, log)
        server.terminate()
        assert server.wait(STOP_S) == 0, log.read_text()
    finally:
        server.kill()
        server.wait()


def _wait_ready(server: subprocess.Popen[bytes], log: Path) -> str:
    """Raises: AssertionError with the server's log, when it ends or takes too long."""
    tick = threading.Event()
    for _ in range(round(LOAD_S / 0.1)):
        if found := READY.search(log.read_text()):
            return found.group(1)
        assert server.poll() is None, f"the server ended ({server.returncode}): {log.read_text()}"
        tick.wait(0.1)
    raise AssertionError(f"the server was not ready within {LOAD_S} s: {log.read_text()}")
