"""Arguments held to the caller's words: what may be written, and where an argument may end."""

from __future__ import annotations

import numpy as np
import pytest

from voicebot.brain.tools import TOOLS, openai_schema
from voicebot.engines.llama_copying import Copying, Pieces, examples_of

LETTERS = [chr(code).encode() for code in range(32, 127)]
FRAME = [b"<tool_call>", b' "arguments": {', b'"name": "', b'", "to": "', b'"}}\n']
WORDS = [
    b" drestin",
    b" d",
    b" chanin",
    b" irene",
    b" 2",
    b" luke",
    b" ten",
    b" Ten",
    b" minutes",
    b" don",
    b"'t",
    b" up",
]
TOKENS = [*LETTERS, *FRAME, *WORDS]
PIECES = Pieces(TOKENS)


def writing(*turns: str, written: str = "", key: str = "name", examples: dict[str, list[str]] | None = None) -> Copying:
    """A reply that has come to this place of an argument."""
    reply = Copying(PIECES, turns, examples or {})
    for token in (TOKENS.index(b"<tool_call>"), TOKENS.index(b' "arguments": {')):
        reply.accept(token)
    for character in f'"{key}": "{written}':
        reply.accept(TOKENS.index(character.encode()))
    return reply


def allowed(reply: Copying, *texts: bytes) -> list[bool]:
    return [reply.allows(TOKENS.index(text)) for text in texts]


def best(reply: Copying, *order: bytes) -> bytes:
    """What a model that likes these, in this order, writes next."""
    logits = np.full(len(TOKENS), -50.0, np.float32)
    for rank, text in enumerate(order):
        logits[TOKENS.index(text)] = 50.0 - rank
    return TOKENS[int(reply.restrict(logits).argmax())]


def test_a_word_that_the_caller_did_not_say_gives_way_to_the_one_that_was_said() -> None:
    reply = writing("how is the drestin timer")
    assert allowed(reply, b" drestin", b" d", b" chanin") == [True, True, False]
    assert best(reply, b" chanin", b" drestin") == b" drestin"
    assert best(writing("how is the drestin timer", written=" d"), b" chanin", b"}", b"r") == b"r"


def test_an_argument_ends_only_where_a_word_does() -> None:
    said = "pick up irene don't let me forget"
    assert allowed(writing(said, written=" irene"), b'"}}\n', b" don") == [True, True]
    assert allowed(writing(said, written=" don"), b'"}}\n', b"'t") == [False, True]
    assert allowed(writing("set a 2.5 minutes timer", written=" 2"), b'"', b".") == [False, True]
    assert allowed(writing("cancel luke's timer", written=" luke"), b'"') == [True]
    assert allowed(writing("it is for luke.", written=" luke"), b'"') == [True]


def test_an_argument_is_never_empty_and_never_runs_into_the_next() -> None:
    assert allowed(writing("ten minutes"), b'"}}\n') == [False]
    assert allowed(writing("ten minutes", written=" ten"), b'", "to": "', b'"name": "') == [True, False]
    assert best(writing("ten minutes", written=" ten"), b'"name": "', b'"}}\n') == b'"}}\n'


def test_case_and_apostrophes_do_not_count() -> None:
    assert allowed(writing("Ten Minutes"), b" ten", b" Ten") == [True, True]
    assert allowed(writing("don\u2019t", written=" don"), b"'t") == [True]


def test_a_correction_takes_a_word_from_each_of_two_turns_but_not_two_stretches_of_one() -> None:
    assert allowed(writing("a timer for fifteen minutes", "no ten", written=" ten"), b" minutes") == [True]
    reply = writing("a timer for fifteen minutes", "no ten", written=" ten minut")
    assert best(reply, b" chanin", b"e") == b"e"
    assert allowed(writing("ten times fifteen minutes", written=" ten"), b" minutes") == [False]


def test_only_the_last_four_turns_count() -> None:
    turns = ["drestin", "one", "two", "three"]
    assert allowed(writing(*turns), b" drestin") == [True]
    assert allowed(writing(*turns, "four"), b" drestin") == [False]


def test_what_the_schema_gives_as_an_example_may_be_written_too() -> None:
    examples = examples_of(openai_schema(TOOLS.values()))
    assert examples["level"] == ["up", "down", "mute", "max"]
    said = "you are too quiet"
    assert allowed(writing(said, key="level", examples=examples), b" up", b" ten") == [True, False]
    assert allowed(writing(said, key="place", examples=examples), b" up") == [False]
    assert allowed(writing(said, key="level", examples=examples, written=" up"), b'"}}\n') == [True]


def test_speech_and_the_frame_of_a_call_are_free() -> None:
    reply = Copying(PIECES, ["hello"], {})
    assert all(reply.allows(token) for token in range(len(TOKENS)))
    for text in (b"<tool_call>", b' "arguments": {'):
        reply.accept(TOKENS.index(text))
    assert allowed(reply, b'"name": "', b'"}}\n') == [True, True]


@pytest.mark.parametrize("turns", [[], [""], ["?!"]])
def test_where_the_caller_said_nothing_everything_may_be_written(turns: list[str]) -> None:
    logits = np.zeros(len(TOKENS), np.float32)
    assert np.isfinite(writing(*turns, written=" x").restrict(logits)).all()
