"""A typed function as a tool: its schema, what it forgives of a model's words, and what it refuses in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest

from tests.brain.fake_context import FakeContext
from voicebot.brain.tools_declare import tool
from voicebot.brain.tools_types import NotUnderstood, ToolContext, ToolResult
from voicebot.errors import ConfigError


@dataclass
class Guest:
    name: str
    age: int = 30


@tool(acting=True)
def order(
    many: Annotated[int, "How many"],
    size: Literal["Large", "small"],
    context: ToolContext,
    extras: list[str] | None = None,
    guest: Guest | None = None,
) -> dict[str, Any]:
    """Order pizza."""
    return {"many": many, "size": size, "extras": extras, "guest": guest, "said": context.last_reply()}


def test_name_docstring_and_hints_become_the_schema_and_the_context_is_no_argument() -> None:
    assert (order.name, order.description, order.acting, order.where) == ("order", "Order pizza.", True, "thread")
    properties = order.parameters["properties"]
    assert properties["many"] == {"type": "integer", "description": "How many"}
    assert properties["size"] == {"type": "string", "enum": ["Large", "small"]}
    assert set(properties) == {"many", "size", "extras", "guest"}
    assert order.parameters["required"] == ["many", "size"]


def test_words_for_numbers_and_choices_are_understood_and_the_result_is_json() -> None:
    result = order.run(FakeContext(), {"many": "ten", "size": " large", "guest": {"name": "Ann"}, "unknown": 1})
    value = {"many": 10, "size": "Large", "extras": None, "guest": {"name": "Ann", "age": 30}, "said": "It is noon."}
    assert result == ToolResult(value, "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"size": "small"}, "Sorry, I need to know the many for that."),
        ({"many": "3", "size": "huge"}, "Sorry, I did not understand the size."),
    ],
)
def test_arguments_that_do_not_fit_are_refused_in_words(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(NotUnderstood) as refused:
        order.run(FakeContext(), arguments)
    assert str(refused.value) == said


def test_a_speaking_tool_returns_the_words_and_anything_else_is_its_fault() -> None:
    @tool(speaks=True, inline=True)
    def greet(name: str) -> Any:
        """Greet."""
        return f"Hello {name}." if name != "nobody" else 7

    assert greet.where == "loop" and greet.run(None, {"name": "Ann"}).speech == "Hello Ann."
    with pytest.raises(TypeError, match="must return the words, not int"):
        greet.run(None, {"name": "nobody"})


def test_a_function_without_docstring_or_type_names_its_file_and_line() -> None:
    def bare(x: int) -> int:
        return x

    def untyped(x) -> None:  # type: ignore[no-untyped-def]
        """Do."""

    with pytest.raises(ConfigError, match=r"test_tools_declare\.py:\d+ \(bare\): a tool needs a docstring"):
        tool(bare)
    with pytest.raises(ConfigError, match=r"\(untyped\): parameter x needs a type hint"):
        tool(untyped)


def test_what_acts_is_slow_or_leaves_this_machine_waits_for_the_commit() -> None:
    def look() -> str:
        """Look."""
        return ""

    assert not tool(look).waits
    assert tool(slow=True)(look).waits and tool(remote=True)(look).waits and order.waits
