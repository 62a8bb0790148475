"""Forty worlds in the fast suite; `make sim` runs a thousand."""

from __future__ import annotations

from collections import Counter

import pytest

from tests import virtual_time
from tests.sim.checks import Checks, Violated
from tests.sim.engines import BotWords, CallerWords
from tests.sim.world import World, play
from voicebot.core import events as ev

SEEDS = 40


@pytest.mark.parametrize("first", range(0, SEEDS, 10))
def test_no_world_breaks_an_invariant(first: int) -> None:
    for seed in range(first, first + 10):
        outcome = play(seed)
        assert not outcome.violation, f"seed {seed}: {outcome.violation}; see `python -m tests.sim.run --seed {seed}`"


def test_the_worlds_reach_what_they_are_there_for() -> None:
    counts = sum((play(seed).counts for seed in range(12)), Counter[str]())
    for name in ("barge_ins", "reopened", "resumed", "aborted", "failed", "ToolFinished", "TextTyped", "PlayoutHeard"):
        assert counts[name], f"12 worlds without {name}: {counts}"


@pytest.mark.parametrize("seed", [0, 3, 14])
def test_a_seed_is_the_same_world_again(seed: int) -> None:
    first, again = play(seed), play(seed)
    assert len(first.trace) > 50
    assert first.trace == again.trace


def test_an_engine_that_hears_nothing_but_its_samples_finds_the_words_in_them() -> None:
    words = CallerWords()
    first, second = words.say("hello", 200), words.say("again", 300)
    assert words.hear(first) == "hello"
    assert words.hear(second[:2000]) == "again"
    assert words.hear(second[:500]) == ""


# ---- the checks can fail


def test_a_violation_inside_a_step_is_reported_although_the_session_outlives_it() -> None:
    async def body() -> None:
        world = World(1)
        world.checks.on_sent = lambda event: world.checks.expect(event["type"] != "state", "as planted")  # type: ignore[method-assign]
        await world.live()

    with pytest.raises(Violated, match="as planted"):
        virtual_time.run(body())


def _checks() -> Checks:
    checks = Checks(BotWords())
    checks.on_step(ev.CallStarted(8000), 0.0, [ev.Speak(1, "hello"), ev.StartPlayout(1)])
    return checks


def test_a_second_live_reply_is_a_violation() -> None:
    with pytest.raises(Violated, match="goes live beside 1"):
        _checks().on_step(ev.TextTyped("x"), 1.0, [ev.Speak(2, "hi"), ev.StartPlayout(2)])


def test_sound_after_a_clear_is_a_violation() -> None:
    checks = _checks()
    frame = checks._words.say("hello", 1, 160)
    checks.on_pulled(frame)
    checks.on_step(ev.TextTyped("x"), 1.0, [ev.ClearPlayout(1), ev.DropReply(1)])
    with pytest.raises(Violated, match="a sample of reply 1 left"):
        checks.on_pulled(frame)


def test_sound_during_a_pause_is_a_violation() -> None:
    checks = _checks()
    checks.on_step(ev.WindowHeard(512, 1.0), 1.0, [ev.PausePlayout(1)])
    with pytest.raises(Violated, match="during a pause"):
        checks.on_pulled(checks._words.say("hello", 1, 160))


def test_a_tool_that_acts_before_the_commit_or_twice_is_a_violation() -> None:
    checks = _checks()
    tool = ev.ToolFinished(2, "call_1", "set_volume", {}, {}, "", acting=True)
    checks.on_step(ev.TextTyped("x"), 1.0, [ev.BeginReply(2, 2, "x")])
    with pytest.raises(Violated, match="before its turn was committed"):
        checks.on_step(tool, 1.1, [])
    checks.on_step(ev.TextTyped("x"), 1.2, [ev.CommitReply(2)])
    checks.on_step(tool, 1.3, [])
    with pytest.raises(Violated, match="ran twice"):
        checks.on_step(tool, 1.4, [])


def test_an_effect_of_a_dropped_reply_is_a_violation() -> None:
    checks = _checks()
    checks.on_step(ev.TextTyped("x"), 1.0, [ev.ClearPlayout(1), ev.DropReply(1)])
    with pytest.raises(Violated, match="late result of a dropped reply"):
        checks.on_step(ev.ReplyCompleted(1), 1.1, [ev.PublishState("listening")])


def test_history_that_was_not_played_and_torn_words_are_violations() -> None:
    checks = _checks()
    for word in ("one", "two", "three", "four"):
        checks._words.say(word, 1, 400)
    shown = ev.PublishReply(1, 1, "one two three four", "one two three four", final=True, interrupted=False)
    checks.on_step(ev.TextTyped("x"), 1.0, [ev.ClearPlayout(1), ev.DropReply(1), shown])
    checks.played.update({1: 400, 2: 400})
    with pytest.raises(Violated, match="history has 4 words, 2 were played"):
        checks.heard_is_played(160, 0)
    checks.played.update({3: 200, 4: 400})
    with pytest.raises(Violated, match="was torn"):
        checks.heard_is_played(160, 0)


def test_an_open_turn_at_the_end_is_a_violation() -> None:
    checks = Checks(BotWords())
    checks.on_step(ev.WindowHeard(512, 1.0), 0.5, [ev.BeginListening(1, 0)])
    with pytest.raises(Violated, match="open turn"):
        checks.on_step(ev.CallEnded("gone"), 1.0, [])


def test_a_reply_that_was_shown_and_never_ended_is_a_violation() -> None:
    checks = Checks(BotWords())
    shown = ev.PublishReply(1, 1, "one", "", final=False, interrupted=False)
    checks.on_step(ev.TextTyped("x"), 0.5, [ev.BeginReply(1, 1, "x"), shown, ev.DropReply(1)])
    with pytest.raises(Violated, match="no final state"):
        checks.on_step(ev.CallEnded("gone"), 1.0, [])


def test_a_queue_beyond_its_bound_is_a_violation() -> None:
    async def body() -> None:
        world = World(1)
        for number in range(5):
            world.session._speaker.complete(number)
        with pytest.raises(Violated, match="tracks are kept"):
            await world._watch()

    virtual_time.run(body())
