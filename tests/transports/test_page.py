from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.errors import ProtocolError
from voicebot.transports.page import TEXT_LIMIT, Allowance, HangUp, Key, Typed, parse


def test_each_message_of_the_page_is_understood() -> None:
    assert parse('{"type": "text", "text": " what time is it "}') == Typed("what time is it")
    assert parse('{"type": "digit", "digit": "a"}') == Key("A")
    assert parse('{"type": "hang_up"}') == HangUp()


def test_a_typed_turn_that_is_too_long_is_cut() -> None:
    said = parse('{"type": "text", "text": "' + "a" * 5000 + '"}')
    assert said == Typed("a" * TEXT_LIMIT)


@pytest.mark.parametrize(
    "message",
    [
        b"{}",
        "",
        "[]",
        "null",
        "{",
        "[" * 50_000,
        '{"type": "text"}',
        '{"type": "text", "text": "  "}',
        '{"type": "text", "text": 5}',
        '{"type": "digit", "digit": "55"}',
        '{"type": ["hang_up"]}',
        '{"type": "volume"}',
        '{"type": "text", "text": "' + "a" * 70_000 + '"}',
    ],
)
def test_anything_else_is_a_protocol_error(message: str | bytes) -> None:
    with pytest.raises(ProtocolError):
        parse(message)


@given(st.one_of(st.text(), st.binary()))
def test_no_message_raises_anything_but_a_protocol_error(message: str | bytes) -> None:
    try:
        parse(message)
    except ProtocolError as error:
        assert str(error)


def test_an_allowance_gives_its_burst_and_then_its_rate() -> None:
    allowance = Allowance(per_s=10, burst=20)
    assert [allowance.take(100.0) for _ in range(21)] == [True] * 20 + [False]
    assert allowance.take(100.125)
    assert not allowance.take(100.125)
