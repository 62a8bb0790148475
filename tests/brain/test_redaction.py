"""Personal details: found in spoken form, taken out, and put back into an answer cut anywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.brain import spoken_pii
from voicebot.brain.redaction import EXPLAINED, Finder, Placeholders, Redactor, Restorer
from voicebot.core.labels import Label
from voicebot.engines.base import LlmChunk, LlmDone, Message, TextDelta, ToolCall
from voicebot.errors import EgressDenied

SET = Path(__file__).parent / "data" / "spoken_pii.jsonl"
PHONE = "four one five five five five one two one two"


@pytest.fixture(scope="module")
def finder() -> Finder:
    """With Presidio's recognisers."""
    pytest.importorskip("presidio_analyzer")
    return Finder()


def redactor() -> Redactor:
    """With our own rules alone."""
    return Redactor(Finder(lambda _text: []))


def user(text: str) -> Message:
    return Message("user", text, label=Label.REDACT)


def is_covered(finder: Finder, text: str, private: str) -> bool:
    """Whether every letter and digit of the private words is inside something found."""
    start = text.index(private)
    inside = {at for found in finder.find(text) for at in range(found.start, found.stop)}
    return all(at in inside or not text[at].isalnum() for at in range(start, start + len(private)))


def test_the_spoken_set_is_what_its_maker_writes() -> None:
    written = [json.loads(line) for line in SET.read_text().splitlines()]
    assert written == spoken_pii.lines()
    assert len(written) >= 300


@pytest.mark.parametrize("half", ["dev", "held"])
def test_at_least_98_percent_of_spoken_details_are_found_whole(finder: Finder, half: str) -> None:
    rows = [row for row in map(json.loads, SET.read_text().splitlines()) if row["half"] == half]
    missed = [row for row in rows if not is_covered(finder, row["text"], row["private"])]
    assert len(missed) <= 0.02 * len(rows), missed


def test_a_recogniser_names_what_its_checksum_proves(finder: Finder) -> None:
    def kinds(text: str) -> list[str]:
        return [found.kind for found in finder.find(text)]

    assert kinds("it is four one one one one one one one one one one one one one one one") == ["CREDIT_CARD"]
    assert kinds("my social is 457-55-5462") == ["US_SSN"]
    assert kinds(
        "d e eight nine three seven oh four oh oh four four oh five three two oh one three oh double zero"
    ) == ["IBAN_CODE"]


@pytest.mark.parametrize(
    "text",
    ["what is 15% of 3143", "transfer 20000 dollars to savings", "transfer one thousand two hundred dollars",
     "wake me at seven thirty", "it was in twenty twenty four", "two for one pizza to go", "i have a one o'clock"],
)  # fmt: skip
def test_sums_prices_and_times_are_no_details(text: str) -> None:
    assert Finder(lambda _text: []).find(text) == ()


def test_the_same_value_has_the_same_placeholder_in_every_form_for_the_whole_call() -> None:
    redact = redactor()
    first = redact.redact([user(f"call {PHONE}")])
    again = redact.redact([user("is it 4155551212"), user("or 415-555-1212")])
    assert [message.text for message in first] == [EXPLAINED, "call <NUMBER_1>"]
    assert [message.text for message in again] == [EXPLAINED, "is it <NUMBER_1>", "or <NUMBER_1>"]


def test_a_name_once_introduced_is_taken_out_everywhere_also_before_and_in_part() -> None:
    clean = redactor().redact([Message("assistant", "Hi Maria."), user("my name is maria lopez"), user("bye, lopez")])
    assert [message.text for message in clean[1:]] == ["Hi <PERSON_1>.", "my name is <PERSON_1>", "bye, <PERSON_1>"]


def test_arguments_of_tool_calls_are_redacted_by_the_words_of_their_keys() -> None:
    call = ToolCall("c", "pay", {"pin": 1234, "note": f"call {PHONE}", "times": [3], "deep": {"ok": True}})
    (_, message) = redactor().redact([Message("assistant", tool_calls=(call,))])
    assert message.tool_calls[0].arguments == {
        "pin": "<CODE_1>", "note": "call <NUMBER_1>", "times": [3], "deep": {"ok": True},
    }  # fmt: skip


def test_a_prompt_without_details_is_unchanged() -> None:
    messages = [Message("system", "Be short."), user("what time is it")]
    assert redactor().redact(messages) == messages


def test_a_failure_denies_and_does_not_repeat_the_words() -> None:
    def broken(text: str) -> list[tuple[str, int, int]]:
        raise RuntimeError(text)

    with pytest.raises(EgressDenied, match="RuntimeError") as denied:
        Redactor(Finder(broken)).redact([user("canary")])
    assert "canary" not in str(denied.value) and denied.value.__suppress_context__


def text_of(chunks: list[LlmChunk]) -> str:
    return "".join(chunk.text for chunk in chunks if isinstance(chunk, TextDelta))


def test_an_answer_cut_anywhere_is_restored_exactly() -> None:
    known = Placeholders()
    assert known.name_for("PERSON", "maria lopez") == "<PERSON_1>"
    assert known.name_for("NUMBER", PHONE) == "<NUMBER_1>"
    answer = "a < b, <PERSON_1>: <number_1>, <PERSON_9>, <NUMBER_1"
    want = f"a < b, maria lopez: {PHONE}, <PERSON_9>, <NUMBER_1"
    for size in range(1, len(answer) + 1):
        restore = Restorer(known)
        chunks: list[LlmChunk] = [TextDelta(answer[at : at + size]) for at in range(0, len(answer), size)]
        out = [done for chunk in [*chunks, LlmDone("stop")] for done in restore.feed(chunk)]
        assert text_of(out) == want, size
        assert out[-1] == LlmDone("stop")


def test_text_without_an_open_bracket_is_never_held_back() -> None:
    restore = Restorer(Placeholders())
    assert restore.feed(TextDelta("Good ")) == [TextDelta("Good ")]


def test_tool_arguments_of_an_answer_are_restored() -> None:
    known = Placeholders()
    known.name_for("NUMBER", PHONE)
    asked: dict[str, Any] = {"to": "<NUMBER_1>", "list": ["x <NUMBER_1>"], "n": 3}
    assert Restorer(known).feed(ToolCall("c", "send", asked)) == [
        ToolCall("c", "send", {"to": PHONE, "list": [f"x {PHONE}"], "n": 3})
    ]
