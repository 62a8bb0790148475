"""A chat completion's request, read: OpenAI's messages as the lines of a talk and the client's wishes. Pure."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from voicebot.api_errors import ApiError
from voicebot.core.history import Line, ToolUse
from voicebot.core.wishes import Wishes
from voicebot.transports.realtime.refusals import refused

HYBRID = "voicebot"
"""The model's name by which the router chooses who answers."""
MESSAGES_LIMIT = 512


class ChatRequest(BaseModel):
    """The fields that are honoured. Those in `IGNORED` are taken and change nothing; any other is refused."""

    model_config = ConfigDict(extra="allow")
    model: str = HYBRID
    messages: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=MESSAGES_LIMIT)]
    stream: bool = False
    stream_options: dict[str, Any] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    stop: str | Annotated[list[str], Field(max_length=4)] | None = None
    seed: int | None = None
    n: Literal[1] | None = None
    tools: Annotated[list[dict[str, Any]], Field(max_length=128)] | None = None
    tool_choice: Literal["auto", "none"] | None = None
    response_format: dict[str, Any] | None = None


IGNORED = frozenset(
    "user metadata store parallel_tool_calls service_tier safety_identifier prompt_cache_key verbosity "
    "reasoning_effort presence_penalty frequency_penalty logit_bias logprobs top_logprobs".split()
)
"""Hints, and what our engines have no knob for."""


class _Function(BaseModel):
    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    description: str = ""
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})


class _Tool(BaseModel):
    type: Literal["function"]
    function: _Function


class _Called(BaseModel):
    name: str
    arguments: str


class _Call(BaseModel):
    id: str
    type: Literal["function"] = "function"
    function: _Called


class _Part(BaseModel):
    type: Literal["text"]
    text: str


class _Message(BaseModel):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[_Part] | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return " ".join(part.text for part in self.content)
        return self.content or ""


def read_request(body: dict[str, Any]) -> ChatRequest:
    """Raises: ApiError."""
    try:
        request = ChatRequest.model_validate(body)
    except ValidationError as error:
        fault = refused(error, "")
        raise ApiError(str(fault), 400, fault.code, fault.param) from None
    unknown = sorted(name for name in request.model_extra or {} if name not in IGNORED)
    if unknown:
        raise ApiError(f"unknown parameter: '{unknown[0]}'", 400, "unknown_parameter", unknown[0])
    return request


def read_talk(request: ChatRequest) -> tuple[list[Line], list[str]]:
    """The talk's lines, each with the number of the user's message that it belongs to, and the instructions.

    Raises: ApiError.
    """
    lines: list[Line] = []
    instructions: list[str] = []
    calls: dict[str, _Call] = {}
    turn = 0
    for at, given in enumerate(request.messages):
        message = _message(given, at)
        if message.role in ("system", "developer"):
            instructions.append(message.text)
        elif message.role == "user":
            turn += 1
            lines.append(Line("user", message.text, turn=turn))
        elif message.role == "assistant":
            calls |= {call.id: call for call in message.tool_calls or []}
            lines += [Line("assistant", message.text, turn=turn)] if message.text else []
        else:
            use = _use(message, calls, at)
            lines += [Line("assistant", tool=use, turn=turn), Line("tool", tool=use, turn=turn)]
    return lines, instructions


def _message(given: dict[str, Any], at: int) -> _Message:
    try:
        return _Message.model_validate(given)
    except ValidationError as error:
        fault = refused(error, f"messages[{at}]")
        raise ApiError(str(fault), 400, fault.code, fault.param) from None


def _use(message: _Message, calls: dict[str, _Call], at: int) -> ToolUse:
    """A tool's call with its result."""
    call = calls.get(message.tool_call_id or "")
    if call is None:
        where = f"messages[{at}].tool_call_id"
        raise ApiError(
            f"'{where}' answers no tool call before it: {message.tool_call_id!r}", 400, "invalid_value", where
        )
    try:
        arguments = json.loads(call.function.arguments or "{}")
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        raise ApiError(f"the arguments of tool call {call.id!r} are no JSON object", 400, "invalid_value", "messages")
    return ToolUse(call.id, call.function.name, arguments, {"output": message.text})


def read_wishes(request: ChatRequest, instructions: list[str]) -> Wishes:
    """Raises: ApiError."""
    stop = [request.stop] if isinstance(request.stop, str) else request.stop or []
    return Wishes(
        instructions="\n\n".join(part for part in instructions if part.strip()),
        tools=() if request.tool_choice == "none" else tuple(_tools(request)),
        temperature=request.temperature,
        top_p=request.top_p,
        max_tokens=request.max_completion_tokens or request.max_tokens,
        seed=request.seed,
        stop=tuple(stop),
        schema=_schema(request.response_format),
        looks_only=True,
        member="" if request.model == HYBRID else request.model,
    )


def _tools(request: ChatRequest) -> list[dict[str, Any]]:
    tools = []
    for at, given in enumerate(request.tools or []):
        try:
            tools.append(_Tool.model_validate(given).model_dump())
        except ValidationError as error:
            fault = refused(error, f"tools[{at}]")
            raise ApiError(str(fault), 400, fault.code, fault.param) from None
    return tools


def _schema(given: dict[str, Any] | None) -> dict[str, Any] | None:
    match given:
        case None | {"type": "text"}:
            return None
        case {"type": "json_object"}:
            return {"type": "object"}
        case {"type": "json_schema", "json_schema": {"schema": dict(schema)}}:
            return schema
        case _:
            raise ApiError("'response_format' is none of text, json_object, json_schema", 400, "invalid_value",
                           "response_format")  # fmt: skip
