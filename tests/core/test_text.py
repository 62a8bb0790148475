"""Clauses, cleaned text, words that mean nothing, and turns that are not over."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.core.text import (
    LONGEST_CLAUSE_CHARS,
    ClauseSplitter,
    completeness,
    is_backchannel,
    is_stop,
    normalize,
    speakable,
)


def split(text: str, step: int = 1) -> list[str]:
    splitter = ClauseSplitter()
    clauses = [clause for at in range(0, len(text), step) for clause in splitter.push(text[at : at + step])]
    return clauses + splitter.flush()


@pytest.mark.parametrize(
    "clauses",
    [
        ["It is five.", "Anything else?"],
        ["Seven times eight is 56.", "Anything else?"],
        ["No.", "I can not do that!"],
        ["Pi is 3.14,", "they say.", "Well…", "yes."],
        ["Meet Dr. Smith at 5 p.m. on Monday.", "Bye."],
        ["Use e.g. the U.S. map.", "Fine."],
        ['He said "go."', 'She said "no."', "(They went.)", "Good."],
        ["Well then,", "one, two, three, four, five, six,", "seven."],
        ["At 3:30 it is 1,000 metres."],
        ["Really?!", "Wow."],
    ],
)
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_text_is_cut_where_a_voice_would_pause(clauses: list[str], step: int) -> None:
    assert split(" ".join(clauses), step) == clauses


def test_curly_quotes_close_a_sentence_and_are_spoken_as_plain_ones() -> None:
    assert split("He said “go.” It’s fine.") == ['He said "go."', "It's fine."]


def test_the_first_clause_is_short_and_later_ones_are_longer() -> None:
    text = "Of course, here it is, the first of all, and the second one of them, too."
    assert split(text) == ["Of course,", "here it is, the first of all,", "and the second one of them,", "too."]


def test_lines_are_clauses_and_list_marks_are_not_spoken() -> None:
    assert split("# Shopping\n\n- milk\n2. two eggs\n> quoted\n") == ["Shopping", "milk", "2. two eggs", "quoted"]


def test_text_without_any_stop_is_cut_at_a_space_before_it_is_too_long() -> None:
    clauses = split("word " * 100)
    assert " ".join(clauses) == ("word " * 100).strip()
    assert max(map(len, clauses)) <= LONGEST_CLAUSE_CHARS
    assert [len(clause) for clause in split("x" * 500)] == [240, 240, 20]


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        (
            "The shop opens at nine and closes at eight in the evening.",
            ["The shop opens at nine", "and closes at eight in the evening."],
        ),
        ("I can help you with that.", ["I can help you with that."]),
        ("Salt and pepper are on the table in the kitchen.", ["Salt and pepper are on the table in the kitchen."]),
        ("That is fine, because you asked me before.", ["That is fine,", "because you asked me before."]),
        (
            "You asked me because it is late, and I know.",
            ["You asked me", "because it is late, and I know."],
        ),
        (
            "Good. The shop opens at nine and closes at eight in the evening.",
            ["Good.", "The shop opens at nine and closes at eight in the evening."],
        ),
    ],
)
def test_a_first_clause_without_a_comma_ends_where_a_speaker_breathes(text: str, clauses: list[str]) -> None:
    assert split(text, 3) == split(text, 1) == clauses


@pytest.mark.parametrize(
    ("pieces", "clauses"),
    [
        (["Of", " course", ","], ["Of course,"]),
        (["“Do go", ",", "” he said."], ['"Do go,', "he said."]),
        (["Go on\n", '"Yes." He said no.'], ["Go on", '"Yes."', "He said no."]),
        (["Well", ","], []),
        (["Really sure", "?"], []),
        (["It is", " 10", ","], []),
        (["See voicebot", "."], []),
        (["Of course, here it is, the first of all", ","], ["Of course,"]),
    ],
)
def test_a_first_clause_is_cut_at_its_mark_before_it_is_seen_what_follows(
    pieces: list[str], clauses: list[str]
) -> None:
    splitter = ClauseSplitter()
    cut = [clause for piece in pieces for clause in splitter.push(piece)]
    assert cut == clauses[: len(cut)]
    assert cut + (splitter.flush() if len(clauses) > 1 else []) == clauses


def test_what_cannot_be_spoken_makes_no_clause() -> None:
    assert split("🎉\n**\nHello 👋 there.") == ["Hello there."]
    assert split("") == split(" \n ") == []


@given(st.text(alphabet="ab 1.,!?\n\"'", max_size=400), st.integers(1, 50))
def test_no_word_is_lost_however_the_text_arrives(text: str, step: int) -> None:
    clauses = split(text, step)
    assert normalize(" ".join(clauses)).replace(" ", "") == normalize(text).replace(" ", "")
    assert all(clause == speakable(clause) != "" for clause in clauses)


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("**Bold** and `code` and _this_", "Bold and code and this"),
        ("See [the page](https://a.b/c) or https://x.y/z now", "See the page or now"),
        ("```python\nprint(1)\n```\nDone", "Done"),
        ("20 °C, 5 € & 3 % – fine", "20 °C, 5 € & 3 % – fine"),
        ("Don’t say “no”", 'Don\'t say "no"'),
        ("Hi 👋🏽  there\n* one", "Hi there one"),
    ],
)
def test_markdown_links_and_emoji_are_not_spoken(text: str, spoken: str) -> None:
    assert speakable(text) == spoken


def test_transcripts_that_differ_in_case_and_punctuation_are_the_same() -> None:
    assert normalize("Hello, THERE — it's 5_o'clock!") == "hello there it's 5 o'clock"
    assert normalize(" ...!") == ""
    assert normalize("Größe 7") == "größe 7"


@pytest.mark.parametrize("text", ["", "Mm-hm.", "uh-huh", "Okay, right.", "I see.", "yeah yeah"])
def test_listeners_noises_are_backchannels(text: str) -> None:
    assert is_backchannel(text)


@pytest.mark.parametrize("text", ["no", "okay stop", "what", "mm but why"])
def test_words_are_no_backchannels(text: str) -> None:
    assert not is_backchannel(text)


@pytest.mark.parametrize(
    ("text", "probability"),
    [
        ("set a timer for", 0.1),
        ("um", 0.1),
        ("what time is it", 0.92),
        ("turn it up, please", 0.72),
        ("turn the lights on", 0.72),
        ("what", 0.92),
        ("set a timer for ten minutes.", 0.92),
        ("Where are you from?", 0.92),
        ("who is it for", 0.92),
        ("what can you do", 0.92),
        ("yes i do", 0.92),
        ("what would you like to", 0.1),
        ("what is the weather like for", 0.1),
        ("i think you should", 0.1),
        ("tell me where you are from the", 0.1),
        ("yes set a", 0.1),
        ("yes i said it was", 0.1),
        ("", 0.5),
        ("?!", 0.5),
    ],
)
def test_the_last_words_tell_whether_a_turn_is_over(text: str, probability: float) -> None:
    assert completeness(text) == probability


def test_stop_stands_alone() -> None:
    assert all(map(is_stop, ["Stop!", "shut up", "hush", "That's enough.", "No, no."]))
    assert not any(map(is_stop, ["stop the timer", "", "no thank you"]))
