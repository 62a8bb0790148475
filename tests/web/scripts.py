"""Events as a server sends them (docs/events.md), for the page's tests."""

from __future__ import annotations

from typing import Any

Message = dict[str, Any]

READY_MS = 62.0
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
    waterfall = {"stages": stages, "v2v_ms": V2V_MS * scale, "ready_ms": READY_MS * scale, "drafts": round(scale)}
    timing = {"v2v_ms": V2V_MS * scale, "waterfall": waterfall}
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


def routed(turn: int, **route: Any) -> dict[str, Any]:
    """The `route` of a `turn` event."""
    usual = {"call": "call-1", "turn": turn, "label": "redact", "kind": "member", "members": ["talker"]}
    return usual | route


def errand(number: int, turn: int, name: str, request: str = "how do tides work", **more: Any) -> Message:
    """An `errand` event: what has become of the question that `turn` put to the expert."""
    return {"type": "errand", "errand": number, "turn": turn, "request": request, "state": name} | more


TIMER_ROUTE = routed(
    1, task="set_timer", hard=0.02, oos=0.01, confidence=0.97, member="talker", cost_usd=0.0,
    reason="set_timer: talker owns it",
)  # fmt: skip
TIDES_ROUTE = routed(
    2, task="explain", hard=0.91, oos=0.12, confidence=0.88, kind="errand", cost_usd=None, label="open",
    reason="hard (0.91): the expert, in the background",
)  # fmt: skip
PIN_ROUTE = routed(
    3, task="remember", hard=0.2, oos=0.1, confidence=0.64, member="talker", cost_usd=0.0, label="local_only",
    reason="remember: talker owns it",
)  # fmt: skip
ACKNOWLEDGED = "Good question, let me look into that."

TIMED = [
    transcript(1, "set a timer for ten minutes"),
    {"type": "tool", "turn": 1, "name": "timer", "arguments": {"seconds": 600}, "speech": "Ten minutes."},
    reply(1, "Ten minutes, starting now.", "Ten minutes, starting now.", final=True),
    summary(1, "set a timer for ten minutes", "Ten minutes, starting now.") | {"route": TIMER_ROUTE},
]
ASKED = [
    transcript(2, "how do tides work"),
    errand(9, 2, "pending"),
    reply(2, ACKNOWLEDGED, ACKNOWLEDGED, final=True, number=8),
    summary(2, "how do tides work", ACKNOWLEDGED) | {"model": "", "route": TIDES_ROUTE},
]
"""A question that the expert is working on."""
WENT_ON = [
    transcript(3, "keep this private, my door code is four two one"),
    reply(3, "I will keep that to myself.", "I will keep that to myself.", final=True, number=10),
    summary(3, "keep this private, my door code is four two one", "I will keep that to myself.", 0.9)
    | {"route": PIN_ROUTE},
]
LATE_WORDS = "About your question, how do tides work: the moon pulls the sea towards it."
LATE = [
    errand(9, 2, "ready"),
    errand(9, 2, "speaking"),
    reply(12, LATE_WORDS, "About your question, how do tides work:", number=13),
]
DELIVERED = [reply(12, LATE_WORDS, LATE_WORDS, final=True, number=13), errand(9, 2, "delivered", cost_usd=0.0012)]
