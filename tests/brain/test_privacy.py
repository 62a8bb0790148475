"""Labels: which words may go where, and who may change that during a call."""

from __future__ import annotations

import pytest

from voicebot.brain.detector import Detector
from voicebot.brain.privacy import CallPrivacy, Verdict, labelled, prompt_label, request_in, without_private
from voicebot.brain.redaction import Finder, Finding
from voicebot.core.labels import Label, label_named, strictest
from voicebot.engines.base import Message, ToolCall

OPEN = Verdict(Label.OPEN)


def test_the_strictest_label_of_a_prompt_is_the_label_of_the_whole_prompt() -> None:
    assert strictest([]) is Label.OPEN
    parts = [Message("user", "a", label=Label.OPEN), Message("user", "b", label=Label.REDACT)]
    assert prompt_label(parts) is Label.REDACT
    assert prompt_label([*parts, Message("user", "c")]) is Label.LOCAL_ONLY
    assert [message.label for message in labelled(parts, Label.REDACT)] == [Label.REDACT, Label.REDACT]


def test_a_label_has_a_name_and_an_unknown_name_is_an_error_that_lists_them() -> None:
    assert [str(label) for label in Label] == ["open", "redact", "local_only"]
    assert label_named("local_only") is Label.LOCAL_ONLY
    with pytest.raises(ValueError, match="'secret'; known, strictest first: local_only, redact, open"):
        label_named("secret")


def test_a_hold_keeps_its_turn_the_turn_before_and_all_later_ones_until_the_release() -> None:
    call = CallPrivacy(Label.OPEN)
    assert call.turn(1, OPEN) is Label.OPEN
    assert call.turn(2, OPEN) is Label.OPEN
    assert call.turn(3, Verdict(Label.LOCAL_ONLY, ("asked",), "hold")) is Label.LOCAL_ONLY
    assert call.turn(4, OPEN) is Label.LOCAL_ONLY
    assert call.turn(5, Verdict(Label.OPEN, (), "release")) is Label.OPEN
    labels = [call.label_of(turn) for turn in range(1, 7)]
    kept = Label.LOCAL_ONLY
    assert labels == [Label.OPEN, kept, kept, kept, Label.OPEN, kept]


def test_a_reopened_turn_never_becomes_laxer_and_the_default_is_a_floor() -> None:
    call = CallPrivacy(Label.REDACT)
    assert call.turn(1, Verdict(Label.LOCAL_ONLY)) is Label.LOCAL_ONLY
    assert call.turn(1, OPEN) is Label.LOCAL_ONLY
    assert call.turn(2, OPEN) is Label.REDACT


def test_an_answer_is_as_private_as_the_prompt_that_it_was_drawn_from() -> None:
    call = CallPrivacy(Label.OPEN)
    call.turn(1, OPEN)
    call.answered(1, Label.LOCAL_ONLY)
    call.answered(1, Label.OPEN)
    assert (call.label_of(1), call.label_of_answer(1), call.strictest) == (Label.OPEN, *[Label.LOCAL_ONLY] * 2)
    assert call.label_of_answer(2) is Label.LOCAL_ONLY, "never labelled"


def test_private_messages_leave_a_prompt_together_with_the_other_half_of_their_tool_calls() -> None:
    call = ToolCall("c1", "notes", {})
    messages = [
        Message("user", "open", label=Label.OPEN),
        Message("assistant", tool_calls=(call,), label=Label.OPEN),
        Message("tool", "secret", tool_call_id="c1"),
        Message("user", "details", label=Label.REDACT),
        Message("user", "unlabelled"),
    ]
    assert [message.text for message in without_private(messages)] == ["open", "details"]


@pytest.mark.parametrize(
    "text",
    [
        "keep this private", "Please keep that between us.", "this is off the record", "off the record, i am ill",
        "don't send this to anyone", "never tell anyone", "do not share that with anyone please",
        "okay between you and me he is leaving", "turn on private mode", "don't let this leave the building",
        "this stays here", "this is confidential", "stop sharing what i say", "this must stay private",
        "you can share that again but keep this private", "don’t share this",
    ],
)  # fmt: skip
def test_a_request_for_privacy_is_heard(text: str) -> None:
    assert request_in(text) == "hold"


@pytest.mark.parametrize(
    "text",
    ["you can share that again", "okay back on the record", "it's fine to share", "turn off private mode",
     "this is no longer private", "that doesn't need to be private anymore"],
)  # fmt: skip
def test_a_release_is_heard(text: str) -> None:
    assert request_in(text) == "release"


@pytest.mark.parametrize(
    "text",
    ["share my location with brad", "what is the record high today", "has anyone looked at my application",
     "can i use my boston private card", "what is the secret to life", "set a timer", ""],
)  # fmt: skip
def test_ordinary_words_are_no_request(text: str) -> None:
    assert request_in(text) == ""


def test_the_detector_names_kinds_and_never_words() -> None:
    detector = Detector(lambda: Finder(lambda _text: []))
    assert detector.label_of("what time is it") == Verdict(Label.OPEN)
    found = detector.label_of("call four one five five five five one two one two")
    assert found == Verdict(Label.REDACT, ("NUMBER",))
    asked = detector.label_of("my pin is 1234 keep this private")
    assert asked == Verdict(Label.LOCAL_ONLY, ("asked", "CODE"), "hold")


def test_a_detector_that_cannot_be_loaded_or_fails_keeps_every_turn_here_and_counts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def missing() -> Finder:
        raise ImportError("No module named 'presidio_analyzer'")

    def broken(text: str) -> list[tuple[str, int, int]]:
        raise RuntimeError(text)

    for detector in (Detector(missing), Detector(lambda: Finder(broken))):
        for turn in range(3):
            assert detector.label_of(f"canary {turn}") == Verdict(Label.LOCAL_ONLY, ("detector down",))
        assert detector.failures == 3 and detector.problem
    assert len(caplog.records) == 2
    assert "canary" not in caplog.text


def test_a_finding_has_a_place() -> None:
    found = Finder(lambda _text: []).find("my pin is 1234")
    assert found == (Finding("CODE", 10, 14),)
