"""A call and a socket in memory, for driving transports."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, MutableMapping
from typing import Any

import numpy as np
from starlette.websockets import WebSocketDisconnect

from voicebot.transports.base import Pcm


class FakePort:
    """A call that keeps what it is told and plays what was put into `to_play`."""

    call_id = "call-1"

    def __init__(self) -> None:
        self.speech: list[Pcm] = []
        self.texts: list[str] = []
        self.digits: list[str] = []
        self.cancelled: list[int] = []
        self.hang_ups: list[str] = []
        self.pulls = 0
        self.sound_ready: Callable[[], None] = lambda: None
        """Set it to the transport's, which is then told as a call tells it."""
        self.audio_to_come = False
        self._to_play: deque[int] = deque()
        self.hung_up = asyncio.Event()

    def play(self, pcm: Pcm) -> None:
        """Queue the bot's audio, at the transport's rate."""
        self._to_play.extend(pcm.tolist())
        self.sound_ready()

    @property
    def left(self) -> int:
        return len(self._to_play)

    def heard_speech(self) -> Pcm:
        return np.concatenate(self.speech) if self.speech else np.zeros(0, np.int16)

    def push_audio(self, pcm: Pcm, then: Callable[[], None] | None = None) -> None:
        assert pcm.dtype == np.int16 and pcm.ndim == 1
        self.speech.append(pcm)
        if then is not None:
            then()

    def pull_audio(self, samples: int) -> Pcm | None:
        self.pulls += 1
        if not self._to_play:
            return None
        piece = [self._to_play.popleft() for _ in range(min(samples, len(self._to_play)))]
        return np.array(piece + [0] * (samples - len(piece)), dtype=np.int16)

    def push_text(self, text: str) -> None:
        self.texts.append(text)

    def push_digit(self, digit: str) -> None:
        self.digits.append(digit)

    def cancel_errand(self, errand: int) -> None:
        self.cancelled.append(errand)

    def hang_up(self, reason: str) -> None:
        self.hang_ups.append(reason)
        self.hung_up.set()


class FakeSocket:
    """The far side of a WebSocket: `put` what it says, read what it was `sent` as (loop time, message)."""

    def __init__(self) -> None:
        self.sent: list[tuple[float, dict[str, Any]]] = []
        self.closed: tuple[int, str | None] | None = None
        self.readable = asyncio.Event()
        """Cleared: the far side does not read, and sending waits."""
        self.readable.set()
        self._inbox: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        self._left = False

    def put(self, message: dict[str, Any] | str) -> None:
        text = message if isinstance(message, str) else json.dumps(message)
        self._inbox.put_nowait({"type": "websocket.receive", "text": text})

    def put_bytes(self, data: bytes) -> None:
        self._inbox.put_nowait({"type": "websocket.receive", "bytes": data})

    def leave(self) -> None:
        """The connection is gone, as a killed client's is."""
        self._left = True
        self._inbox.put_nowait({"type": "websocket.disconnect", "code": 1006})

    def events(self, name: str) -> list[tuple[float, dict[str, Any]]]:
        return [(at, message) for at, message in self.sent if message["event"] == name]

    async def receive(self) -> MutableMapping[str, Any]:
        return await self._inbox.get()

    async def send_text(self, data: str) -> None:
        await self.readable.wait()
        if self._left:
            raise WebSocketDisconnect(1006)
        self.sent.append((asyncio.get_running_loop().time(), json.loads(data)))

    async def send_bytes(self, data: bytes) -> None:
        await self.readable.wait()
        if self._left:
            raise WebSocketDisconnect(1006)
        self.sent.append((asyncio.get_running_loop().time(), {"event": "binary", "data": data}))

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        await self.readable.wait()
        self.closed = (code, reason)


class FakeShortSocket(FakeSocket):
    """One that hands messages over as they come, and takes them at once while the far side reads."""

    def __init__(self) -> None:
        super().__init__()
        self._take: Callable[[str | bytes], None] | None = None

    def put(self, message: dict[str, Any] | str) -> None:
        if self._take is None:
            super().put(message)
        else:
            self._take(message if isinstance(message, str) else json.dumps(message))

    def hand_over(self, take: Callable[[str | bytes], None] | None) -> None:
        self._take = take

    def send_now(self, message: str | bytes) -> bool:
        if not self.readable.is_set() or self._left:
            return False
        assert isinstance(message, str)
        self.sent.append((asyncio.get_running_loop().time(), json.loads(message)))
        return True
