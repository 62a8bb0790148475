"""Events as a server sends them (docs/events.md), for the page's tests."""

from __future__ import annotations

from typing import Any

Message = dict[str, Any]

V2V_MS = 412
STAGES_MS = {"wait": (0, 260), "stt": (70, 190), "llm": (190, 330), "tts": (330, 395), "playout": (395, 412)}
"""Stage -> when it began and ended, as in a `turn` event's waterfall."""


def transcript(turn: int, text: str, final: bool = True) -> Message:
    return {"type": "transcript", "turn": turn, "text": text, "final": final}


def reply(
    turn: int, text: str, heard: str, *, final: bool = False, interrupted: bool = False, number: int = 1
) -> Message:
    fields = {"turn": turn, "reply": number, "text": text, "heard": heard}
    return {"type": "reply", **fields, "final": final, "interrupted": interrupted}


def summary(turn: int, heard: str, words: str, scale: float = 1.0) -> Message:
    """A `turn` event whose stages took `scale` times as long as STAGES_MS."""
    stages = [
        {"name": name, "start_ms": begin * scale, "stop_ms": end * scale} for name, (begin, end) in STAGES_MS.items()
    ]
    timing = {"v2v_ms": V2V_MS * scale, "waterfall": {"stages": stages, "v2v_ms": V2V_MS * scale}}
    return {"type": "turn", "turn": turn, "heard": heard, "reply": words, "model": "llama talker.gguf", **timing}


def state(name: str) -> Message:
    return {"type": "state", "state": name}


HEARING = [state("hearing"), transcript(1, "what time", final=False)]

TALK = [
    transcript(1, "what time is it"),
    {"type": "tool", "turn": 1, "name": "clock", "arguments": {}, "speech": "It is ten past three."},
    reply(1, "It is ten past three.", "It is ten past three.", final=True),
    summary(1, "what time is it", "It is ten past three."),
    transcript(2, "tell me about the sea"),
    reply(
        2,
        "The sea covers most of the earth. It is salt, deep, and it moves with the moon.",
        "The sea covers most of the earth. It is",
        final=True,
        interrupted=True,
    ),
    summary(2, "tell me about the sea", "The sea covers most of the earth. It is", 1.5),
    transcript(3, "set a timer for ten minutes"),
    {"type": "tool", "turn": 3, "name": "timer", "arguments": {"seconds": 600}, "speech": "Ten minutes."},
    reply(3, "A timer for ten minutes is set. I will tell you when it rings.", "A timer for ten minutes"),
    summary(3, "set a timer for ten minutes", "A timer for ten minutes is set."),
    state("speaking"),
]
