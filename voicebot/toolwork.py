"""Puts the tools of a server together from its settings: built in, the operator's files, MCP servers.

Constructing runs the operator's files and raises ConfigError; connecting happens in `load`, before the first call.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from voicebot.brain.notes import Notes
from voicebot.brain.toolbox import Toolbox, allowed
from voicebot.brain.tools import TOOLS
from voicebot.brain.tools_call import document_tool, end_call, note_tools, press_keys, transfer_tool
from voicebot.brain.tools_types import Tool
from voicebot.config import Config
from voicebot.config_brain import ToolsConfig
from voicebot.documents import Documents
from voicebot.errors import ConfigError
from voicebot.operator_tools import read_tools

if TYPE_CHECKING:
    from voicebot.mcp_tools import McpServer


ON_REQUEST = {press_keys.name}
"""Built-in tools that only a `tools.builtin` which names them gives: few callers want tones in their ear."""


class Toolwork:
    """A server's tools. Life: constructed, `load`ed, `box` handed to calls, `aclose`d after the last. Thread: loop."""

    def __init__(
        self, config: Config, clean: Callable[[str], bool] = lambda _text: False, documents: Documents | None = None
    ) -> None:
        """`clean`: whether a text has no personal details in it; see `brain.toolbox.allowed`. Raises: ConfigError."""
        self._config = config
        gate = allowed([*config.privacy.allow], clean)
        self.box = Toolbox(built_in(config.tools, documents), gate)
        for file in config.tools.files:
            self.box.add(read_tools(file))
        self._tasks: list[asyncio.Task[None]] = []

    async def load(self, group: asyncio.TaskGroup) -> None:
        """Start the threads and the MCP servers, whose tasks live in `group` until `aclose`. Raises: ConfigError."""
        await self.box.load()
        if given := self._config.tools.mcp:
            mcp_tools = await asyncio.to_thread(
                importlib.import_module, "voicebot.mcp_tools"
            )  # The SDK takes a second.
            servers: list[McpServer] = [mcp_tools.McpServer(name, one, self.box) for name, one in given.items()]
            self._tasks = [group.create_task(server.run(), name=f"mcp {server.name}") for server in servers]
            for server in servers:
                await server.ready
        self.check(self._config)

    async def aclose(self) -> None:
        """After the calls have ended. Idempotent."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self.box.aclose()

    def check(self, config: Config) -> None:
        """Raises: ConfigError, where a member of the fleet is to have a tool that is not there."""
        there = self.box.offered(None)
        for name, member in config.fleet.items():
            if missing := sorted(set(member.tools or ()) - set(there)):
                raise ConfigError(
                    f"fleet.{name}.tools: there is no tool {', '.join(missing)}; there are {', '.join(sorted(there))}"
                )


def built_in(config: ToolsConfig, documents: Documents | None = None) -> list[Tool]:
    """Those that the settings choose. Raises: ConfigError for a name that none has."""
    made: Iterable[Tool] = (*TOOLS.values(), end_call, press_keys, *note_tools(Notes(config.notes_dir)))
    tools = {tool.name: tool for tool in made}
    if config.transfer:
        tools["transfer_call"] = transfer_tool(config.transfer)
    if documents is not None:
        tools["search_documents"] = document_tool(documents.search)
    chosen = tools.keys() - ON_REQUEST if config.builtin is None else config.builtin
    if unknown := sorted(set(chosen) - set(tools)):
        raise ConfigError(f"tools.builtin: there is no {', '.join(unknown)}; there are {', '.join(sorted(tools))}")
    return [tool for name, tool in tools.items() if name in chosen]
