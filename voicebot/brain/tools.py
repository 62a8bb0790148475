"""What the assistant can do for a caller: clock, calculator, units, timers, alarms, reminders, volume, repeating.

Rules of this file:
1. Arguments are words of the caller, copied by a model however small; everything is understood here, by plain code.
   Digits and symbols ("7*8", "10 min") are understood as well, since larger models write those.
2. `run_tool` never raises for what a model wrote: a failed result carries a sentence that says what was not understood.
3. Speech is ready for a voice: words only, no digits and no symbols.
4. An acting tool changes something outside the talk; it runs only once the caller's turn is committed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from voicebot.brain import tools_answers as answers
from voicebot.brain import tools_schedule as plans
from voicebot.brain.tools_types import NotUnderstood, Run, Scheduled, Tool, ToolContext, ToolResult, TooManyScheduled

__all__ = ["TOOLS", "Scheduled", "TooManyScheduled", "Tool", "ToolContext", "ToolResult", "openai_schema", "run_tool"]

WHEN = "When, in the caller's own words, e.g. 'half past six tomorrow'"
NAME = "What it is called, if the caller named it"
Property = Mapping[str, Any]
CANCELLED: Property = {"description": f"{NAME}; 'last': the one set last", "examples": ("last",)}
REPLACES: Property = {"description": "'last' if it takes the place of the one set last", "examples": ("last",)}
"""So that "no, fifteen" does not leave two timers running."""
VOLUME: Property = {
    "description": "'up', 'down', 'mute', 'max', a number",
    "examples": ("up", "down", "mute", "max"),
}
"""Its examples are for models that otherwise copy the caller's words: who says "you're too quiet" wants it up."""


def _tool(run: Run, acting: bool, description: str, needed: str = "", **properties: str | Property) -> Tool:
    """`from_` stands for the argument "from"; the function's name is the tool's."""
    schema = {
        "type": "object",
        "properties": {key.rstrip("_"): _property(about) for key, about in properties.items()},
        "required": needed.split(),
    }
    return Tool(run.__name__, description, schema, acting, _with_words(run, schema))


def _property(about: str | Property) -> dict[str, Any]:
    return {"type": "string", "description": about} if isinstance(about, str) else {"type": "string", **about}


def _with_words(run: Run, schema: dict[str, Any]) -> Run:
    """`run` gets every argument that the schema knows as words, and all that it needs."""

    def checked(context: Any, arguments: dict[str, Any]) -> ToolResult:
        words = {key: " ".join(str(value).split()) for key, value in arguments.items() if value is not None}
        missing = [key for key in schema["required"] if not words.get(key)]
        if missing:
            said = "Sorry, I did not get all of that. Could you say it again?"
            return failure(f"{run.__name__} needs {', '.join(missing)}.", said)
        return run(context, {key: text for key, text in words.items() if key in schema["properties"] and text})

    return checked


_ALL = (
    _tool(answers.get_time, False, "The time of day here, or in a place.", place="A city, country or time zone"),
    _tool(answers.get_date, False, "Today's date, or that of another day.", day="E.g. 'tomorrow', 'in six days'"),
    _tool(answers.calculate, False, "Work out a sum.", "expression", expression="As said, e.g. 'seven times eight'"),
    _tool(answers.convert_units, False, "Convert between units.", "from to",
          value="How many, e.g. 'ten'; one if left out", from_="Unit, e.g. 'miles'", to="Unit, e.g. 'kilometers'"),
    _tool(plans.set_timer, True, "Start a timer.", "duration", duration="E.g. 'ten minutes'", name=NAME,
          replaces=REPLACES),
    _tool(plans.cancel_timer, True, "Cancel timers, alarms or reminders; all without a name.", name=CANCELLED),
    _tool(plans.check_timer, False, "What timers and alarms are set and how long they have.", name=NAME),
    _tool(plans.set_alarm, True, "Set an alarm.", "when", when=WHEN, replaces=REPLACES),
    _tool(plans.set_reminder, True, "Remind the caller of something.", "text", text="What to remind of", when=WHEN,
          replaces=REPLACES),
    _tool(answers.set_volume, True, "Change your volume.", "level", level=VOLUME),
    _tool(answers.repeat_last, False, "Say the last reply again."),
)  # fmt: skip
TOOLS: dict[str, Tool] = {tool.name: tool for tool in _ALL}


def run_tool(context: ToolContext, name: str, arguments: Any) -> ToolResult:
    """Run one of these tools as a model asked for it. Never raises for bad model output; see the rules above."""
    tool = TOOLS.get(name)
    return unknown(name) if tool is None else run_here(tool, context, arguments)


def run_here(tool: Tool, context: ToolContext, arguments: Any) -> ToolResult:
    """Run any tool that is no coroutine, on this thread."""
    if not isinstance(arguments, dict):
        return failure("The arguments are no object.", "Sorry, I could not work that out.")
    try:
        return tool.run(context, arguments)
    except (NotUnderstood, TooManyScheduled) as error:
        return refusal(error)


def refusal(error: NotUnderstood | TooManyScheduled) -> ToolResult:
    if isinstance(error, NotUnderstood):
        return failure(str(error), str(error))
    return failure("The list is full.", "Sorry, I cannot keep any more timers. Cancel one first.")


def unknown(name: str) -> ToolResult:
    return failure(f"There is no tool called {name}.", "Sorry, that is something I cannot do.")


def failure(reason: str, speech: str) -> ToolResult:
    return ToolResult({"error": reason}, speech, failed=True)


def openai_schema(tools: Iterable[Tool]) -> list[dict[str, Any]]:
    """The `tools` list of the OpenAI chat format."""
    return [
        {
            "type": "function",
            "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
        }
        for tool in tools
    ]
