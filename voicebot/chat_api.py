"""/v1/chat/completions and /v1/models: the hybrid brain for clients that write, with its routing, privacy and ledger.

One request is one task of the server's, which puts pieces into a queue of at most PIECES; the response takes them out.
A client that goes away cancels the task.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from voicebot.api_errors import ApiError, error_body, read_json
from voicebot.api_keys import Keys
from voicebot.brain.agenda import Agenda
from voicebot.brain.composition import Writer, end_talk
from voicebot.brain.privacy import CallPrivacy
from voicebot.calls import Unavailable, new_call_id
from voicebot.chat_messages import HYBRID, ChatRequest, read_request, read_talk, read_wishes
from voicebot.core.composed import Piece, WroteAll, WroteCall, WroteText
from voicebot.core.events import PublishTurn
from voicebot.core.history import Line
from voicebot.core.wishes import Wishes
from voicebot.faults import outline
from voicebot.frontier import call_label
from voicebot.service import VoiceServer

log = logging.getLogger(__name__)
BODY_LIMIT = 1024 * 1024
PIECES = 64
KIND = "chat"
"""The transport's name of these requests in the books and the privacy settings."""


@dataclass(slots=True)
class Chat:
    """One request. `run` is its task; `pieces` ends with a `WroteAll`."""

    server: VoiceServer
    request: ChatRequest
    lines: list[Line]
    wishes: Wishes
    call: str = field(default_factory=lambda: f"chat-{new_call_id()}")
    pieces: asyncio.Queue[Piece] = field(default_factory=lambda: asyncio.Queue(PIECES))
    created: int = field(default_factory=lambda: round(time.time()))

    async def run(self) -> None:
        """Never raises but for its own cancellation."""
        try:
            with self.server.calls.slot():
                await self._write()
        except Unavailable as error:
            await self.pieces.put(WroteAll("failed", reason=str(error)))
        except Exception as error:  # noqa: BLE001 - a fault of ours ends this answer and no other
            log.error("chat %s: internal error: %s", self.call, outline(error))
            await self.pieces.put(WroteAll("failed", reason=f"internal error: {type(error).__name__}"))

    async def _write(self) -> None:
        deps = self.server.deps
        account, brain = deps.brain.account, deps.brain
        label = call_label(self.server.config.privacy, KIND, ())
        privacy = CallPrivacy(brain.default_label if label is None else label)
        for line in self.lines:
            words = json.dumps(line.tool.value) if line.tool is not None else line.text
            privacy.turn(line.turn, brain.label_of(words))
        turn = max((line.turn for line in self.lines), default=0) + 1
        agenda = Agenda(notify=lambda _text: None, last_words=self._last_words, call_id=self.call)
        heard = next((line.text for line in reversed(self.lines) if line.role == "user"), "")
        account.call_began(self.call, KIND, "")
        account.committed(self.call, turn, heard)
        said: list[str] = []

        async def emit(piece: Piece) -> None:
            if isinstance(piece, WroteText):
                said.append(piece.text)
            await self.pieces.put(piece)

        try:
            async with asyncio.TaskGroup() as group:
                writer = Writer(self.call, brain, privacy, deps.tools, agenda,
                                lambda work, name: group.create_task(work, name=f"{self.call} {name}"))  # fmt: skip
                await writer.write(turn, self.lines, self.wishes, emit)
        finally:
            account.spoken(self.call, PublishTurn(turn, heard, "".join(said), "", None, {}, ended=True))
            end_talk(self.call, brain, privacy, "answered")
            agenda.close()

    def _last_words(self) -> str:
        return next((line.text for line in reversed(self.lines) if line.role == "assistant" and line.text), "")

    # ---- in OpenAI's form

    def head(self, kind: str) -> dict[str, Any]:
        return {"id": self.call, "object": kind, "created": self.created, "model": self.request.model}

    async def whole(self) -> Response:
        """The answer in one piece. Raises: ApiError."""
        text: list[str] = []
        calls: list[WroteCall] = []
        while not isinstance(piece := await self.pieces.get(), WroteAll):
            if isinstance(piece, WroteText):
                text.append(piece.text)
            else:
                calls.append(piece)
        if piece.finish == "failed":
            raise failure(piece)
        message: dict[str, Any] = {"role": "assistant", "content": "".join(text) or None, "refusal": None}
        if calls:
            message["tool_calls"] = [self._shown(call) for call in calls]
        choice = {"index": 0, "message": message, "finish_reason": piece.finish, "logprobs": None}
        head = self.head("chat.completion") | {"system_fingerprint": piece.model or None}
        return JSONResponse(head | {"choices": [choice], "usage": usage_of(piece)})

    async def streamed(self, first: Piece) -> AsyncIterator[str]:
        """Server-sent events; `first` has been taken out already."""
        yield self._chunk({"role": "assistant", "content": ""})
        calls, piece = 0, first
        while not isinstance(piece, WroteAll):
            if isinstance(piece, WroteText):
                yield self._chunk({"content": piece.text})
            else:
                yield self._chunk({"tool_calls": [{"index": calls, **self._shown(piece)}]})
                calls += 1
            piece = await self.pieces.get()
        if piece.finish == "failed":
            error = failure(piece)
            yield _event(error_body(str(error), error.status, error.code))
            return
        yield self._chunk({}, piece.finish)
        if (self.request.stream_options or {}).get("include_usage"):
            yield _event(self.head("chat.completion.chunk") | {"choices": [], "usage": usage_of(piece)})
        yield "data: [DONE]\n\n"

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return _event(self.head("chat.completion.chunk") | {"choices": [choice]})

    def _shown(self, call: WroteCall) -> dict[str, Any]:
        """A tool call. Its id is unique over requests: clients keep them."""
        function = {"name": call.name, "arguments": json.dumps(call.arguments)}
        return {"id": f"{call.call_id}_{self.call[-8:]}", "type": "function", "function": function}


def usage_of(end: WroteAll) -> dict[str, Any]:
    return {
        "prompt_tokens": end.prompt_tokens,
        "completion_tokens": end.completion_tokens,
        "total_tokens": end.prompt_tokens + end.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": end.cached_tokens},
    }


def failure(end: WroteAll) -> ApiError:
    """What a client is told of an answer that failed."""
    status = 400 if end.reason.startswith("EngineBadOutput") else 503
    return ApiError(end.reason, status, "engine_error")


def _event(body: dict[str, Any]) -> str:
    return f"data: {json.dumps(body, separators=(',', ':'))}\n\n"


def chat_routes(server: VoiceServer, keys: Keys) -> APIRouter:
    """Completions and the list of models."""
    router = APIRouter(prefix="/v1", tags=["chat"])
    schema = {"requestBody": {"content": {"application/json": {"schema": ChatRequest.model_json_schema()}}}}

    @router.post("/chat/completions", openapi_extra=schema, response_model=None)
    async def completions(request: Request) -> Response:
        """Answer a conversation, in one piece or as server-sent events."""
        keys.check(request)
        asked = read_request(await read_json(request, BODY_LIMIT))
        lines, instructions = read_talk(asked)
        _find_model(server, asked.model)
        chat = Chat(server, asked, lines, read_wishes(asked, instructions))
        task = server.spawn(chat.run(), f"chat {chat.call}")
        try:
            if not asked.stream:
                return await chat.whole()
            first = await chat.pieces.get()
        except BaseException:
            task.cancel()
            raise
        if isinstance(first, WroteAll) and first.finish == "failed":
            raise failure(first)
        return StreamingResponse(_until_gone(chat, task, first), media_type="text/event-stream")

    @router.get("/models")
    async def models(request: Request) -> dict[str, Any]:
        """The hybrid, and each member of the fleet alone."""
        keys.check(request)
        return {"object": "list", "data": [_model(name) for name in _models(server)]}

    @router.get("/models/{name}")
    async def model(request: Request, name: str) -> dict[str, Any]:
        """One of them."""
        keys.check(request)
        _find_model(server, name)
        return _model(name)

    return router


async def _until_gone(chat: Chat, task: asyncio.Task[None], first: Piece) -> AsyncIterator[str]:
    """The stream; a client that goes away ends the work."""
    try:
        async for event in chat.streamed(first):
            yield event
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _models(server: VoiceServer) -> list[str]:
    return [HYBRID, *(member.name for member in server.fleet)]


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "voicebot"}


def _find_model(server: VoiceServer, name: str) -> None:
    """Raises: ApiError 404."""
    known = _models(server)
    if name not in known:
        raise ApiError(f"no model {name[:80]!r}; there are {', '.join(known)}", 404, "model_not_found", "model")
