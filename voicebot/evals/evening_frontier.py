"""A GGUF behind an OpenAI-compatible server in a process of its own, slow as a frontier model is: for `evals.evening`.

`python -m voicebot.evals.evening_frontier MODEL.gguf PORT SEED [UPSTREAM]`; with the port of another such server on
this machine, only the waiting is done here and that one answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from starlette.background import BackgroundTask

from voicebot.engines.base import LlmDone, LlmEngine, LlmRequest, Message, Sampling, TextDelta
from voicebot.engines.registry import create
from voicebot.lane import Lane

DELAY_S = (1.0, 4.0)
"""Before the first word: frontier models' 95th percentile, as it was measured by others."""
TOKENS = 60
"""Longest answer."""


def app_of(model: str, rng: Random) -> FastAPI:
    """`POST /v1/chat/completions`, streaming only, with usage at the end."""
    lane: Lane[LlmEngine] = Lane(create("llm", f"llama://{model}?ctx=2048"))

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await lane.load()
        yield
        await lane.aclose()

    app = FastAPI(lifespan=lifespan)

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> StreamingResponse:
        body = await request.json()
        messages = [Message(one["role"], one["content"]) for one in body["messages"]]
        return StreamingResponse(answer(lane, messages, rng.uniform(*DELAY_S)), media_type="text/event-stream")

    return app


async def answer(lane: Lane[LlmEngine], messages: list[Message], delay_s: float) -> AsyncIterator[str]:
    """Server-sent events. Cancellation: the client has gone; the model stops."""
    await asyncio.sleep(delay_s)
    asked = LlmRequest(messages, sampling=Sampling(max_tokens=TOKENS))
    async for chunk in lane.stream(lambda cancel: lane.engine.generate(asked, cancel)):
        if isinstance(chunk, TextDelta):
            yield _event(choices=[{"index": 0, "delta": {"content": chunk.text}, "finish_reason": None}])
        elif isinstance(chunk, LlmDone):
            yield _event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
            usage = {"prompt_tokens": chunk.prompt_tokens, "completion_tokens": chunk.completion_tokens}
            yield _event(choices=[], usage={**usage, "total_tokens": sum(usage.values())})
    yield "data: [DONE]\n\n"


def _event(**fields: Any) -> str:
    whole = {"id": "evening", "object": "chat.completion.chunk", "created": 0, "model": "evening", **fields}
    return f"data: {json.dumps(whole)}\n\n"


def waiting_app(upstream: int, rng: Random) -> FastAPI:
    """Every request after a while, to the server at port `upstream`; its answer as it comes."""
    app = FastAPI()

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> StreamingResponse:
        body = await request.body()
        await asyncio.sleep(rng.uniform(*DELAY_S))
        client = httpx.AsyncClient(timeout=60)
        asked = client.build_request("POST", f"http://127.0.0.1:{upstream}{request.url.path}", content=body,
                                     headers={"content-type": "application/json"})  # fmt: skip
        answer = await client.send(asked, stream=True)

        async def close() -> None:
            await answer.aclose()
            await client.aclose()

        kind = answer.headers.get("content-type")
        return StreamingResponse(
            answer.aiter_raw(), answer.status_code, media_type=kind, background=BackgroundTask(close)
        )

    return app


if __name__ == "__main__":
    drawn = Random(sys.argv[3])
    app = waiting_app(int(sys.argv[4]), drawn) if len(sys.argv) > 4 else app_of(sys.argv[1], drawn)
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="error")
