"""The calculator: spoken and written forms, and its limits."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicebot.brain.tools_numbers import spoken
from voicebot.brain.tools_sums import BadSum, evaluate, evaluate_after


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("seven times eight", "56"), ("7*8", "56"), ("7x8", "56"), ("7 x 8", "56"), ("13 by 74", "962"),
        ("20+ 5", "25"), ("twenty percent of ninety", "18"), ("30% off 280", "196"),
        ("60 percent off of 350 dollars", "140"), ("an 18 percent tip on 20 dollars", "18/5"),
        ("fifty plus ten percent", "55"), ("20% of a thousand", "200"), ("the square root of sixteen", "4"),
        ("square root of 144", "12"), ("nine squared", "81"), ("square 9", "81"), ("5 cubed", "125"),
        ("two to the power of ten", "1024"), ("3 to the 6th power", "729"), ("8 factorial", "40320"),
        ("half of seven", "7/2"), ("three quarters of one sixth", "1/8"), ("1/2 times 5/8", "5/16"),
        ("3/4 of 18", "27/2"), ("the sum of 3, 7, 9, and 24", "43"), ("add five and eighty nine", "94"),
        ("add 4 5 and 6", "15"), ("sum of one hundred and five and three", "108"),
        ("add one hundred and five to three", "108"), ("multiply 45 by 23", "1035"), ("multiply 7 and 42", "294"),
        ("divide 100 by 20", "5"), ("subract 36 from 5", "-31"), ("take five away from 9", "4"),
        ("12 go into 600", "50"), ("the difference between five and nine", "4"), ("twice forty", "80"),
        ("double nine", "18"), ("eighty two times two", "164"), ("what is two plus two?", "4"),
        ("1785 minus 334 minus 87", "1364"), ("(3+4)*5", "35"), ("-3 + 5", "2"), ("80 divided buy 4", "20"),
        ("5-6=", "-1"), ("three point five plus one", "9/2"), ("for plus to", "6"), ("ten minus half of six", "7"),
    ],
)  # fmt: skip
def test_sums(said: str, value: str) -> None:
    assert evaluate(said) == Fraction(value)


@pytest.mark.parametrize(
    "said",
    ["", "blue", "9**9**9", "2 to the power of 9999", "99999999 * 99999999 * 99999999", "1/0",
     "5 divided by zero", "the square root of minus four", "200 factorial", "seven times", "(" * 190, "1 " * 500],
)  # fmt: skip
def test_what_cannot_be_worked_out_is_refused_quickly(said: str) -> None:
    with pytest.raises(BadSum):
        evaluate(said)


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("times two", "112"), ("and times two", "112"), ("plus seven", "63"), ("minus five", "51"), ("/ 7", "8"),
        ("divided by three", "56/3"), ("half of that", "28"), ("that times two", "112"), ("square it", "3136"),
        ("what's that squared", "3136"), ("divide that by 7", "8"), ("divide by 7", "8"), ("multiply by 2", "112"),
        ("add five", "61"), ("add five to that", "61"), ("subtract six", "50"), ("take six away from it", "50"),
        ("ten percent of that", "28/5"), ("double that", "112"), ("the answer plus one", "57"), ("squared", "3136"),
        ("seven times nine", "63"), ("add five and six", "11"), ("subtract 5 from 8", "3"), ("-3 + 5", "2"),
    ],
)  # fmt: skip
def test_a_sum_goes_on_from_the_result_just_said_where_it_refers_to_it(said: str, value: str) -> None:
    assert evaluate_after(said, Fraction(56)) == Fraction(value)


@pytest.mark.parametrize("said", ["that", "what is it", "what is that about", "times", "and blue", ""])
def test_not_every_that_is_a_sum(said: str) -> None:
    with pytest.raises(BadSum):
        evaluate_after(said, Fraction(56))


@settings(max_examples=200, deadline=None)
@given(a=st.integers(0, 10**6), b=st.integers(1, 10**6), sign=st.sampled_from(["plus", "minus", "times", "divided by"]))
def test_words_and_digits_agree(a: int, b: int, sign: str) -> None:
    symbol = {"plus": "+", "minus": "-", "times": "*", "divided by": "/"}[sign]
    exact = {"plus": a + b, "minus": a - b, "times": a * b, "divided by": Fraction(a, b)}[sign]
    assert evaluate(f"{spoken(a)} {sign} {spoken(b)}") == evaluate(f"{a} {symbol} {b}") == exact
