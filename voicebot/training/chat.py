"""The talker's chat form: special tokens, how a dialogue becomes text, and the same as a Jinja template for the GGUF.

Rules of this file:
1. A message is `<|user|> words<|end|>`; words start with a space, so that a span has the same tokens in the
   question and in the tool call. Argument strings start with that space too; tools strip it.
2. A tool call has the Hermes form that other models use, but its fixed parts are single tokens: a call costs about
   nine tokens instead of thirty.
3. What the caller said loses its casing and its closing punctuation: recognisers give neither, and a rare word has
   other tokens with a capital. The tools get the caller's own spelling back (`brain/spans.py`).
4. System text, the list of tools and tool results are left out: the model was trained without them, and the
   answer that was spoken follows a tool result anyway. Only the last four exchanges are kept.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from voicebot.brain.tools import TOOLS

USER, ASSISTANT, END = "<|user|>", "<|assistant|>", "<|end|>"
PAD = "<|pad|>"
CALL_OPEN, CALL_CLOSE = "<tool_call>", "</tool_call>"
CONTROL_TOKENS = (PAD, END, USER, ASSISTANT)
KEPT_EXCHANGES = 4


ARGUMENTS = ' "arguments": {'


def _header(name: str) -> str:
    return f'\n{{"name": "{name}",'


def _fixed_parts() -> tuple[str, ...]:
    keys = sorted({key for tool in TOOLS.values() for key in tool.parameters["properties"]})
    firsts = [f'"{key}": "' for key in keys]
    return (
        CALL_OPEN,
        CALL_CLOSE,
        *map(_header, TOOLS),
        *firsts,
        *(f'", {first}' for first in firsts),
        '"}}\n',
        "}}\n",
        ARGUMENTS,
    )


FIXED_TOKENS = _fixed_parts()
"""Text kept as single, visible ("user defined") tokens; at most 32 bytes each, which is all that llama-cpp-python
makes room for when it turns a token back into text."""


def heard(text: str) -> str:
    """The caller's words as the template writes them: lower case, no closing punctuation, plain apostrophes."""
    return text.strip().lower().replace("\u2019", "'").rstrip(" .!?")


@dataclass(frozen=True, slots=True)
class Turn:
    """One exchange: what was said, the call that answers it (or none), and the words spoken back.

    `learn` is False for an exchange that only serves as history. `talk` is its kind where no tool is called; `follows`
    where it cannot be understood without the exchange before.
    """

    user: str
    reply: str
    tool: str = ""
    arguments: tuple[tuple[str, str], ...] = ()
    learn: bool = True
    talk: str = ""
    follows: bool = False


def call_text(tool: str, arguments: tuple[tuple[str, str], ...]) -> str:
    """The call as the model writes it."""
    inner = ", ".join(
        f'"{key}": "' + json.dumps(f" {value.lower()}", ensure_ascii=False)[1:] for key, value in arguments
    )
    return f"{CALL_OPEN}{_header(tool)}{ARGUMENTS}{inner}}}}}\n{CALL_CLOSE}"


def pieces(turns: list[Turn]) -> list[tuple[str, bool]]:
    """A dialogue as (text, learned) pieces; the end token of what the model writes is learned with it."""
    result: list[tuple[str, bool]] = []
    for turn in turns:
        result.append((f"{USER} {heard(turn.user)}{END}{ASSISTANT}", False))
        if turn.tool:
            result.append((call_text(turn.tool, turn.arguments) + END, turn.learn))
            result.append((f"{ASSISTANT}{turn.reply}{END}", False))
        else:
            result.append((turn.reply + END, turn.learn))
    return result


TEMPLATE = (
    "{%- set ns = namespace(users=0, start=0) -%}"
    "{%- for m in messages | reverse -%}"
    "{%- if m['role'] == 'user' -%}{%- set ns.users = ns.users + 1 -%}"
    "{%- if ns.users == "
    + str(KEPT_EXCHANGES)
    + " -%}{%- set ns.start = messages | length - loop.index -%}{%- endif -%}"
    "{%- endif -%}{%- endfor -%}"
    "{%- for m in messages -%}{%- if loop.index0 >= ns.start -%}"
    "{%- if m['content'] is string -%}{%- set text = m['content'] | trim -%}{%- else -%}"
    "{%- set text = (m['content'] or []) | selectattr('text', 'defined') | map(attribute='text') | join(' ') | trim -%}"
    "{%- endif -%}"
    "{%- if m['role'] == 'user' -%}"
    "{{ '<|user|> ' + (text | lower | replace('\u2019', \"'\")).rstrip(' .!?') + '<|end|>' }}"
    "{%- elif m['role'] == 'assistant' -%}"
    "{%- if m['tool_calls'] -%}{{ '<|assistant|>' }}"
    "{%- for c in m['tool_calls'] -%}{%- set f = c['function'] if c['function'] else c -%}"
    "{{ '<tool_call>\\n{\"name\": \"' + f['name'] + '\", \"arguments\": ' }}"
    "{%- if f['arguments'] is string -%}{{ f['arguments'] | lower }}"
    "{%- else -%}{{ '{' }}{%- for key, value in (f['arguments'] or {}).items() -%}"
    "{{ ('' if loop.first else ', ') + '\"' + key + '\": \" ' }}"
    "{{ (value | string | trim | lower | replace('\"', '\\\\\"')) + '\"' }}"
    "{%- endfor -%}{{ '}' }}{%- endif -%}"
    "{{ '}\\n</tool_call>' }}"
    "{%- endfor -%}{{ '<|end|>' }}{%- endif -%}"
    "{%- if text -%}{{ '<|assistant|>' + text + '<|end|>' }}{%- endif -%}"
    "{%- endif -%}{%- endif -%}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|assistant|>' }}{%- endif -%}"
)
