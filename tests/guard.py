"""A guard at the process's sockets: what any code of this process, in whatever language, connects to or looks up."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Sockets:
    """`peers`: host and port of every connection; `names`: every host that was looked up."""

    peers: set[tuple[str, int]] = field(default_factory=set)
    names: set[str] = field(default_factory=set)


_watching: list[Sockets] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching:
        return
    if event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
        if isinstance(address, tuple):
            _watching[-1].peers.add((str(address[0]), int(address[1])))
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        _watching[-1].names.add(str(arguments[0]))


sys.addaudithook(_hook)


@contextmanager
def watched_sockets() -> Iterator[Sockets]:
    """What is connected to within the block."""
    seen = Sockets()
    _watching.append(seen)
    try:
        yield seen
    finally:
        _watching.remove(seen)
