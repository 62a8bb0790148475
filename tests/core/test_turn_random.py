"""Random calls, with stale, repeated and misplaced events: the rules of the machine hold in all of them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.core.invariants import check_call
from tests.core.script import MADE, RATE_HZ, Script
from voicebot.core import events as ev
from voicebot.core.client_turns import ClientTurns
from voicebot.core.trace import end_line, replay

WORDS = st.sampled_from(["", "mm-hm", "yes", "stop", "hello there", "set a timer for", "what time is it", "..."])
PICK = st.integers(0, 3)
STEPS = st.one_of(
    st.tuples(st.just("speak"), st.integers(1, 30)),
    st.tuples(st.just("quiet"), st.integers(1, 45)),
    st.tuples(st.just("wait"), st.integers(1, 4000)),
    st.tuples(st.just("lull"), st.integers(0, 40)),
    st.tuples(st.just("heard"), st.integers(0, 3000)),
    st.tuples(st.just("transcribed"), PICK, WORDS),
    st.tuples(st.just("partial"), PICK, WORDS),
    st.tuples(st.just("draft failed"), PICK),
    st.tuples(st.just("scored"), PICK, st.floats(0, 1)),
    st.tuples(st.just("began"), PICK),
    st.tuples(st.just("clause"), PICK, st.integers(0, 2), st.sampled_from(["One two.", "Shall I?", "a"])),
    st.tuples(st.just("audio"), PICK, st.integers(-1, 2), st.integers(0, 40_000), st.booleans()),
    st.tuples(st.just("tool began"), PICK),
    st.tuples(st.just("tool"), PICK, st.booleans()),
    st.tuples(st.just("completed"), PICK),
    st.tuples(st.just("reply failed"), PICK, st.sampled_from(["llm", "tts"])),
    st.tuples(st.just("playout started"), PICK),
    st.tuples(st.just("playout finished"), PICK),
    st.tuples(st.just("playout heard"), PICK, st.integers(0, 50_000)),
    st.tuples(st.just("notice"), WORDS),
    st.tuples(st.just("notice withdrawn"), WORDS),
    st.tuples(st.just("wanted"), PICK, WORDS),
    st.tuples(st.just("ready"), PICK),
    st.tuples(st.just("refused"), PICK),
    st.tuples(st.just("typed"), WORDS),
    st.tuples(st.just("key"), st.sampled_from("1#x")),
    st.tuples(st.just("deadline")),
    st.tuples(st.just("started")),
)
ANSWERED = [("speak", 15), ("quiet", 2), ("transcribed", 0, "hello there"), ("quiet", 12), ("clause", 0, 0, "One two.")]
ERRAND = [("speak", 15), ("quiet", 2), ("transcribed", 0, "hello there"), ("wanted", 0, "hello there"), ("quiet", 12)]
CALLS = st.lists(STEPS, max_size=40)


def event_of(talk: Script, name: str, *args: Any) -> ev.Event:
    """The event, its id the newest, an older one, or one that never was."""
    match name:
        case "notice":
            return ev.NoticeDue(*args)
        case "notice withdrawn":
            return ev.NoticeWithdrawn(*args)
        case "typed":
            return ev.TextTyped(*args)
        case "key":
            return ev.DigitPressed(*args)
        case "deadline":
            return ev.DeadlinePassed()
        case "started":
            return ev.CallStarted(RATE_HZ)
    pick, *rest = args
    drafts = [c.draft for c in talk.all(ev.BeginDraft)]
    turns = [c.turn for c in talk.all(ev.BeginListening)]
    known = [c.reply for c in talk.log if isinstance(c, MADE)]
    if name in ("ready", "refused"):
        known = [c.errand for c in talk.all(ev.BeginErrand)]
    elif name in ("transcribed", "draft failed", "scored", "partial"):
        known = turns if name == "partial" else drafts
    number = known[-1 - pick // 2] if len(known) > pick // 2 else pick
    match name:
        case "transcribed":
            return ev.DraftTranscribed(number, *rest)
        case "partial":
            return ev.PartialTranscribed(number, *rest)
        case "draft failed":
            return ev.DraftFailed(number, "broken")
        case "scored":
            return ev.EndScored(number, *rest)
        case "began":
            return ev.ReplyBegan(number, "talker")
        case "clause":
            return ev.ClauseWritten(number, *rest)
        case "audio":
            return ev.AudioQueued(number, *rest)
        case "tool began":
            return ev.ToolBegan(number, "clock")
        case "tool":
            return ev.ToolFinished(number, "t1", "clock", {}, {"a": 1}, "", *rest)
        case "wanted":
            return ev.ErrandWanted(number, *rest)
        case "ready":
            return ev.ErrandReady(number, "answered")
        case "refused":
            return ev.ErrandRefused(number)
        case "completed":
            return ev.ReplyCompleted(number)
        case "reply failed":
            return ev.ReplyFailed(number, *rest, "broken")
        case "playout heard":
            return ev.PlayoutHeard(number, *rest)
        case "playout started":
            return ev.PlayoutStarted(number)
    return ev.PlayoutFinished(number)


def play(steps: list[Any], **options: Any) -> Script:
    talk = Script(**options)
    for name, *args in steps:
        match name:
            case "speak":
                talk.speak(args[0] * 32)
            case "quiet":
                talk.quiet(args[0] * 32)
            case "wait":
                talk.wait(args[0])
            case "lull":
                talk.lull(args[0])
            case "heard":
                talk.heard_ms = args[0]
            case _:
                talk.feed(event_of(talk, name, *args))
    return talk


random_calls = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@random_calls
@given(CALLS)
@example([*ANSWERED, ("speak", 5), ("reply failed", 0, "llm"), ("quiet", 2), ("transcribed", 0, "stop")])
@example([*ERRAND, ("ready", 0), ("completed", 0), ("quiet", 20), ("clause", 0, 0, "One two."), ("speak", 30)])
@example([*ANSWERED, ("speak", 30), ("quiet", 2), ("transcribed", 0, ""), ("quiet", 45)])
def test_every_random_call_keeps_the_rules(steps: list[Any]) -> None:
    talk = play(steps, greeting="Hello")
    talk.feed(ev.CallEnded("hung up"))
    assert talk.feed(ev.TextTyped("after the end")) == talk.feed(ev.WindowHeard(0, 1.0)) == []
    check_call(talk)


@random_calls
@given(CALLS)
def test_with_silence_and_deadlines_alone_every_call_comes_to_rest(steps: list[Any]) -> None:
    talk = play(steps)
    talk.quiet(3200)
    for _ in range(300):
        if talk.machine.deadline is None:
            break
        talk.wait(max(0.0, talk.due_in_ms()) + 1)
    assert (talk.state, talk.machine.deadline) == ("listening", None)


@random_calls
@given(CALLS, st.booleans())
def test_a_replay_of_any_call_is_identical_and_one_of_a_tampered_call_is_not(steps: list[Any], ends: bool) -> None:
    talk = play(steps)
    if ends:
        talk.feed(ev.CallEnded("hung up"))
        talk.trace.append(end_line("hung up", dict(talk.machine.counts)))
    assert replay(talk.trace) is None
    at = next(i for i, line in enumerate(talk.trace) if '"command"' in line)
    changed = json.dumps({**json.loads(talk.trace[at]), "command": "EndCall"})
    difference = replay([*talk.trace[:at], changed, *talk.trace[at + 1 :]])
    assert difference is not None and difference.line == at


@random_calls
@given(CALLS)
def test_the_same_events_cause_the_same_commands(steps: list[Any]) -> None:
    assert play(steps).log == play(steps).log


@random_calls
@given(
    st.lists(st.sampled_from([ev.WindowHeard(512, 0.9), ev.TextTyped("x"), ev.DeadlinePassed(), ev.PlayoutStarted(1)]))
)
def test_nothing_that_comes_too_early_counts(events: list[ev.Event]) -> None:
    machine = ClientTurns(Script().settings)
    assert [command for event in events for command in machine.step(event, 0.0)] == []
