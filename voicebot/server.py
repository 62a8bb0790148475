"""The server: one application, one port, an orderly end. The composition root, and beside the CLI the only reader of
the settings.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from types import FrameType

import uvicorn
from fastapi import FastAPI

from voicebot.config import Config, ServerConfig
from voicebot.direct_socket import DirectProtocol
from voicebot.errors import ConfigError
from voicebot.http_api import add_routes
from voicebot.openai_api import add_openai_routes
from voicebot.service import VoiceServer, first_fault, product_version
from voicebot.telephony.access import Access
from voicebot.telephony.audiosocket import AudioSocketDoor
from voicebot.telephony.doors import Doors
from voicebot.wyoming_api import wyoming_service

WS_MESSAGE_LIMIT = 1024 * 1024
WS_PING_S = 20.0


@dataclass(frozen=True, slots=True)
class Banner:
    """What an operator is told when the server is ready."""

    url: str
    profile: str
    reasons: list[str]
    engines: dict[str, str]
    """Kind -> the engine's name for people."""
    load_s: float
    outward: list[str]
    """What may leave this machine, in sentences."""


def create_app(config: Config) -> FastAPI:
    """The whole server as an ASGI application; its `VoiceServer` is in `app.state.server`. Raises: ConfigError."""
    server = VoiceServer(config)
    access = Access(config.telephony, os.environ)
    doors, audiosocket = Doors(server, access, os.environ), AudioSocketDoor(server, access)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        try:
            async with server.running(), audiosocket.open(), wyoming_service(server):
                yield
        except* ConfigError as errors:
            server.fault = first_fault(errors)
            raise

    app = FastAPI(title="voicebot", version=product_version(), lifespan=lifespan, redoc_url=None)
    app.state.server = server
    app.state.audiosocket = audiosocket
    app.include_router(doors.router())
    add_openai_routes(app, server)
    add_routes(app, server)
    return app


def bind(config: ServerConfig) -> socket.socket:
    """The listening socket, taken before anything is loaded. Raises: ConfigError when the address is not to be had."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((config.host, config.port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot listen on {config.host} port {config.port}: {error.strerror or error}; "
            "stop what uses it or choose another with --port (0 takes any free one)"
        ) from None
    return listener


def run_server(
    config: Config,
    announce: Callable[[Banner], None] = lambda _banner: None,
    again: Callable[[], Config] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM. `announce` is called once, when calls are taken; `again` reads the settings anew,
    for SIGHUP: the fleet that they name then answers the calls to come.

    Raises: ConfigError before anything is served; EngineError when an engine does not load.
    """
    app = create_app(config)
    server: VoiceServer = app.state.server
    listener = bind(config.server)
    uvicorn_server = _Uvicorn(
        uvicorn.Config(
            app,
            ws=DirectProtocol,
            ws_max_size=WS_MESSAGE_LIMIT,
            ws_ping_interval=WS_PING_S,
            ws_ping_timeout=WS_PING_S,
            ws_per_message_deflate=False,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=5,
        ),
        server,
        again,
    )

    def loaded() -> None:
        if server.fault is None:
            announce(_banner(server, listener))
        else:
            uvicorn_server.should_exit = True

    server.on_loaded = loaded
    try:
        uvicorn_server.run(sockets=[listener])
    finally:
        listener.close()
    if server.fault is not None:
        raise server.fault


def _banner(server: VoiceServer, listener: socket.socket) -> Banner:
    host, port = listener.getsockname()[:2]
    shown = {"0.0.0.0": "localhost", "::": "localhost", "127.0.0.1": "localhost"}.get(host, host)
    url = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"
    return Banner(url, server.resolved.profile, server.resolved.reasons, server.models, server.load_s, server.outward)


class _Uvicorn(uvicorn.Server):
    """uvicorn ends WebSockets at once on SIGTERM; here the first signal drains calls, and the second is uvicorn's."""

    def __init__(self, config: uvicorn.Config, server: VoiceServer, again: Callable[[], Config] | None) -> None:
        super().__init__(config)
        self._server = server
        self._again = again
        self._loop: asyncio.AbstractEventLoop | None = None
        self._signalled = False

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        if self._again is not None and hasattr(signal, "SIGHUP"):
            self._loop.add_signal_handler(signal.SIGHUP, self._server.reload_from, self._again)
        await super().serve(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Thread: the main one, between two steps of the loop."""
        if self._signalled or self._loop is None or self._server.status != "ready":
            self.should_exit = True
            self.force_exit = self._signalled and sig == signal.SIGINT
            return
        self._signalled = True
        self._loop.call_soon_threadsafe(self._server.drain_then, self._stop)

    def _stop(self) -> None:
        self.should_exit = True
