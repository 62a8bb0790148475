"""A real MCP server of a few tools, to be run as a program of its own: over stdio, or HTTP at the given port."""

from __future__ import annotations

import os
import sys
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations

server = MCPServer("shop")
ordered: list[str] = []


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def stock(item: str) -> dict[str, Any]:
    """How many of an item there are."""
    return {"item": item, "left": len(item)}


@server.tool()
def order(item: str) -> str:
    """Order an item."""
    ordered.append(item)
    return f"{len(ordered)} orders, key {os.environ.get('SHOP_KEY', 'none')}"


@server.tool()
def broken(item: str) -> str:
    """Fails."""
    raise ValueError(f"no {item}")


@server.tool()
def die() -> str:
    """The program ends in the middle of the call."""
    os._exit(3)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
    else:
        server.run("stdio")
