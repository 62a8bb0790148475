"""`@tool`: a typed Python function becomes a tool; its name, docstring and type hints are all there is to declare.

    @tool(acting=True, speaks=True)
    def book_table(people: int, day: Annotated[str, "E.g. 'friday'"], context: ToolContext) -> str:
        "Book a table."
        return f"A table for {people} is booked."

Rules of this file:
1. Plain functions run on a thread of the tools' lane, `async` ones as tasks; `inline=True` runs a plain one at once on
   the event loop, which only quick and pure code may ask for.
2. A parameter annotated `ToolContext` or `CallContext` is given the call, and is no argument of the model's.
3. Models write words where a number or a choice is meant ("ten", "Large"): what fits after that is forgiven, is.
4. `speaks=True` returns the words for the caller. Anything else that is returned is JSON for a model to phrase.
5. To refuse in words of your own, raise `NotUnderstood("Sorry, ...")`. Any other exception is told to the caller as a
   failure, never raised into the call.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints, overload

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic_core import PydanticSerializationError, to_jsonable_python

from voicebot.brain.tools_numbers import parse_number
from voicebot.brain.tools_types import TIMEOUT_S, CallContext, NotUnderstood, Tool, ToolContext, ToolResult
from voicebot.errors import ConfigError

Function = Callable[..., Any]
_CONTEXTS = (ToolContext, CallContext)


@overload
def tool(function: Function, /) -> Tool: ...


@overload
def tool(
    *,
    name: str = "",
    acting: bool = False,
    slow: bool = False,
    speaks: bool = False,
    remote: bool = False,
    inline: bool = False,
    timeout_s: float = TIMEOUT_S,
    working: str = "",
) -> Callable[[Function], Tool]: ...


def tool(
    function: Function | None = None,
    /,
    *,
    name: str = "",
    acting: bool = False,
    slow: bool = False,
    speaks: bool = False,
    remote: bool = False,
    inline: bool = False,
    timeout_s: float = TIMEOUT_S,
    working: str = "",
) -> Tool | Callable[[Function], Tool]:
    """Declare a function as a tool; the flags are those of `tools_types.Tool`, and `name` the function's own if "".

    Raises: ConfigError, with file and line, for a function without docstring or with a parameter that has no type.
    """

    def declare(function: Function) -> Tool:
        made = _Declared.of(function, speaks)
        awaited = inspect.iscoroutinefunction(function)
        if awaited and inline:
            raise ConfigError(f"{made.place}: an async tool cannot be inline; leave inline=True out")
        return Tool(
            name or function.__name__,
            inspect.cleandoc(function.__doc__ or ""),
            made.schema(),
            acting,
            made.run,
            made.run_async if awaited else None,
            "task" if awaited else "loop" if inline else "thread",
            slow,
            timeout_s,
            remote,
            working or Tool.working,
            source=made.place,
        )

    return declare if function is None else declare(function)


@dataclass(frozen=True, slots=True)
class _Declared:
    """A function with the model of its arguments. `context`: the parameter that gets the call, "" for none."""

    function: Function
    arguments: type[BaseModel]
    context: str
    speaks: bool
    place: str

    @classmethod
    def of(cls, function: Function, speaks: bool) -> _Declared:
        code = inspect.unwrap(function).__code__
        place = f"{code.co_filename}:{code.co_firstlineno} ({function.__name__})"
        if not (function.__doc__ or "").strip():
            raise ConfigError(f"{place}: a tool needs a docstring: it tells the model when to use it")
        try:
            hints = get_type_hints(function, include_extras=True)
        except NameError as error:
            raise ConfigError(f"{place}: a type hint cannot be resolved: {error}") from None
        context, fields = "", dict[str, Any]()
        for parameter in inspect.signature(function).parameters.values():
            if parameter.name not in hints or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise ConfigError(f"{place}: parameter {parameter} needs a type hint and a name of its own")
            if hints[parameter.name] in _CONTEXTS:
                context = parameter.name
            else:
                default = ... if parameter.default is parameter.empty else parameter.default
                fields[parameter.name] = (_described(hints[parameter.name]), default)
        try:
            model = create_model(function.__name__, __config__=ConfigDict(extra="ignore"), **fields)
            model.model_json_schema()
        except Exception as error:
            raise ConfigError(f"{place}: a parameter has a type that JSON cannot carry: {error}") from error
        return cls(function, model, context, speaks, place)

    def schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = _untitled(self.arguments.model_json_schema())
        return {"type": "object", "properties": {}, "required": []} | schema

    def run(self, context: Any, arguments: dict[str, Any]) -> ToolResult:
        return self._result(self.function(**self._bound(context, arguments)))

    async def run_async(self, context: Any, arguments: dict[str, Any]) -> ToolResult:
        return self._result(await self.function(**self._bound(context, arguments)))

    def _bound(self, context: Any, arguments: dict[str, Any]) -> dict[str, Any]:
        """The function's keyword arguments. Raises: NotUnderstood."""
        schema = self.arguments.model_json_schema()
        read = {key: _read(value, schema["properties"].get(key, {})) for key, value in arguments.items()}
        read = {key: value for key, value in read.items() if value is not None}
        try:
            valid = self.arguments.model_validate(read)
        except ValidationError as error:
            raise NotUnderstood(_in_words(error)) from None
        values = {key: getattr(valid, key) for key in self.arguments.model_fields}
        return values | ({self.context: context} if self.context else {})

    def _result(self, returned: Any) -> ToolResult:
        """Raises: TypeError for what is neither words nor JSON."""
        if isinstance(returned, ToolResult):
            return returned
        if self.speaks:
            if not isinstance(returned, str):
                raise TypeError(f"{self.place}: speaks=True must return the words, not {type(returned).__name__}")
            return ToolResult({"said": returned}, returned)
        try:
            value = to_jsonable_python(returned)
        except PydanticSerializationError as error:
            raise TypeError(f"{self.place}: what it returned is no JSON: {error}") from None
        if isinstance(value, dict):
            return ToolResult(value, "")
        return ToolResult({"done": True} if value is None else {"result": value}, "")


def _described(hint: Any) -> Any:
    """`Annotated[int, "How many"]`: the words are the parameter's description."""
    if get_origin(hint) is not Annotated:
        return hint
    kind, *extras = get_args(hint)
    words = [extra for extra in extras if isinstance(extra, str)]
    rest = [extra for extra in extras if not isinstance(extra, str)]
    return Annotated[(kind, *rest, *(Field(description=text) for text in words))]


def _untitled(schema: Any) -> Any:
    """Without pydantic's titles, which repeat the names and cost a model tokens."""
    if isinstance(schema, list):
        return [_untitled(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: _untitled(part) for key, part in schema.items() if not (key == "title" and isinstance(part, str))}


def _read(value: Any, schema: dict[str, Any]) -> Any:
    """A model's words as what the schema asks for, where they can be read so; None for "" (left out)."""
    if not isinstance(value, str):
        return value
    text = " ".join(value.split())
    kinds = {part.get("type") for part in (schema, *schema.get("anyOf", ()))}
    if "string" not in kinds and kinds & {"integer", "number"}:
        number = parse_number(text)
        return text if number is None else int(number) if number.denominator == 1 else float(number)
    choices = [choice for part in (schema, *schema.get("anyOf", ())) for choice in part.get("enum", ())]
    fits = [choice for choice in choices if str(choice).casefold() == text.casefold()]
    return fits[0] if fits else text or None


def _in_words(error: ValidationError) -> str:
    """The first fault as a sentence for the caller."""
    fault = error.errors(include_url=False)[0]
    name = " ".join(str(part) for part in fault["loc"]).replace("_", " ")
    if fault["type"] == "missing":
        return f"Sorry, I need to know the {name} for that."
    return f"Sorry, I did not understand the {name}."
