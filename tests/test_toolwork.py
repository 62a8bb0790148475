"""The tools that the settings name: the operator's files, the built-in ones, and what is said when one is not there."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.test_server import STREAM, serving, start_of, until
from tests.transports.telephony.test_twilio import CONNECTED
from voicebot.brain.tools import TOOLS
from voicebot.config import load_config
from voicebot.errors import ConfigError
from voicebot.operator_tools import read_tools
from voicebot.toolwork import Toolwork

GOOD = '''
from __future__ import annotations
from dataclasses import dataclass
from voicebot.tools import CallContext, tool

@dataclass
class Table:
    people: int

@tool(acting=True, speaks=True)
def book_table(table: Table, context: CallContext) -> str:
    """Book a table."""
    return f"A table for {table.people}."
'''


def file(tmp_path: Path, text: str, name: str = "mine.py") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def work(*overrides: str) -> Toolwork:
    return Toolwork(load_config(env={}, overrides=overrides))


def test_a_file_of_the_operators_becomes_tools_beside_the_built_in_ones(tmp_path: Path) -> None:
    (one,) = read_tools(file(tmp_path, GOOD))
    assert (one.name, one.acting, one.where) == ("book_table", True, "thread")
    assert one.source.endswith("mine.py:10 (book_table)")
    offered = work(f'tools.files=["{tmp_path / "mine.py"}"]').box.offered(None)
    assert set(offered) == {*TOOLS, "end_call", "take_note", "read_notes", "book_table"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def f(:\n    pass\n", r"mine\.py:1: invalid syntax"),
        ("\n\nimport no_such_module_here\n", r"mine\.py:3: ModuleNotFoundError: No module named"),
        ("x = 1\n", "declares no tool; put @tool before"),
        (GOOD.replace('"""Book a table."""', "pass"), r"mine\.py:10 \(book_table\): a tool needs a docstring"),
        (GOOD.replace("table: Table", "table"), r"mine\.py:10 \(book_table\): parameter table needs a type hint"),
        (GOOD.replace("book_table", "get_time"), r"mine\.py:10 \(get_time\): a tool called get_time is there already"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        work(f'tools.files=["{file(tmp_path, text)}"]')


def test_a_file_that_is_not_there_is_said_by_name() -> None:
    with pytest.raises(ConfigError, match="there is no file /no/such/tools.py"):
        work('tools.files=["/no/such/tools.py"]')


def test_built_in_tools_are_chosen_by_name_and_a_wrong_name_is_an_error() -> None:
    assert set(work('tools.builtin=["get_time", "end_call"]').box.offered(None)) == {"get_time", "end_call"}
    assert "transfer_call" in work('tools.transfer={Sales = "+15550001"}').box.offered(None)
    with pytest.raises(ConfigError, match=r"there is no get_tim; there are calculate, .*get_time"):
        work('tools.builtin=["get_tim"]')


def test_a_member_that_is_to_have_a_tool_that_is_not_there_is_said_before_the_first_call() -> None:
    async def main() -> None:
        made = work("fleet.talker.general=true", 'fleet.talker.tools=["fly"]')
        async with asyncio.TaskGroup() as group:
            try:
                await made.load(group)
            finally:
                await made.aclose()

    with pytest.raises(ExceptionGroup) as errors:
        asyncio.run(main())
    assert errors.group_contains(ConfigError, match=r"fleet\.talker\.tools: there is no tool fly")


def test_an_mcp_server_has_a_program_or_an_address() -> None:
    with pytest.raises(ConfigError, match="either command or url"):
        work("tools.mcp={shop = {}}")


@pytest.mark.realtime
def test_a_served_call_runs_an_operators_tool_on_a_thread_and_speaks_its_words(tmp_path: Path) -> None:
    wish = json.dumps({"name": "book_table", "arguments": {"table": {"people": 4}}}, separators=(",", ":"))
    settings = (f"engines.llm=scripted://?tool={quote(wish)}", f'tools.files=["{file(tmp_path, GOOD)}"]')
    with serving(tmp_path, *settings) as client, client.websocket_connect(STREAM) as far:
        for message in (CONNECTED, start_of("CA1"), pressed("1"), pressed("#")):
            far.send_json(message)
        until(lambda: any(turn["ended"] for turn in client.get("/api/calls/CA1").json()["turns"]))
        (turn,) = client.get("/api/calls/CA1").json()["turns"]
        assert turn["reply"] == "A table for 4."


def pressed(key: str) -> dict[str, Any]:
    return {
        "event": "dtmf",
        "streamSid": "MZ0",
        "sequenceNumber": "5",
        "dtmf": {"track": "inbound_track", "digit": key},
    }
