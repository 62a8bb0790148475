"""A fault's outline tells kind and place, through groups and causes, and never a word that was in it."""

from __future__ import annotations

from voicebot.errors import EngineError
from voicebot.faults import outline


def broken(words: str) -> None:
    try:
        int(words)
    except ValueError as error:
        raise EngineError(f"cannot take {words}") from error


def test_kinds_and_places_are_told_and_no_words() -> None:
    try:
        broken("canary")
    except EngineError as error:
        said = outline(ExceptionGroup("canary", [error, KeyError("canary")]))
    assert "canary" not in said
    lines = said.split("\n  ")
    assert [line.partition(" at ")[0] for line in lines] == ["ExceptionGroup", "EngineError", "ValueError", "KeyError"]
    assert "tests/test_faults.py:" in lines[1] and " broken < " in lines[1]
    assert lines[3] == "KeyError at no place"
