"""A server that speaks docs/events.md and nothing more, so that the page can be tested word by word.

It answers the offer, plays a tone, keeps what the page sends, and sends exactly the events that a test gives it.
Thread: uvicorn and aiortc live on a loop in a thread of their own; the public methods are for the test's thread.
"""

from __future__ import annotations

import asyncio
import json
import queue
import socket
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from aiortc import MediaStreamTrack, RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError
from av import AudioFrame
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles

WEB_DIR = Path(__file__).parents[2] / "web"
CSP = (
    "default-src 'self'; connect-src 'self'; media-src 'self' blob:; img-src 'self' data:; "
    "style-src 'self'; script-src 'self'"
)
MODELS = {"vad": "silero", "stt": "pocketsphinx en-us", "llm": "llama talker.gguf", "tts": "espeak en-us"}
SPEECH_PEAK = 300  # int16; above a codec's noise around silence, far below the fake microphone's tone
DEADLINE_S = 15.0


class Tone(AudioStreamTrack):
    """440 Hz at -10 dBFS, 48 kHz mono, 20 ms frames, paced by aiortc's own clock."""

    _position = 0

    async def recv(self) -> AudioFrame:
        await super().recv()  # waits for the frame's time
        count = 48_000 // 50
        times = (self._position + np.arange(count)) / 48_000
        self._position += count
        pcm = (10_000 * np.sin(2 * np.pi * 440 * times)).astype(np.int16)
        frame = AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, self._position, Fraction(1, 48_000)
        return frame


class StandIn:
    """One page's server. `status` is what /healthz says; `refusal` is (HTTP status, words) for offers."""

    def __init__(self) -> None:
        self.status = "ready"
        self.failure = ""
        self.refusal: tuple[int, str] | None = None
        self.received: queue.Queue[dict[str, Any]] = queue.Queue()
        self.calls = 0
        self.closed = threading.Event()
        self.caller_spoke = threading.Event()
        self.caller_silent = threading.Event()
        self._opened = threading.Event()
        self._channel: RTCDataChannel | None = None
        self._connection: RTCPeerConnection | None = None
        self._listening: asyncio.Task[None] | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}/"

    # --- for the test's thread ---

    def start(self) -> None:
        """Serve; returns when connections are accepted (the socket listens already)."""
        if self._socket.fileno() < 0:
            self._socket = socket.create_server(("127.0.0.1", self.port))
        config = uvicorn.Config(self._app(), log_level="warning", loop="asyncio", ws="none", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="standin", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close the call and the port. Idempotent."""
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = True
        self._thread.join(DEADLINE_S)
        self._socket.close()
        assert not self._thread.is_alive(), "the stand-in server did not stop"

    def send(self, *messages: dict[str, Any]) -> None:
        """Send events to the page, in order; waits for its channel first."""
        assert self._opened.wait(DEADLINE_S), "the page opened no data channel"
        for message in messages:
            self._loop.call_soon_threadsafe(self._send, json.dumps(message))

    def drop_line(self) -> None:
        """Close the call without a goodbye; the server itself goes on."""
        asyncio.run_coroutine_threadsafe(self._close_call(), self._loop).result(DEADLINE_S)

    def next_message(self) -> dict[str, Any]:
        """The page's next message; fails after the deadline."""
        return self.received.get(timeout=DEADLINE_S)

    # --- on the loop ---

    def _serve(self) -> None:
        assert self._server is not None
        asyncio.run(self._serve_until_stopped(self._server))

    async def _serve_until_stopped(self, server: uvicorn.Server) -> None:
        self._loop = asyncio.get_running_loop()
        await server.serve(sockets=[self._socket])
        await self._close_call()

    def _send(self, text: str) -> None:
        assert self._channel is not None
        self._channel.send(text)

    async def _close_call(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
        if self._connection is not None:
            await self._connection.close()

    def _app(self) -> FastAPI:
        app = FastAPI()
        app.add_api_route("/healthz", self._healthz)
        app.add_api_route("/api/info", self._info)
        app.add_api_route("/api/offer", self._offer, methods=["POST"])
        app.mount("/", StaticFiles(directory=WEB_DIR, html=True))
        app.middleware("http")(self._with_headers)
        return app

    async def _with_headers(self, request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        response.headers["Content-Security-Policy"] = CSP
        response.headers["Cache-Control"] = "no-cache"
        return response

    async def _healthz(self) -> JSONResponse:
        body = {"status": self.status} | ({"error": self.failure} if self.failure else {})
        return JSONResponse(body, 200 if self.status == "ready" else 503)

    async def _info(self) -> JSONResponse:
        return JSONResponse({"profile": "embedded", "models": MODELS, "version": "0.1.0", "ice_servers": []})

    async def _offer(self, request: Request) -> JSONResponse:
        if self.refusal is not None:
            status, words = self.refusal
            return JSONResponse({"error": words}, status)
        offer = await request.json()
        self.calls += 1
        self._reset()
        connection = self._connection = RTCPeerConnection()
        connection.on("datachannel", self._on_channel)
        connection.on("track", self._on_track)
        connection.addTrack(Tone())
        await connection.setRemoteDescription(RTCSessionDescription(sdp=offer["sdp"], type=offer["type"]))
        await connection.setLocalDescription(await connection.createAnswer())
        local = connection.localDescription
        return JSONResponse({"sdp": local.sdp, "type": local.type, "call_id": f"call-{self.calls}"})

    def _reset(self) -> None:
        for event in (self._opened, self.closed, self.caller_spoke, self.caller_silent):
            event.clear()

    def _on_channel(self, channel: RTCDataChannel) -> None:
        assert channel.label == "events"
        self._channel = channel
        channel.on("message", lambda text: self.received.put(json.loads(text)))
        channel.on("close", self.closed.set)
        call = {"type": "call", "call_id": f"call-{self.calls}", "profile": "embedded", "version": "0.1.0"}
        self._send(json.dumps(call | {"models": MODELS}))
        self._send(json.dumps({"type": "state", "state": "listening"}))
        self._opened.set()

    def _on_track(self, track: MediaStreamTrack) -> None:
        self._listening = asyncio.get_running_loop().create_task(self._listen(track), name="standin-listen")

    async def _listen(self, track: MediaStreamTrack) -> None:
        """Note speech and silence as they come; silence is a whole second without a loud sample."""
        quiet_samples = 0
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            assert isinstance(frame, AudioFrame)
            loud = int(np.abs(frame.to_ndarray().astype(np.int32)).max()) > SPEECH_PEAK
            quiet_samples = 0 if loud else quiet_samples + frame.samples
            if loud:
                self.caller_spoke.set()
                self.caller_silent.clear()
            elif quiet_samples >= frame.sample_rate:
                self.caller_silent.set()
