"""Numbers in words: both ways, and what is no number."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicebot.brain.tools_numbers import ordinal, parse_number, spoken


@settings(max_examples=300, deadline=None)
@given(st.integers(min_value=1 - 10**15, max_value=10**15 - 1))
def test_every_whole_number_survives_being_spoken(value: int) -> None:
    assert parse_number(spoken(value)) == value


@settings(max_examples=200, deadline=None)
@given(st.decimals(min_value=0, max_value=9999, places=3, allow_nan=False))
def test_decimals_survive_being_spoken(value: object) -> None:
    exact = Fraction(str(value))
    assert parse_number(spoken(exact)) == exact


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("two and a half", "5/2"), ("half a", "1/2"), ("a half", "1/2"), ("half of a", "1/2"),
        ("three quarters", "3/4"), ("a quarter of a", "1/4"), ("two thirds", "2/3"), ("3/4", "3/4"), ("1 1/2", "3/2"),
        ("a", "1"), ("an", "1"), ("a hundred", "100"), ("a thousand", "1000"), ("twelve hundred", "1200"),
        ("1,250", "1250"), ("3.5", "7/2"), ("minus four", "-4"), ("three point one four", "157/50"),
        ("point five", "1/2"), ("twenty-one", "21"), ("nineteen ninety", "1990"), ("three fifty", "350"),
        ("a dozen", "12"), ("a couple of", "2"), ("5k", "5000"), ("3 million", "3000000"),
        ("two thousand and five", "2005"), ("$20", "20"), ("for", "4"), ("two and half", "5/2"),
    ],
)  # fmt: skip
def test_numbers_as_people_say_them(said: str, value: str) -> None:
    assert parse_number(said.removesuffix(" of") if said.startswith("a couple") else said) == Fraction(value)


@pytest.mark.parametrize("said", ["", "blue", "five and three", "ten minutes", "point", "and", "3 7", "1/0"])
def test_what_is_no_number_is_none(said: str) -> None:
    assert parse_number(said) is None


def test_speech_has_no_digits_and_rounds_long_decimals() -> None:
    assert spoken(Fraction(1, 3)) == "zero point three three three three"
    assert spoken(1_002_005) == "one million two thousand and five"
    assert [ordinal(day) for day in (1, 12, 20, 23, 31)] == [
        "first",
        "twelfth",
        "twentieth",
        "twenty third",
        "thirty first",
    ]
