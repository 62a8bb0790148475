"""A real HTTP server that speaks OpenAI's and Anthropic's streams, run in a thread for the drivers' tests."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

from tests.engines import messages_wire


@dataclass
class ChatServer:
    """What it will answer, and what it was asked. The model's name selects the behaviour."""

    port: int = 0
    requests: list[dict[str, Any]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    """The same as they came."""
    authorizations: list[str] = field(default_factory=list)
    answer: str = "It is ten."
    """What the model "expert" says,"""
    delay_s: float = 0.0
    """and how long it takes to begin."""
    fault: str = ""
    """What goes wrong with "expert": "5xx", "429 once", "reset" (after a word), "stall", "empty"; "" for nothing."""
    stalled: threading.Event = field(default_factory=threading.Event)
    """Set when a reply has stopped coming."""
    disconnected: threading.Event = field(default_factory=threading.Event)
    """Set when a client went away from a stalled reply."""

    def failing_status(self) -> int:
        """What "expert" answers with instead of a stream; 0 for a stream."""
        if self.fault == "429 once":
            self.fault = ""
            return 429
        return 500 if self.fault == "5xx" else 0

    def url(self, model: str, scheme: str = "openai", **options: object) -> str:
        extra = "".join(f"&{name}={value}" for name, value in options.items())
        return f"{scheme}://127.0.0.1:{self.port}{'/v1' if scheme == 'openai' else ''}?model={model}{extra}"


def _chunk(delta: dict[str, Any], finish_reason: str | None = None, logprob: float | None = None) -> str:
    choice: dict[str, Any] = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    if logprob is not None:
        choice["logprobs"] = {"content": [{"token": "x", "logprob": logprob, "top_logprobs": []}]}
    return _event({"choices": [choice]})


def _event(fields: dict[str, Any]) -> str:
    body = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": []} | fields
    return f"data: {json.dumps(body)}\n\n"


def _call(arguments: str) -> list[str]:
    """A tool call cut into pieces, as servers send it."""
    half = len(arguments) // 2
    head = {"index": 0, "id": "call_9", "type": "function", "function": {"name": "set_timer", "arguments": ""}}
    tails = [{"index": 0, "function": {"arguments": part}} for part in (arguments[:half], arguments[half:])]
    return [_chunk({"tool_calls": [piece]}) for piece in (head, *tails)] + [_chunk({}, "tool_calls")]


_USAGE = _event(
    {"usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15,
               "prompt_tokens_details": {"cached_tokens": 8}}}
)  # fmt: skip
_TEXT = [_chunk({"role": "assistant", "content": ""}), _chunk({"content": "It is"}, logprob=-0.5)]
_TEXT += [_chunk({"content": " ten"}, logprob=-1.5), _chunk({}, "stop"), _USAGE]
REPLIES: dict[str, list[str]] = {
    "text": [*_TEXT, "data: [DONE]\n\n"],
    "long": [_chunk({"content": "word "})] * 3 + [_chunk({}, "length"), _USAGE, "data: [DONE]\n\n"],
    "tool": [*_call('{"minutes": 10}'), _USAGE, "data: [DONE]\n\n"],
    "broken-tool": [*_call('{"minutes": '), "data: [DONE]\n\n"],
    "cut": [_chunk({"content": "It is"})],
    "garbage": ["data: {nonsense\n\n"],
}


@dataclass(frozen=True)
class Wire:
    """How one provider's stream looks. `begin`: before the first word; `end`: after the last."""

    replies: dict[str, list[str]]
    begin: str
    word: Callable[[str], str]
    end: str


OPENAI = Wire(
    REPLIES,
    _chunk({"role": "assistant", "content": ""}),
    lambda word: _chunk({"content": word}),
    _chunk({}, "stop") + _USAGE + "data: [DONE]\n\n",
)
ANTHROPIC = Wire(messages_wire.REPLIES, messages_wire.BEGIN, messages_wire.word, messages_wire.END)
STATUSES = {"status-400": 400, "status-401": 401, "status-404": 404, "status-429": 429, "status-500": 500}


def _app(server: ChatServer) -> FastAPI:
    app = FastAPI()

    @app.post("/v1/chat/completions")
    @app.post("/v1/messages")
    async def complete(request: Request) -> Response:
        body, wire = await request.json(), OPENAI if request.url.path.endswith("completions") else ANTHROPIC
        server.requests.append(body)
        server.bodies.append(await request.body())
        server.authorizations.append(request.headers.get("authorization", ""))
        if status := server.failing_status() if body["model"] == "expert" else STATUSES.get(body["model"]):
            said = f"cannot read {body['messages']}"
            return JSONResponse({"type": "error", "error": {"type": "said_so", "message": said}}, status)
        if body["model"] == "redirect":
            return RedirectResponse(f"{request.url.path}?to={body['messages'][0]['content']}", 307)
        return StreamingResponse(_stream(server, body["model"], wire), media_type="text/event-stream")

    return app


async def _stream(server: ChatServer, model: str, wire: Wire) -> AsyncIterator[str]:
    """`stall-first` never sends a token; `stall-later` stops after the first one; `expert` is told what to say."""
    if model == "expert" and server.fault != "stall":
        await asyncio.sleep(server.delay_s)
        yield wire.begin
        for word in re.findall(r"\S+\s*", "" if server.fault == "empty" else server.answer):
            yield wire.word(word)
            if server.fault == "reset":
                raise ConnectionAbortedError("the provider goes away in the middle of its answer")
        yield wire.end
        return
    if not model.startswith("stall") and model != "expert":
        for line in wire.replies[model]:
            yield line
        return
    yield wire.begin
    if model == "stall-later":
        yield wire.word("It")
    server.stalled.set()
    try:
        await asyncio.Event().wait()
    finally:
        server.disconnected.set()


@contextmanager
def running() -> Iterator[ChatServer]:
    """The server on a free port of the loopback, until the block ends."""
    server = ChatServer()
    listener = socket.create_server(("127.0.0.1", 0))
    server.port = listener.getsockname()[1]
    config = uvicorn.Config(_app(server), log_level="error", timeout_graceful_shutdown=1)
    http = uvicorn.Server(config)
    thread = threading.Thread(target=http.run, kwargs={"sockets": [listener]}, name="chat-server")
    thread.start()
    try:
        yield server
    finally:
        http.should_exit = True
        thread.join()
        listener.close()
