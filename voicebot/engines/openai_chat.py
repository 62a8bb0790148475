"""Any server that speaks OpenAI's chat completions: OpenAI itself, vLLM, llama-server, Ollama, ..."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field

from voicebot.engines.base import LlmDone, LlmRequest, Message, TextDelta, ToolCall
from voicebot.engines.http_llm import NO_KEY, Address, HttpLlm, HttpOptions, clean, kind_of
from voicebot.engines.options import EngineSpec
from voicebot.engines.tool_calls import call_from
from voicebot.errors import EngineBadOutput, EngineError, EngineOverloaded, EngineTimeout, EngineUnavailable

_REASONING = re.compile(r"(?:gpt-[5-9]|o\d)")
"""OpenAI's models that refuse a temperature. Source: its guide to reasoning models."""


class OpenAiLlm(HttpLlm):
    """`openai://host[:port]/v1?model=...`. Remote, unless the host is this machine's loopback."""

    SDK = "openai"

    class Options(HttpOptions):
        key_env: str = Field("OPENAI_API_KEY", pattern=r"^[A-Za-z_]\w*$")
        usage: bool = True
        """Ask for token counts at the end of the stream."""
        logprobs: bool = False
        limit_field: Literal["", "max_tokens", "max_completion_tokens"] = ""
        """What the server calls the token limit; "" is the newer name at openai.com and the older elsewhere."""
        sampling: bool | None = None
        """Whether to send temperature and top_p; by default yes, but not to OpenAI's reasoning models."""
        effort: str = ""
        """How long a reasoning model thinks, in the server's words ("low"); its thoughts count in max_tokens."""

    def __init__(self, spec: EngineSpec, options: Options) -> None:
        """Raises: ConfigError for a URL without a host."""
        super().__init__(spec, options, Address.of(spec, options))
        self._options = options
        host = self._address.host
        theirs = host == "openai.com" or host.endswith(".openai.com")
        self._limit_field = options.limit_field or ("max_completion_tokens" if theirs else "max_tokens")
        reasoning = theirs and _REASONING.match(options.model) is not None
        self._samples = not reasoning if options.sampling is None else options.sampling

    def _open_client(self) -> Any:
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient, Timeout

        return AsyncOpenAI(
            base_url=self._address.base_url,
            api_key=self._key or NO_KEY,
            max_retries=0,
            timeout=Timeout(None, connect=self._options.connect_s),
            http_client=DefaultAsyncHttpxClient(**self._http_options),
        )

    async def _post(self, body: bytes, client: Any) -> Any:
        from openai import AsyncStream
        from openai.types.chat import ChatCompletionChunk

        return await client.post(
            "/chat/completions",
            cast_to=ChatCompletionChunk,
            content=body,
            stream=True,
            stream_cls=AsyncStream[ChatCompletionChunk],
        )

    def _fields(self, request: LlmRequest) -> dict[str, Any]:
        sampling = request.sampling
        body: dict[str, Any] = {
            "model": self._options.model,
            "messages": [_wire_message(message) for message in request.messages],
            self._limit_field: sampling.max_tokens,
            "stream": True,
        }
        optional = {
            "temperature": sampling.temperature if self._samples else None,
            "top_p": sampling.top_p if self._samples else None,
            "tools": list(request.tools),
            "stop": list(sampling.stop),
            "seed": sampling.seed,
            "logprobs": self._options.logprobs or None,
            "reasoning_effort": self._options.effort or None,
            "stream_options": {"include_usage": True} if self._options.usage else None,
            "response_format": _response_format(request),
        }
        return body | {name: value for name, value in optional.items() if value not in (None, [])}

    def _reply(self) -> _Reply:
        return _Reply(self.name)

    def _translate(self, error: Exception) -> EngineError:
        return translate(self.name, error)


class _Reply:
    """What a stream of chunks adds up to."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._calls: dict[int, dict[str, str]] = {}
        self._finish_reason: str | None = None
        self._usage: Any = None
        self._logprobs: list[float] = []
        self._pieces = 0
        self.begun = False

    def take(self, chunk: Any) -> Iterator[TextDelta]:
        """Text comes at once; tool calls come in pieces and are kept for the end."""
        self._usage = getattr(chunk, "usage", None) or self._usage
        for choice in chunk.choices[:1]:
            self._finish_reason = choice.finish_reason or self._finish_reason
            if choice.logprobs and choice.logprobs.content:
                self._logprobs += [token.logprob for token in choice.logprobs.content]
            self.begun |= bool(choice.delta.content or choice.delta.tool_calls)
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

    said = f"{model}: {kind_of(error, getattr(error, 'code', None))}"
    if isinstance(error, openai.APITimeoutError):
        return EngineTimeout(f"{said}; the server could not be reached in time, check the URL or raise connect_s")
    if isinstance(error, openai.RateLimitError):
        return EngineOverloaded(f"{said}; wait, or raise the account's limits")
    if isinstance(error, (openai.AuthenticationError, openai.PermissionDeniedError)):
        return EngineUnavailable(f"{model}: the server refused the key (HTTP {error.status_code}); check key_env")
    if isinstance(error, (openai.InternalServerError, openai.APIConnectionError)):
        return EngineUnavailable(f"{said}; check the URL and that the server is up", retryable=True)
    if isinstance(error, openai.NotFoundError):
        return EngineUnavailable(f"{said}; check the URL and the model's name")
    if isinstance(error, (openai.APIError, ValueError)):
        return EngineBadOutput(f"{said}; the server does not speak as OpenAI's do, or refuses this request")
    return EngineUnavailable(f"{said}; the connection broke in the middle of the reply", retryable=True)


def _response_format(request: LlmRequest) -> dict[str, Any] | None:
    """Strict: a server that cannot keep to the schema must refuse the request."""
    if request.schema is None:
        return None
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": dict(request.schema), "strict": True}}


def _wire_message(message: Message) -> dict[str, Any]:
    """A message in OpenAI's form: tool arguments are JSON text."""
    fields: dict[str, Any] = {"role": message.role, "content": clean(message.text)}
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
