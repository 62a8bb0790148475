"""What the telephony shell asks of a socket."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any, Protocol, runtime_checkable

from voicebot.transports.telephony.wire import Message


class Socket(Protocol):
    """The part of Starlette's WebSocket that is used, after it was accepted."""

    async def receive(self) -> MutableMapping[str, Any]: ...

    async def send_text(self, data: str) -> None: ...

    async def send_bytes(self, data: bytes) -> None: ...

    async def close(self, code: int = 1000, reason: str | None = None) -> None: ...


@runtime_checkable
class ShortSocket(Socket, Protocol):
    """A socket that can do without tasks and queues between it and the call."""

    def hand_over(self, take: Callable[[Message], None] | None) -> None:
        """`take` is given every message from now on; it never raises. None: they are received again."""
        ...

    def send_now(self, message: Message) -> bool:
        """False where it would have to wait, or the socket has gone."""
        ...
