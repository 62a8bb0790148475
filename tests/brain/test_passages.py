"""The index of the operator's documents: what is found, how much of a question it covers, what is spoken of it."""

from __future__ import annotations

import pytest

from voicebot.brain.passages import PASSAGE_WORDS, PassageIndex, best_sentences, sentences, split, stem, terms

HANDBOOK = """# Harbour Hotel

## Opening hours

The front desk is **open** day and night. The [kitchen](menu.md) opens at seven and closes at ten in the evening.

## Parking

- A parking space costs twelve euros a night. Guests with a permit park for free.

## Pets

Dogs are welcome for an extra fee of fifteen euros. Cats stay at home.
"""
INDEX = PassageIndex(split("handbook.md", HANDBOOK) + split("wifi.txt", "The wireless password is on the key card.\n"))


def test_passages_carry_their_headings_and_no_markup() -> None:
    first = INDEX.passages[0]
    assert (first.source, first.title) == ("handbook.md", "Harbour Hotel: Opening hours")
    assert first.text.startswith("The front desk is open day and night. The kitchen opens")
    assert INDEX.passages[1].text == "A parking space costs twelve euros a night. Guests with a permit park for free."


@pytest.mark.parametrize(
    ("question", "title", "spoken"),
    [
        (
            "when does the kitchen close",
            "Opening hours",
            "The kitchen opens at seven and closes at ten in the evening.",
        ),
        ("how much is parking per night", "Parking", "A parking space costs twelve euros a night."),
        ("can i bring my dog", "Pets", "Dogs are welcome for an extra fee of fifteen euros."),
    ],
)
def test_a_question_finds_its_passage_and_the_sentence_that_answers_it(question: str, title: str, spoken: str) -> None:
    best = INDEX.search(question)[0]
    assert best.passage.title.endswith(title)
    assert best_sentences(best).startswith(spoken)


def test_coverage_tells_a_question_that_is_answered_from_one_that_only_shares_a_word() -> None:
    assert INDEX.covers("when does the kitchen close") > 0.9
    assert INDEX.covers("why did the roman empire fall at night") < 0.5
    assert INDEX.covers("quantum chromodynamics lecture") == 0.0
    assert INDEX.covers("what time is it") == 0.0, "one word that says anything proves nothing"


def test_nothing_is_found_without_words_or_documents() -> None:
    assert INDEX.search("what is it") == [] and PassageIndex([]).search("kitchen") == []


def test_long_paragraphs_are_cut_at_sentences_and_none_is_lost() -> None:
    text = " ".join(f"Sentence number {n} has a few plain words in it." for n in range(60))
    parts = split("long.txt", text)
    assert len(parts) > 3 and " ".join(part.text for part in parts) == text
    assert all(len(part.text.split()) <= PASSAGE_WORDS for part in parts)


FORMS = "opening open, fees fee, parties party, closes close, parked park, houses house"


@pytest.mark.parametrize(("one", "other"), [tuple(pair.split()) for pair in FORMS.split(", ")])
def test_forms_of_a_word_meet(one: str, other: str) -> None:
    assert stem(one) == stem(other)


def test_small_words_say_nothing() -> None:
    assert terms("What is the Wi-Fi password?") == ["wi", "fi", "password"]
    assert sentences("It is 3.5 km. Turn left.") == ["It is 3.5 km.", "Turn left."]
