"""Tools of real MCP servers, each a process of its own: over stdio and HTTP, past the privacy gate, lost and found."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.brain.fake_context import FakeContext
from voicebot.brain.toolbox import Toolbox, allowed
from voicebot.brain.tools_types import ToolResult
from voicebot.config import load_config
from voicebot.config_brain import McpConfig
from voicebot.core.labels import Label
from voicebot.errors import ConfigError
from voicebot.mcp_tools import McpServer
from voicebot.toolwork import Toolwork

pytestmark = pytest.mark.realtime
PROGRAM = (sys.executable, str(Path(__file__).with_name("mcp_server.py")))


@contextlib.asynccontextmanager
async def connected(given: McpConfig, box: Toolbox) -> AsyncIterator[McpServer]:
    server = McpServer("shop", given, box)
    task = asyncio.create_task(server.run())
    try:
        await server.ready
        yield server
    finally:
        task.cancel()
        await asyncio.wait({task})


async def call(box: Toolbox, name: str, label: Label = Label.OPEN, **arguments: Any) -> ToolResult:
    tool = box.find(name)
    assert tool is not None
    return await box.run(tool, FakeContext(), arguments, label)


def test_a_program_gives_its_tools_and_answers_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_KEY", "key-1")

    async def main() -> None:
        box = Toolbox([])
        async with connected(McpConfig(command=PROGRAM, env=("SHOP_KEY",), local=True, slow=("order",)), box):
            offered = box.offered(None)
            assert {name: (tool.acting, tool.slow) for name, tool in offered.items()} == {
                "stock": (False, False), "order": (True, True), "broken": (True, False), "die": (True, False),
            }  # fmt: skip
            assert offered["stock"].parameters["properties"]["item"]["type"] == "string"
            assert (await call(box, "stock", item="tea")).value == {"item": "tea", "left": 3}
            ordered = await call(box, "order", item="tea")
            assert ordered.value == {"result": "1 orders, key key-1"} and ordered.speech == ""
            failed = await call(box, "broken", item="tea")
            assert failed.failed and not failed.speech
        assert not box.offered(None), "a closed connection offers nothing"

    asyncio.run(main())


def test_what_a_server_is_given_passes_the_gate_unless_it_is_declared_local() -> None:
    async def main() -> None:
        box = Toolbox([], allowed(["shop"], lambda text: "canary" not in text))
        async with connected(McpConfig(command=PROGRAM), box):
            assert not (await call(box, "stock", Label.REDACT, item="tea")).failed
            assert (await call(box, "order", Label.REDACT, item="canary")).failed
            assert (await call(box, "order", Label.LOCAL_ONLY, item="tea")).failed
            first = await call(box, "order", Label.OPEN, item="tea")
            assert first.value["result"].startswith("1 orders"), "what was refused never reached it"

    asyncio.run(main())


def test_a_program_that_dies_fails_that_call_only_and_is_started_again() -> None:
    async def main() -> None:
        box = Toolbox([])
        async with connected(McpConfig(command=PROGRAM, local=True), box):
            died = await call(box, "die")
            assert died.failed and died.speech == "Sorry, that did not work."
            async with asyncio.timeout(20):
                while box.find("stock") is not None:
                    await asyncio.sleep(0.01)
                while box.find("stock") is None:
                    await asyncio.sleep(0.05)
            assert (await call(box, "stock", item="tea")).value["left"] == 3

    asyncio.run(main())


@pytest.fixture
def port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        number: int = listener.getsockname()[1]
    process = subprocess.Popen([*PROGRAM, str(number)], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", number), 1):
                break
            time.sleep(0.05)
        yield number
    finally:
        process.kill()
        process.wait()


def test_a_server_by_url_gives_only_the_tools_that_are_wanted(port: int) -> None:
    async def main() -> None:
        box = Toolbox([])
        given = McpConfig(url=f"http://127.0.0.1:{port}/mcp", local=True, tools=("stock", "order"), acting=())
        async with connected(given, box):
            assert set(box.offered(None)) == {"stock", "order"}
            assert not box.offered(None)["order"].acting
            assert (await call(box, "stock", item="tea")).value["left"] == 3

    asyncio.run(main())


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ('{command = ["/no/such/program"]}', r"tools\.mcp\.shop: /no/such/program: "),
        ('{url = "http://127.0.0.1:9/mcp"}', r"tools\.mcp\.shop: http://127\.0\.0\.1:9/mcp"),
        (f'{{command = ["{PROGRAM[0]}", "{PROGRAM[1]}"], tools = ["fly"]}}', "it has no tool fly; it has stock, order"),
    ],
)
def test_a_server_that_is_not_there_at_the_start_is_said_by_name(setting: str, said: str) -> None:
    async def main() -> None:
        work = Toolwork(load_config(env={}, overrides=[f"tools.mcp={{shop = {setting}}}"]))
        try:
            async with asyncio.TaskGroup() as group:
                await work.load(group)
        finally:
            await work.aclose()

    with pytest.raises(ExceptionGroup) as errors:
        asyncio.run(main())
    assert errors.group_contains(ConfigError, match=said)
