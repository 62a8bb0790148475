"""What replies say word for word: acknowledgements, and why there is no better answer. Pure."""

from __future__ import annotations

from voicebot.brain.policy import BUDGET_NOTICE, DOWN_NOTICE, PRIVATE_NOTICE
from voicebot.errors import EgressDenied, EngineTimeout

LATE_NOTICE = "That took too long."


def notice_of(error: Exception) -> str:
    """Why there is no better answer, in words for the caller."""
    if isinstance(error, EgressDenied):
        return {"budget": BUDGET_NOTICE, "record": DOWN_NOTICE}.get(error.reason, PRIVATE_NOTICE)
    return LATE_NOTICE if isinstance(error, EngineTimeout) else DOWN_NOTICE


_WORK = frozenset(
    "write compose draft plan explain compare summarize summarise design create make develop code calculate solve "
    "prove translate suggest recommend help should describe list outline".split()
)
_FIND = ("Let me find out.", "Good question, let me look into that.", "Let me check that for you.")
_THINK = ("Let me think about that.", "That takes a moment, let me work on it.", "Let me work that out.")

FIXED_WORDS = (*_FIND, *_THINK, PRIVATE_NOTICE, DOWN_NOTICE, BUDGET_NOTICE, LATE_NOTICE)
"""What replies say word for word, so that its sound can be made before it is needed."""


def acknowledgement(text: str) -> str:
    """A few words that fit the request; the same request always gets the same."""
    words = text.lower().split()
    phrases = _THINK if _WORK.intersection(words[:6]) else _FIND
    return phrases[sum(map(ord, text)) % len(phrases)]


def introduction(question: str) -> str:
    """What an answer that comes late begins with when the talk has moved on."""
    return f"About your question, {question.strip().rstrip('?.! ')}:"
