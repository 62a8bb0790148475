"""What a model gets to see of the talk."""

from __future__ import annotations

from voicebot.core.history import History, Line, ToolUse


def test_each_exchange_becomes_its_messages_with_calls_next_to_results() -> None:
    history = History(turns=12)
    history.add(1, "").bot = "Hello!"
    exchange = history.add(2, "what time is it")
    tool = ToolUse("t1", "clock", {}, {"time": "5"})
    exchange.tools.append(tool)
    exchange.bot = "It is five."
    assert history.lines() == [
        Line("assistant", "Hello!", turn=1),
        Line("user", "what time is it", turn=2),
        Line("assistant", tool=tool, turn=2),
        Line("tool", tool=tool, turn=2),
        Line("assistant", "It is five.", turn=2),
    ]


def test_an_interrupted_reply_is_marked_and_an_unheard_one_left_out() -> None:
    history = History(turns=12)
    cut, unheard = history.add(1, "tell me"), history.add(2, "stop")
    cut.bot, cut.interrupted, unheard.interrupted = "Once upon", True, True
    assert history.lines() == [
        Line("user", "tell me", turn=1),
        Line("assistant", "Once upon—", turn=1),
        Line("user", "stop", turn=2),
    ]


def test_a_late_answer_belongs_to_the_turn_that_asked_for_it() -> None:
    history = History(turns=2)
    history.add(7, "", about=3).bot = "Of many causes."
    assert history.lines() == [Line("assistant", "Of many causes.", turn=3)]


def test_a_prompt_contains_the_last_turns_whole() -> None:
    history = History(turns=2)
    for number in range(4):
        history.add(number, f"q{number}").bot = f"a{number}"
    assert [line.text for line in history.lines()] == ["q2", "a2", "q3", "a3"]


def test_a_prompts_beginning_stays_until_its_older_half_goes_at_once() -> None:
    history, first, count = History(turns=4), [], []
    for number in range(9):
        history.add(number, f"q{number}")
        lines = history.lines()
        assert lines[-1].text == f"q{number}"
        first.append(lines[0].turn)
        count.append(len(lines))
    assert first == [0, 0, 0, 0, 2, 2, 4, 4, 6]
    assert count == [1, 2, 3, 4, 3, 4, 3, 4, 3]


def test_the_words_of_the_turn_that_is_to_be_answered_are_not_among_those_before_it() -> None:
    history = History(turns=2)
    for number in range(1, 4):
        history.add(number, f"q{number}")
    assert [line.text for line in history.lines(before=3)] == ["q1", "q2"], "as if it were no exchange yet"
    assert [line.text for line in history.lines(before=4)] == ["q2", "q3"]


def test_a_turn_taken_back_is_gone() -> None:
    history = History(turns=2)
    history.add(1, "one")
    history.add(2, "two")
    history.remove(1)
    history.remove(9)
    assert [exchange.caller for exchange in history.exchanges] == ["two"]


def test_the_last_reply_is_the_last_that_was_heard() -> None:
    history = History(turns=1)
    assert history.last_reply() == ""
    history.add(1, "a").bot = "first"
    history.add(2, "b").bot = "second"
    history.add(3, "c")
    assert history.last_reply() == "second"
