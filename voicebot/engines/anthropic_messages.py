"""Anthropic's messages, at Anthropic or at any server that speaks as it does."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import Field

from voicebot.engines.base import LlmDone, LlmRequest, Message, TextDelta, ToolCall
from voicebot.engines.http_llm import NO_KEY, Address, HttpLlm, HttpOptions, clean, kind_of
from voicebot.engines.options import EngineSpec
from voicebot.engines.tool_calls import call_from
from voicebot.errors import EngineBadOutput, EngineError, EngineOverloaded, EngineTimeout, EngineUnavailable

HOST = "api.anthropic.com"
NOTHING = "(nothing was said)"
"""Stands where the protocol wants words of the user's and there are none: before a greeting, for silence."""
_REASONS = {"tool_use": "tool_calls", "max_tokens": "length", "model_context_window_exceeded": "length"}


class AnthropicLlm(HttpLlm):
    """`anthropic://[host[:port]]?model=...`. Remote, unless the host is this machine's loopback.

    Log-probabilities are never given, and temperature, top_p and seed are never sent: its newer models refuse them.
    """

    SDK = "anthropic"

    class Options(HttpOptions):
        key_env: str = Field("ANTHROPIC_API_KEY", pattern=r"^[A-Za-z_]\w*$")
        effort: str = ""
        """How long the model thinks, in Anthropic's words ("low"); its thoughts count in max_tokens."""

    def __init__(self, spec: EngineSpec, options: Options) -> None:
        """Raises: ConfigError for a URL whose host cannot be read."""
        super().__init__(spec, options, Address.of(spec, options, HOST))
        self._options = options

    def _open_client(self) -> Any:
        from anthropic import AsyncAnthropic, DefaultAsyncHttpxClient, Timeout

        return AsyncAnthropic(
            base_url=self._address.base_url,
            api_key=self._key or NO_KEY,
            max_retries=0,
            timeout=Timeout(None, connect=self._options.connect_s),
            open_telemetry=False,  # By the environment its spans could carry what is said.
            http_client=DefaultAsyncHttpxClient(**self._http_options),
        )

    async def _post(self, body: bytes, client: Any) -> Any:
        from anthropic import AsyncStream
        from anthropic.types import Message as AnthropicMessage
        from anthropic.types import RawMessageStreamEvent

        return await client.post(
            "/v1/messages",
            cast_to=AnthropicMessage,
            content=body,
            stream=True,
            stream_cls=AsyncStream[RawMessageStreamEvent],
        )

    def _fields(self, request: LlmRequest) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._options.model,
            "max_tokens": request.sampling.max_tokens,
            "messages": _wire_messages(request.messages),
            "stream": True,
        }
        output: dict[str, Any] = {"effort": self._options.effort} if self._options.effort else {}
        if request.schema is not None:
            output["format"] = {"type": "json_schema", "schema": dict(request.schema)}
        optional = {
            "system": "\n\n".join(clean(one.text) for one in request.messages if one.role == "system" and one.text),
            "stop_sequences": list(request.sampling.stop),
            "tools": [_wire_tool(tool["function"]) for tool in request.tools],
            "output_config": output,
        }
        return body | {name: value for name, value in optional.items() if value}

    def _reply(self) -> _Reply:
        return _Reply(self.name)

    def _translate(self, error: Exception) -> EngineError:
        return translate(self.name, error)


class _Reply:
    """What the events of a message's stream add up to."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._calls: dict[int, dict[str, str]] = {}
        self._stop_reason: str | None = None
        self._cached = self._prompt = self._completion = 0
        self.begun = False

    def take(self, chunk: Any) -> Iterator[TextDelta]:
        match chunk.type:
            case "message_start":
                usage = chunk.message.usage
                self._cached = usage.cache_read_input_tokens or 0
                self._prompt = usage.input_tokens + self._cached + (usage.cache_creation_input_tokens or 0)
            case "content_block_start" if chunk.content_block.type == "tool_use":
                self.begun = True
                block = chunk.content_block
                self._calls[chunk.index] = {"id": block.id, "name": block.name, "arguments": ""}
            case "content_block_delta" if chunk.delta.type == "input_json_delta":
                self._calls[chunk.index]["arguments"] += chunk.delta.partial_json
            case "content_block_delta" if chunk.delta.type == "text_delta" and chunk.delta.text:
                self.begun = True
                yield TextDelta(chunk.delta.text)
            case "message_delta":
                self._stop_reason = chunk.delta.stop_reason or self._stop_reason
                self._completion = chunk.usage.output_tokens

    def finish(self) -> Iterator[ToolCall | LlmDone]:
        """Raises: EngineBadOutput for a broken tool call or a stream that ended without a stop reason."""
        if self._stop_reason is None:
            raise EngineBadOutput(f"{self._model} ended its stream without saying that the reply is finished")
        for index in sorted(self._calls):
            call = self._calls[index]
            yield call_from({"name": call["name"], "arguments": call["arguments"]}, call["id"])
        reason: Any = _REASONS.get(self._stop_reason, "stop")
        yield LlmDone(reason, self._prompt, self._cached, self._completion, math.nan, math.nan)


def translate(model: str, error: Exception) -> EngineError:
    """A foreign exception as ours. What the server says is left out: it may repeat the prompt."""
    import anthropic

    said = f"{model}: {kind_of(error, _type_of(error))}"
    if isinstance(error, anthropic.APITimeoutError):
        return EngineTimeout(f"{said}; the server could not be reached in time, check the URL or raise connect_s")
    status = error.status_code if isinstance(error, anthropic.APIStatusError) else 0
    kind = _type_of(error)
    if status in (429, 529) or kind in ("rate_limit_error", "overloaded_error"):
        return EngineOverloaded(f"{said}; wait, or raise the account's limits")
    if status in (401, 403):
        return EngineUnavailable(f"{model}: the server refused the key (HTTP {status}); check key_env")
    if status >= 500 or kind == "api_error" or isinstance(error, anthropic.APIConnectionError):
        return EngineUnavailable(f"{said}; check the URL and that the server is up", retryable=True)
    if status == 404:
        return EngineUnavailable(f"{said}; check the URL and the model's name")
    if isinstance(error, (anthropic.AnthropicError, ValueError)):
        return EngineBadOutput(f"{said}; the server does not speak as Anthropic's do, or refuses this request")
    return EngineUnavailable(f"{said}; the connection broke in the middle of the reply", retryable=True)


def _type_of(error: Exception) -> str:
    """Anthropic's own name of an error, "" where it gave none."""
    body = getattr(error, "body", None)
    inner = body.get("error") if isinstance(body, dict) else None
    return str(inner.get("type", "")) if isinstance(inner, dict) else ""


def _wire_tool(function: dict[str, Any]) -> dict[str, Any]:
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    return {"name": function["name"], "description": function.get("description", ""), "input_schema": schema}


def _wire_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Turns that alternate and begin with the user's, as the protocol wants them; empty ones are left out."""
    blocks = [(role, block) for message in messages for role, block in _blocks(message)]
    turns = [
        {"role": role, "content": [block for _, block in group]}
        for role, group in itertools.groupby(blocks, key=lambda one: one[0])
    ]
    nothing = {"role": "user", "content": [{"type": "text", "text": NOTHING}]}
    begun = turns if turns and turns[0]["role"] == "user" else [nothing, *turns]
    return begun if begun[-1]["role"] == "user" else [*begun, nothing]


def _blocks(message: Message) -> Iterator[tuple[str, dict[str, Any]]]:
    """A message's parts, each with the role under which it is sent."""
    text = clean(message.text)
    if message.role == "tool":
        yield "user", {"type": "tool_result", "tool_use_id": message.tool_call_id, "content": text}
    elif message.role != "system":
        if text.strip():
            yield message.role, {"type": "text", "text": text}
        for call in message.tool_calls:
            yield message.role, {"type": "tool_use", "id": call.call_id, "name": call.name, "input": call.arguments}
