"""The tools of a server: names, groups, the gate, and that whatever a tool does, words come back."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest

from tests.brain.fake_context import FakeContext
from voicebot.brain.toolbox import VALUE_CHARS, Toolbox, allowed
from voicebot.brain.tools_declare import tool
from voicebot.brain.tools_types import NotUnderstood, Tool, ToolContext, ToolResult
from voicebot.core.labels import Label
from voicebot.errors import ConfigError

CANARY = "seven four two canary"


def plain(name: str = "plain", result: Any = None, **flags: Any) -> Tool:
    async def work(_context: Any, _arguments: dict[str, Any]) -> ToolResult:
        if isinstance(result, Exception):
            raise result
        if result == "sleep":
            await asyncio.sleep(60)
        return ToolResult({"done": True} if result is None else result, "Done.")

    return Tool(name, "Plain.", {"type": "object"}, flags.pop("acting", False), lambda _c, _a: ToolResult({}, ""), work,
                "task", **flags)  # fmt: skip


def outcome(box: Toolbox, tool: Tool, arguments: Any = None, label: Label = Label.OPEN) -> ToolResult:
    async def main() -> ToolResult:
        await box.load()
        try:
            return await box.run(tool, FakeContext(), {} if arguments is None else arguments, label)
        finally:
            await box.aclose()

    return asyncio.run(main())


def test_two_tools_of_one_name_are_refused_with_the_places_of_both() -> None:
    with pytest.raises(ConfigError, match=r"b\.py:3: a tool called plain is there already \(a\.py:1\)"):
        Toolbox([plain(source="a.py:1"), plain(source="b.py:3")])


def test_a_group_gives_way_to_names_that_are_taken_and_is_replaced_as_a_whole() -> None:
    box = Toolbox([plain("look")])
    box.put_group("shop", [plain("look"), plain("buy now!")])
    assert set(box.offered(None)) == {"look", "shop_look", "buy_now_"}
    box.put_group("shop", [plain("buy")])
    assert set(box.offered(None)) == {"look", "buy"}
    assert set(box.offered(["buy", "gone"])) == {"buy"}


def test_a_fault_is_told_in_words_and_logged_with_its_place_but_not_with_what_was_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        result = outcome(Toolbox([]), plain(result=ValueError(CANARY)), {"text": CANARY})
    assert result.failed and result.speech == "Sorry, that did not work."
    assert "ValueError at" in caplog.text and "test_toolbox.py:" in caplog.text
    assert CANARY not in caplog.text and CANARY not in str(result.value)


def test_a_refusal_in_the_tools_own_words_is_what_the_caller_hears() -> None:
    assert outcome(Toolbox([]), plain(result=NotUnderstood("We are closed."))).speech == "We are closed."


def test_a_tool_that_takes_too_long_has_failed_and_one_that_acts_may_have_done_it() -> None:
    late = outcome(Toolbox([]), plain(result="sleep", timeout_s=0.01))
    unsure = outcome(Toolbox([]), plain(result="sleep", timeout_s=0.01, acting=True))
    assert late.failed and "too long" in late.speech
    assert unsure.failed and "cannot tell whether it was done" in unsure.speech
    assert "Do not repeat" in unsure.value["error"]


def test_what_is_no_json_has_failed_and_what_is_too_long_is_cut() -> None:
    assert outcome(Toolbox([]), plain(result={"x": object()})).failed
    cut = outcome(Toolbox([]), plain(result={"text": "a" * 2 * VALUE_CHARS}))
    assert len(cut.value["beginning"]) == VALUE_CHARS and cut.speech == "Done."


def test_a_plain_function_runs_on_a_thread_and_sees_the_call_through_the_loop() -> None:
    threads = []

    @tool(speaks=True)
    def remind(context: ToolContext) -> str:
        """Remind."""
        threads.append(threading.current_thread() is threading.main_thread())
        return f"You said {context.last_reply()} at volume {context.volume()}."

    assert outcome(Toolbox([]), remind).speech == "You said It is noon. at volume 50."
    assert threads == [False]


REMOTE = {"remote": True, "host": "tools.example"}


@pytest.mark.parametrize(
    ("label", "allow", "clean", "passes"),
    [
        (Label.OPEN, ["tools.example"], False, True),
        (Label.REDACT, ["tools.example"], True, True),
        (Label.REDACT, ["tools.example"], False, False),
        (Label.LOCAL_ONLY, ["tools.example"], True, False),
        (Label.OPEN, [], True, False),
    ],
)
def test_a_remote_tool_gets_only_what_the_rules_let_out(
    label: Label, allow: list[str], clean: bool, passes: bool
) -> None:
    result = outcome(Toolbox([], allowed(allow, lambda _text: clean)), plain(**REMOTE), label=label)
    assert result.failed is not passes
    assert passes or "send what you said elsewhere" in result.speech


def test_without_a_gate_nothing_leaves() -> None:
    assert outcome(Toolbox([]), plain(**REMOTE)).failed
