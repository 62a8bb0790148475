"""What an operator's own tools are written with: `from voicebot.tools import tool`. See docs/tools.md."""

from voicebot.brain.tools_declare import tool
from voicebot.brain.tools_types import CallContext, NotUnderstood, Tool, ToolContext, ToolResult

__all__ = ["CallContext", "NotUnderstood", "Tool", "ToolContext", "ToolResult", "tool"]
