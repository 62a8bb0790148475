"""What was queued of a reply, what was heard, and which words that was."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from voicebot.core.playout import ReplyPlayout


def reply(*clauses: tuple[str, int, bool]) -> ReplyPlayout:
    """At 1000 samples a second."""
    playout = ReplyPlayout(1000)
    for number, (text, samples, done) in enumerate(clauses):
        playout.write(number, text)
        playout.queue(number, samples, done)
    return playout


def heard(playout: ReplyPlayout, samples: int) -> str:
    playout.hear(samples)
    return playout.heard_text()


def test_a_word_is_heard_when_its_middle_has_been_heard() -> None:
    playout = reply(("one three five", 1500, True))
    shares = [(0, ""), (150, "one"), (649, "one"), (650, "one three"), (1199, "one three"), (1200, "one three five")]
    assert [(at, heard(playout, at)) for at, _ in shares] == shares


def test_clauses_are_heard_one_after_the_other() -> None:
    playout = reply(("One.", 400, True), ("Two three.", 1000, True))
    assert playout.text == "One. Two three."
    assert playout.queued_samples == 1400
    assert heard(playout, 400) == "One."
    assert heard(playout, 900) == "One. Two"
    assert (playout.unheard_ms, heard(playout, 1400)) == (500, "One. Two three.")


def test_nobody_hears_more_than_was_queued_or_less_than_before() -> None:
    playout = reply(("One.", 400, True))
    assert playout.hear(9999)
    assert playout.heard_samples == 400
    assert not playout.hear(100) and not playout.hear(400)
    assert playout.heard_samples == 400


def test_a_clause_still_being_made_is_taken_to_be_as_long_as_slow_speech() -> None:
    playout = reply(("one two three four", 500, False))
    assert heard(playout, 500) == "one"
    playout.queue(0, 0, True)
    assert playout.heard_text() == "one two three four"


def test_a_clause_longer_than_thought_takes_no_word_back() -> None:
    playout = reply(("one two", 700, False))
    assert heard(playout, 500) == "one two"
    playout.queue(0, 5000, True)
    assert playout.heard_text() == "one two"


def test_a_clause_without_sound_is_heard_with_the_one_before_it() -> None:
    playout = reply(("One.", 400, True), ("…", 0, True), ("Two.", 400, False))
    assert heard(playout, 0) == ""
    assert heard(playout, 400) == "One. …"


def test_what_is_not_the_next_clause_or_was_never_written_changes_nothing() -> None:
    playout = reply(("One.", 400, True))
    assert not playout.write(0, "again") and not playout.write(2, "too soon")
    assert not playout.queue(1, 10, True) and not playout.queue(-1, 10, True)
    assert (playout.text, playout.queued_samples) == ("One.", 400)


STEPS = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(["one two three.", "a", "hello there you"])),
    st.tuples(st.just("queue"), st.integers(0, 4), st.integers(0, 3000), st.booleans()),
    st.tuples(st.just("hear"), st.integers(0, 9000)),
)


@given(st.lists(STEPS, max_size=30))
def test_what_was_heard_is_a_beginning_of_what_was_written_and_only_grows(steps: list[tuple[str, int]]) -> None:
    playout, before, written = ReplyPlayout(1000), "", 0
    for name, *args in steps:
        match name:
            case "write":
                written += playout.write(written, *args)
            case "queue":
                playout.queue(*args)
            case _:
                playout.hear(*args)
        now = playout.heard_text()
        assert playout.text.startswith(now) and now.startswith(before)
        before = now


def timed(*starts: tuple[int, int], samples: int = 1000, done: bool = True) -> ReplyPlayout:
    playout = ReplyPlayout(1000)
    playout.write(0, "twenty-seven is it")
    playout.queue(0, 0, False, starts)
    playout.queue(0, samples, done)
    return playout


def test_a_voice_that_tells_its_times_is_believed_and_not_the_letters() -> None:
    playout = timed((0, 0), (1, 200), (2, 300))
    assert [heard(playout, at) for at in (99, 100, 249, 250, 649, 650)] == [
        "",
        "twenty-seven",
        "twenty-seven",
        "twenty-seven is",
        "twenty-seven is",
        "twenty-seven is it",
    ]


def test_words_that_the_voice_says_as_one_are_heard_together() -> None:
    playout = timed((0, 0), (2, 400))
    assert heard(playout, 199) == ""
    assert heard(playout, 200) == "twenty-seven is"
    assert heard(playout, 1000) == "twenty-seven is it"


def test_times_that_come_while_the_clause_is_being_said_count_for_what_there_is() -> None:
    playout = timed((0, 0), (1, 400), samples=500, done=False)
    assert heard(playout, 449) == "twenty-seven"
    playout.queue(0, 500, True, [(2, 600)])
    assert heard(playout, 799) == "twenty-seven is"
    assert heard(playout, 800) == "twenty-seven is it"
