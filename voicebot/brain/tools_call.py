"""Tools for models that read a tool's description: hang up, press keys, transfer, notes, document search.

A caller can only be handed over to whom the operator has named: a model that was talked into it dials nobody else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from voicebot.brain.jobs import Search
from voicebot.brain.notes import Notes
from voicebot.brain.tools_declare import tool
from voicebot.brain.tools_types import CallContext, NotUnderstood, Tool, ToolResult

FOUND = 3
"""Passages that a model is shown: some 300 words."""
NO_TRANSFER = "Sorry, I cannot put you through from here."


@tool(acting=True, speaks=True, inline=True)
def end_call(context: CallContext) -> str:
    """Hang up: when the caller says goodbye or asks you to."""
    if not context.hang_up("the caller said goodbye"):
        raise NotUnderstood("I cannot hang up from here. You can simply end the call.")
    return "Goodbye."


@tool(acting=True, speaks=True, inline=True)
def press_keys(keys: Annotated[str, "0-9, * and #, without spaces"], context: CallContext) -> str:
    """Press keys on the telephone, when a menu at the other end asks for them."""
    wanted = "".join(keys.split()).upper()
    if not wanted or set(wanted) - set("0123456789*#ABCD"):
        raise NotUnderstood("Sorry, I can only press digits, star and hash.")
    if not context.send_digits(wanted):
        raise NotUnderstood("Sorry, I cannot press keys on this line.")
    return "Done."


def transfer_tool(targets: Mapping[str, str]) -> Tool:
    """`targets`: the name that callers use -> telephone number or SIP address; not empty."""
    by_name = {name.casefold(): (name, target) for name, target in targets.items()}

    def transfer_call(context: Any, arguments: dict[str, Any]) -> ToolResult:
        found = by_name.get(str(arguments.get("to", "")).strip().casefold())
        if found is None:
            raise NotUnderstood(f"Sorry, I can only put you through to {' or '.join(targets)}.")
        name, target = found
        if not context.transfer(target):
            raise NotUnderstood(NO_TRANSFER)
        return ToolResult({"transferred_to": name}, f"One moment, I am putting you through to {name}.")

    schema = {
        "type": "object",
        "properties": {"to": {"type": "string", "enum": list(targets), "description": "Whom the caller wants"}},
        "required": ["to"],
    }
    return Tool("transfer_call", "Hand the caller over to a person or department.", schema, True, transfer_call)


def note_tools(notes: Notes) -> list[Tool]:
    """Both act on `notes`."""

    @tool(acting=True, speaks=True)
    def take_note(text: Annotated[str, "What to note, in full"], context: CallContext) -> str:
        """Note something down for the caller."""
        notes.add(context.caller, context.call_id, " ".join(text.split()))
        return "I have noted that."

    @tool(speaks=True)
    def read_notes(context: CallContext) -> str:
        """Read the caller's notes out."""
        found = notes.of(context.caller, context.call_id)
        if not found:
            return "There are no notes yet."
        return f"You have {'one note' if len(found) == 1 else 'these notes'}: {'; '.join(found[-5:])}."

    return [take_note, read_notes]


def document_tool(search: Search) -> Tool:
    """`search`: the best passages for a question."""

    @tool()
    async def search_documents(question: Annotated[str, "What to look for, in full"]) -> dict[str, Any]:
        """Look something up in our own documents: opening hours, prices, rules, manuals."""
        hits = await search(question, FOUND)
        return {
            "passages": [{"from": hit.passage.title or hit.passage.source, "text": hit.passage.text} for hit in hits]
        }

    return search_documents
