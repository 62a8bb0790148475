"""Tools of an MCP server: connected before the first call, asked now and then what it offers, found again when lost.

    run:  connect -> tools into the toolbox -> ready ... lost -> tools out of it -> wait -> connect

Rules:
1. A server that does not answer when we start is a ConfigError: what was configured is there or the operator hears so.
   Later it may come and go; while it is gone its tools are not offered.
2. A tool acts unless the server says that it only reads, or the settings list those that act.
3. It is remote unless the operator has said `local = true`: nobody knows what a program does with what it is given.
4. Nothing is asked twice: a call whose connection broke has failed, and what came of it is unknown.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx2
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CONNECTION_CLOSED, CallToolResult, TextContent
from mcp_types import Tool as TheirTool

from voicebot.brain.toolbox import Toolbox
from voicebot.brain.tools_types import Tool, ToolResult
from voicebot.config_brain import McpConfig
from voicebot.errors import ConfigError, EngineUnavailable

log = logging.getLogger(__name__)
CONNECT_S = 15.0
"""For a server to start and answer; some fetch their own packages first."""
REFRESH_S = 30.0
"""How often it is asked what it offers, which is also how a silent loss is noticed."""
AGAIN_S = (1.0, 60.0)
"""Wait before the first try to connect again, and the longest; doubled each time."""
HTTP_READ_S = 300.0
"""A server may hold a stream of answers open; each call has its own, shorter limit."""
PAGES = 20
"""Of a server's list of tools; more are not asked for."""


class McpServer:
    """One server. `run` is its task, for as long as calls are taken. Thread: the loop."""

    def __init__(self, name: str, given: McpConfig, box: Toolbox) -> None:
        self.name = name
        self._given = given
        self._box = box
        self._client: Client | None = None
        self._lost = asyncio.Event()
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Its tools are in the toolbox. Raises: ConfigError, if it did not answer at the start."""

    async def run(self) -> None:
        """Keep the tools of this server in the toolbox. Cancellation: the connection is closed, its program ended."""
        wait_s = AGAIN_S[0]
        while True:
            try:
                async with self._connected():
                    wait_s = AGAIN_S[0]
                    await self._serve()
            except Exception as error:  # noqa: BLE001 - the SDK, its streams and its HTTP client have no common base
                if not self.ready.done():
                    self.ready.set_exception(ConfigError(f"tools.mcp.{self.name}: {_why(error, self._given)}"))
                    return
                log.warning(
                    "MCP server %s is gone: %s; trying again in %g s", self.name, _why(error, self._given), wait_s
                )
            finally:
                self._client = None
                self._box.put_group(self.name, [])
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, AGAIN_S[1])

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[None]:
        given = self._given
        if given.command:
            env = {name: os.environ[name] for name in given.env if name in os.environ}
            program = StdioServerParameters(command=given.command[0], args=list(given.command[1:]), env=env)
            async with _within(Client(program), CONNECT_S) as self._client:
                yield
            return
        token = os.environ.get(given.token_env, "") if given.token_env else ""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(CONNECT_S, read=HTTP_READ_S)) as http:
            far = streamable_http_client(given.url, http_client=http)
            async with _within(Client(far), CONNECT_S) as self._client:
                yield

    async def _serve(self) -> None:
        """Keep the list of tools fresh until the connection is lost. Raises: MCPError, TimeoutError, OSError."""
        self._lost.clear()
        while not self._lost.is_set():
            async with asyncio.timeout(CONNECT_S):
                listed = await self._listed()
            self._box.put_group(self.name, [self._tool(one) for one in listed])
            if not self.ready.done():
                self.ready.set_result(None)
            try:
                async with asyncio.timeout(REFRESH_S):
                    await self._lost.wait()
            except TimeoutError:
                continue
        raise ConnectionError("the connection broke")

    async def _listed(self) -> list[TheirTool]:
        assert self._client is not None
        found, cursor = list[TheirTool](), None
        for _ in range(PAGES):
            page = await self._client.list_tools(cursor=cursor, cache_mode="refresh")
            found += page.tools
            if (cursor := page.next_cursor) is None:
                break
        wanted = self._given.tools
        if wanted is not None and (missing := set(wanted) - {tool.name for tool in found}):
            raise LookupError(f"it has no tool {', '.join(sorted(missing))}; it has {', '.join(t.name for t in found)}")
        return [tool for tool in found if wanted is None or tool.name in wanted]

    def _tool(self, theirs: TheirTool) -> Tool:
        given, name = self._given, theirs.name
        reads = bool(theirs.annotations and theirs.annotations.read_only_hint)
        acting = name in given.acting if given.acting is not None else not reads

        async def run(_context: Any, arguments: dict[str, Any]) -> ToolResult:
            return await self._call(name, arguments)

        return Tool(
            name,
            theirs.description or theirs.title or name,
            theirs.input_schema,
            acting,
            _not_here,
            run,
            "task",
            slow=name in given.slow,
            timeout_s=given.timeout_s,
            remote=not given.local,
            host=urlsplit(given.url).hostname or self.name,
            source=f"MCP server {self.name}",
        )

    async def _call(self, name: str, arguments: dict[str, Any]) -> ToolResult:
        """Raises: EngineUnavailable, without what the server said: the caller's words may be in that."""
        if self._client is None:
            raise EngineUnavailable(f"MCP server {self.name} is not connected")
        try:
            answer = await self._client.call_tool(name, arguments, read_timeout_seconds=self._given.timeout_s)
        except MCPError as error:
            if error.code == CONNECTION_CLOSED:
                self._lost.set()
            raise EngineUnavailable(f"MCP server {self.name} answered with error {error.code}") from None
        return result_of(answer)


def result_of(answer: CallToolResult) -> ToolResult:
    """For a model to phrase: MCP tools have no words for a caller."""
    text = "\n".join(part.text for part in answer.content if isinstance(part, TextContent))
    if answer.is_error:
        return ToolResult({"error": text or "it failed"}, "", failed=True)
    if isinstance(answer.structured_content, dict):
        return ToolResult(answer.structured_content, "")
    others = len(answer.content) - sum(isinstance(part, TextContent) for part in answer.content)
    return ToolResult({"result": text} | ({"left_out": f"{others} parts that are no text"} if others else {}), "")


@asynccontextmanager
async def _within(client: Client, seconds: float) -> AsyncIterator[Client]:
    """An open client. Raises: TimeoutError, if it does not open in time."""
    async with asyncio.timeout(seconds) as limit, client:
        limit.reschedule(None)
        yield client


def _not_here(_context: Any, _arguments: dict[str, Any]) -> ToolResult:
    raise AssertionError("a tool of an MCP server runs as a task")


def _why(error: BaseException, given: McpConfig) -> str:
    """In words for the operator. A group's first member is what went wrong; the others followed from it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    what = " ".join(given.command) or given.url
    if isinstance(error, TimeoutError):
        return f"{what} did not answer within {CONNECT_S:g} s"
    return f"{what}: {error or type(error).__name__}"
