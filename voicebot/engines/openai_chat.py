"""Any server that speaks OpenAI's chat completions: OpenAI itself, vLLM, llama-server, Ollama, ...

Each lane thread has an event loop and an async client of its own. That is what makes a cancel prompt: a blocking read
cannot be interrupted from outside, but a task can be cancelled while no token arrives, and its connection is closed.
Nothing is retried here, and no redirect is followed: retrying is the caller's policy, and words go to one host only.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import math
import os
import re
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import Field

from voicebot.engines.base import Cancel, LlmChunk, LlmDone, LlmRequest, Locality, Message, TextDelta, ToolCall
from voicebot.engines.options import DriverOptions, EngineSpec
from voicebot.engines.tool_calls import call_from
from voicebot.errors import (
    ConfigError,
    EngineBadOutput,
    EngineError,
    EngineOverloaded,
    EngineTimeout,
    EngineUnavailable,
)

if TYPE_CHECKING:
    from openai import AsyncOpenAI

T = TypeVar("T")
POLL_S = 0.02
"""How often a waiting request looks at its cancellation token and its deadlines."""
NO_KEY = "none"
"""Sent to servers that want no key; the SDK insists on one."""


class OpenAiLlm:
    """`openai://host[:port]/v1?model=...`. Remote, unless the host is this machine's loopback; a `RemoteDriver`."""

    class Options(DriverOptions):
        model: str = Field(min_length=1)
        key_env: str = Field("OPENAI_API_KEY", pattern=r"^[A-Za-z_]\w*$")
        """The environment variable that holds the API key."""
        locality: Literal["", "remote"] = ""
        """"remote" guards a loopback address as if it were elsewhere: a tunnel or a proxy listens there. There is no
        "local": a host elsewhere cannot be declared to be here."""
        tls: bool | None = None
        """Whether to speak https; by default yes, but not to the loopback."""
        connect_s: float = Field(5.0, gt=0)
        first_token_s: float = Field(15.0, gt=0)
        total_s: float = Field(60.0, gt=0)
        max_concurrency: int = Field(8, ge=1, le=256)
        usage: bool = True
        """Ask for token counts at the end of the stream."""
        logprobs: bool = False
        limit_field: Literal["", "max_tokens", "max_completion_tokens"] = ""
        """What the server calls the token limit; "" is the newer name at openai.com and the older elsewhere."""

    def __init__(self, spec: EngineSpec, options: Options) -> None:
        """Raises: ConfigError for a URL without a host."""
        self._spec = spec
        self._options = options
        self.max_concurrency = options.max_concurrency
        try:
            parts = urlsplit(f"//{spec.target}")
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ConfigError(f"{spec.url}: {error}") from error
        if not host:
            raise ConfigError(f"{spec.url}: no host; write openai://host[:port]/v1?model=NAME")
        here = _is_loopback(host)
        self.locality: Locality = "local" if here and options.locality != "remote" else "remote"
        tls = not here if options.tls is None else options.tls
        self._base_url = f"{'https' if tls else 'http'}://{spec.target}"
        self.destination = f"{f'[{host}]' if ':' in host else host}:{port or (443 if tls else 80)}"
        newer = host == "openai.com" or host.endswith(".openai.com")
        self._limit_field = options.limit_field or ("max_completion_tokens" if newer else "max_tokens")
        self._key: str | None = None
        self._thread = threading.local()
        self._lock = threading.Lock()
        self._clients: list[_Client] = []

    @property
    def name(self) -> str:
        return f"openai {self._options.model}"

    def load(self) -> None:
        """No request is made: it may cost money. Raises: EngineUnavailable without the SDK or a remote's key."""
        try:
            import openai  # noqa: F401
        except ImportError as error:
            raise EngineUnavailable(f"openai:// needs the package openai: {error}") from error
        self._key = os.environ.get(self._options.key_env) or None
        if self._key is None and self.locality == "remote":
            raise EngineUnavailable(
                f"{self._spec.url}: no API key; set the environment variable {self._options.key_env}"
            )

    def close(self) -> None:
        """Idempotent. Thread: one that no request runs on; no request may be under way."""
        with self._lock:
            clients, self._clients = self._clients, []
            self._thread = threading.local()
        for client in clients:
            client.close()

    def generate(self, request: LlmRequest, cancel: Cancel) -> Iterator[LlmChunk]:
        """Cancellation: within `POLL_S`, also while nothing arrives; the connection is closed."""
        return self.send(self.body(request), cancel)

    def send(self, body: bytes, cancel: Cancel) -> Iterator[LlmChunk]:
        """Stream the reply to a body, which goes out byte for byte. Cancellation: as `generate`."""
        client = self._client()
        reply = _Reply(self.name)
        try:
            chunks = client.stream(body, cancel, self._options)
            for chunk in chunks:
                yield from reply.take(chunk)
        except EngineError:
            raise
        except Exception as error:  # the SDK, its HTTP client and JSON have no common base class
            raise translate(self.name, error) from error
        if not cancel.is_set():
            yield from reply.finish()

    def _client(self) -> _Client:
        """This thread's own."""
        client: _Client | None = getattr(self._thread, "client", None)
        if client is None:
            trust_env = self.locality == "remote"
            client = _Client(self._base_url, self._key or NO_KEY, self._options.connect_s, trust_env)
            self._thread.client = client
            with self._lock:
                self._clients.append(client)
        return client

    def body(self, request: LlmRequest) -> bytes:
        """Raises: EngineBadOutput for a request that JSON cannot hold."""
        try:
            return json.dumps(self._fields(request), ensure_ascii=False, separators=(",", ":")).encode()
        except (TypeError, ValueError) as error:
            raise EngineBadOutput(f"{self.name}: the request cannot be written: {type(error).__name__}") from None

    def _fields(self, request: LlmRequest) -> dict[str, Any]:
        sampling = request.sampling
        body: dict[str, Any] = {
            "model": self._options.model,
            "messages": [_wire_message(message) for message in request.messages],
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            self._limit_field: sampling.max_tokens,
            "stream": True,
        }
        optional = {
            "tools": list(request.tools),
            "stop": list(sampling.stop),
            "seed": sampling.seed,
            "logprobs": self._options.logprobs or None,
            "stream_options": {"include_usage": True} if self._options.usage else None,
            "response_format": _response_format(request),
        }
        return body | {name: value for name, value in optional.items() if value not in (None, [])}


class _Client:
    """An event loop and an async client that belong to one thread; connections are kept between requests."""

    def __init__(self, base_url: str, key: str, connect_s: float, trust_env: bool) -> None:
        """`trust_env`: take proxies from the environment; never to this machine itself."""
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient, Timeout

        self._loop = asyncio.new_event_loop()
        http = DefaultAsyncHttpxClient(follow_redirects=False, trust_env=trust_env)
        self._api: AsyncOpenAI = AsyncOpenAI(
            base_url=base_url, api_key=key, max_retries=0, timeout=Timeout(None, connect=connect_s), http_client=http
        )

    def stream(self, body: bytes, cancel: Cancel, options: OpenAiLlm.Options) -> Iterator[Any]:
        """The reply's chunks. Ends early when cancelled. Raises: EngineTimeout.

        The loop resolves names on a thread; it has one for the length of the request only, so that none is left.
        """
        resolver = ThreadPoolExecutor(max_workers=1, thread_name_prefix="openai-dns")
        self._loop.set_default_executor(resolver)
        try:
            yield from self._stream(body, cancel, options)
        finally:
            resolver.shutdown(wait=False, cancel_futures=True)

    def _stream(self, body: bytes, cancel: Cancel, options: OpenAiLlm.Options) -> Iterator[Any]:
        started = time.monotonic()
        first_by, all_by = started + options.first_token_s, started + options.total_s
        response = self._await(self._post(body), cancel, min(first_by, all_by))
        if response is None:
            return
        chunks: AsyncIterator[Any] = aiter(response)
        deadline = min(first_by, all_by)
        try:
            while (chunk := self._await(_next_or_none(chunks), cancel, deadline)) is not None:
                if chunk.choices:
                    deadline = all_by
                yield chunk
        finally:
            self._loop.run_until_complete(response.close())

    async def _post(self, body: bytes) -> Any:
        """The SDK's own request, but of a body that is written already: what was permitted is what is sent."""
        from openai import AsyncStream
        from openai.types.chat import ChatCompletionChunk

        return await self._api.post(
            "/chat/completions",
            cast_to=ChatCompletionChunk,
            content=body,
            stream=True,
            stream_cls=AsyncStream[ChatCompletionChunk],
        )

    def close(self) -> None:
        """Idempotent."""
        if not self._loop.is_closed():
            self._loop.run_until_complete(self._api.close())
            self._loop.close()

    def _await(self, awaitable: Awaitable[T], cancel: Cancel, deadline: float) -> T | None:
        """The result, or None if cancelled. Raises: EngineTimeout past the deadline (monotonic seconds)."""
        return self._loop.run_until_complete(self._watch(awaitable, cancel, deadline))

    async def _watch(self, awaitable: Awaitable[T], cancel: Cancel, deadline: float) -> T | None:
        task = asyncio.ensure_future(awaitable)
        try:
            while not task.done():
                if cancel.is_set():
                    return None
                left = deadline - time.monotonic()
                if left <= 0:
                    raise EngineTimeout("no answer in time; raise first_token_s or total_s, or use a faster model")
                await asyncio.wait({task}, timeout=min(POLL_S, left))
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})


async def _next_or_none(chunks: AsyncIterator[Any]) -> Any | None:
    return await anext(chunks, None)


class _Reply:
    """What a stream of chunks adds up to."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._calls: dict[int, dict[str, str]] = {}
        self._finish_reason: str | None = None
        self._usage: Any = None
        self._logprobs: list[float] = []
        self._pieces = 0

    def take(self, chunk: Any) -> Iterator[TextDelta]:
        """Text comes at once; tool calls come in pieces and are kept for the end."""
        self._usage = getattr(chunk, "usage", None) or self._usage
        for choice in chunk.choices[:1]:
            self._finish_reason = choice.finish_reason or self._finish_reason
            if choice.logprobs and choice.logprobs.content:
                self._logprobs += [token.logprob for token in choice.logprobs.content]
            for piece in choice.delta.tool_calls or []:
                self._take_call(piece)
            if choice.delta.content:
                self._pieces += 1
                yield TextDelta(choice.delta.content)

    def finish(self) -> Iterator[ToolCall | LlmDone]:
        """Raises: EngineBadOutput for a broken tool call or a stream that ended without a finish reason."""
        if self._finish_reason is None:
            raise EngineBadOutput(f"{self._model} ended its stream without saying that the reply is finished")
        for index in sorted(self._calls):
            call = self._calls[index]
            yield call_from({"name": call["name"], "arguments": call["arguments"]}, call["id"] or f"call_{index + 1}")
        yield self._done()

    def _take_call(self, piece: Any) -> None:
        call = self._calls.setdefault(piece.index, {"id": "", "name": "", "arguments": ""})
        call["id"] = piece.id or call["id"]
        if piece.function:
            call["name"] += piece.function.name or ""
            call["arguments"] += piece.function.arguments or ""

    def _done(self) -> LlmDone:
        details = getattr(self._usage, "prompt_tokens_details", None)
        return LlmDone(
            "tool_calls" if self._calls else "length" if self._finish_reason == "length" else "stop",
            self._usage.prompt_tokens if self._usage else 0,
            (details.cached_tokens or 0) if details else 0,
            self._usage.completion_tokens if self._usage else self._pieces,
            sum(self._logprobs) / len(self._logprobs) if self._logprobs else math.nan,
            min(self._logprobs, default=math.nan),
        )


def translate(model: str, error: Exception) -> EngineError:
    """A foreign exception as ours. What the server says is left out: it may repeat the prompt."""
    import openai

    said = f"{model}: {_kind(error)}"
    if isinstance(error, openai.APITimeoutError):
        return EngineTimeout(f"{said}; the server could not be reached in time, check the URL or raise connect_s")
    if isinstance(error, openai.RateLimitError):
        return EngineOverloaded(f"{said}; wait, or raise the account's limits")
    if isinstance(error, (openai.AuthenticationError, openai.PermissionDeniedError)):
        return EngineUnavailable(f"{model}: the server refused the key (HTTP {error.status_code}); check key_env")
    if isinstance(error, (openai.NotFoundError, openai.InternalServerError, openai.APIConnectionError)):
        return EngineUnavailable(f"{said}; check the URL, the model's name and that the server is up")
    if isinstance(error, (openai.APIError, ValueError)):
        return EngineBadOutput(f"{said}; the server does not speak as OpenAI's do, or refuses this request")
    return EngineUnavailable(f"{said}; the connection broke in the middle of the reply")


_CODE = re.compile(r"[\w.-]{1,60}")


def _kind(error: Exception) -> str:
    """An error's class, HTTP status and code: what tells it apart without a word of anybody's."""
    status, code = getattr(error, "status_code", None), getattr(error, "code", None)
    known = [f"HTTP {status}"] if status else []
    known += [code] if isinstance(code, str) and _CODE.fullmatch(code) else []
    cause = [type(error.__cause__).__name__] if error.__cause__ is not None else []
    return f"{type(error).__name__} ({', '.join(known or cause)})" if known or cause else type(error).__name__


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _response_format(request: LlmRequest) -> dict[str, Any] | None:
    """Strict: a server that cannot keep to the schema must refuse the request."""
    if request.schema is None:
        return None
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": dict(request.schema), "strict": True}}


def _wire_message(message: Message) -> dict[str, Any]:
    """A message in OpenAI's form: tool arguments are JSON text. Lone surrogates, which UTF-8 cannot hold, go."""
    text = message.text.encode("utf-8", errors="replace").decode()
    fields: dict[str, Any] = {"role": message.role, "content": text}
    if message.tool_calls:
        fields["tool_calls"] = [
            {
                "id": call.call_id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id:
        fields["tool_call_id"] = message.tool_call_id
    return fields
