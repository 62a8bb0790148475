"""The call's ear on virtual time: streams fed as speech comes, drafts answered, decoders given back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import numpy as np
import pytest

from tests.sim.engines import CallerWords, SimStt
from tests.sim.lane import Behaviour, VirtualLane
from tests.virtual_time import run
from voicebot.core.audio import WINDOW_SAMPLES, Pcm, SpeechRing
from voicebot.core.events import DraftFailed, DraftTranscribed, Event, PartialTranscribed
from voicebot.hearing import Hearing

FIRST_S = 0.05


class Ear:
    """A Hearing of turn 1 with its lane, its ring and what it reported."""

    def __init__(self, streams: float, behaviour: Behaviour) -> None:
        self.words = CallerWords()
        self.stt = SimStt(Random(1), self.words, streams)
        self.lane = VirtualLane(self.stt, behaviour, Random(2))
        self.ring = SpeechRing()
        self.reported: list[Event] = []
        self.hearing = Hearing(self.lane, self.ring, self.reported.append, 1, 0)

    def say(self, *words: str) -> int:
        """Speak 200 ms a word; the sample after it."""
        for word in words:
            self.ring.push(self.words.say(word, 200))
        self.hearing.more(self.ring.stop_sample)
        return self.ring.stop_sample


def listen(
    body: Callable[[Ear], Coroutine[Any, Any, None]],
    streams: float = 1.0,
    behaviour: Behaviour = Behaviour((FIRST_S, FIRST_S)),
) -> Ear:
    """Run `body` beside a listening ear, then stop listening; no decoder may be left open."""

    async def world() -> Ear:
        ear = Ear(streams, behaviour)
        ear.lane.start()
        task = asyncio.create_task(ear.hearing.run(), name="hearing")
        await body(ear)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await ear.lane.aclose()
        return ear

    ear = run(world())
    assert ear.stt.open == 0
    return ear


def drafts(ear: Ear) -> list[tuple[int, str]]:
    return [(event.draft, event.text) for event in ear.reported if isinstance(event, DraftTranscribed)]


def test_a_stream_tells_partial_words_and_then_the_draft() -> None:
    async def body(ear: Ear) -> None:
        ear.say("hello")
        await asyncio.sleep(0.5)
        stop = ear.say("there")
        await asyncio.sleep(0.5)
        ear.hearing.draft(7, 0, stop)
        await asyncio.sleep(0.5)

    ear = listen(body)
    assert ear.reported == [
        PartialTranscribed(1, "hello"),
        PartialTranscribed(1, "hello there"),
        DraftTranscribed(7, "hello there", 0.9),
    ]


def hiss(samples: int) -> Pcm:
    """Too loud for a hush."""
    return np.tile(np.array([500, -500], dtype=np.int16), samples // 2)


@pytest.mark.parametrize("guesses", [True, False])
def test_a_stream_is_told_of_silence_from_the_first_whole_window_that_is_not_voiced(guesses: bool) -> None:
    async def body(ear: Ear) -> None:
        stop = ear.say("hello", "hello", "and", "again")
        assert stop % WINDOW_SAMPLES == 0
        for _ in range(4):
            await asyncio.sleep(0.3)
            ear.ring.push(hiss(WINDOW_SAMPLES // 2))
            ear.hearing.more(stop if guesses else None)
        await asyncio.sleep(0.3)
        ear.say("there")
        await asyncio.sleep(0.3)

    assert list(listen(body).stt.silences) == ([0, 160, 160 + WINDOW_SAMPLES, 0] if guesses else [0, 0, 0, 0])


@pytest.mark.parametrize("guesses", [True, False])
def test_a_stream_is_told_of_a_hush_before_a_window_of_it_has_come(guesses: bool) -> None:
    async def body(ear: Ear) -> None:
        stop = ear.say("hello", "hello", "and", "again")
        for piece in (100, 100, 100, WINDOW_SAMPLES - 300):
            await asyncio.sleep(0.3)
            ear.ring.push(np.zeros(piece, dtype=np.int16))
            ear.hearing.more(stop + WINDOW_SAMPLES if guesses else None)  # The detector still calls it speech.
        await asyncio.sleep(0.3)
        ear.say("there")
        await asyncio.sleep(0.3)

    assert list(listen(body).stt.silences) == ([0, 200, WINDOW_SAMPLES, 0] if guesses else [0, 0, 0])


def test_more_speech_at_once_than_the_ring_holds_is_judged_by_what_is_left_of_it() -> None:
    async def body(ear: Ear) -> None:
        ear.say("hello")
        await asyncio.sleep(0.3)
        ear.ring.push(np.zeros(40 * 16_000 + 7, dtype=np.int16))
        stop = ear.say("there")
        await asyncio.sleep(0.3)
        ear.ring.push(np.zeros(320, dtype=np.int16))
        ear.hearing.more(stop)
        await asyncio.sleep(0.3)

    told = list(listen(body).stt.silences)
    assert told[0] == told[1] == 0 and 160 <= told[2] <= 320


def test_without_a_stream_a_draft_is_one_transcription_of_its_range() -> None:
    async def body(ear: Ear) -> None:
        first = ear.say("hello")
        stop = ear.say("there")
        ear.hearing.draft(7, first, stop)
        await asyncio.sleep(0.5)

    assert listen(body, streams=0.0).reported == [DraftTranscribed(7, "there", 0.9)]


def test_an_aborted_draft_is_never_answered_and_the_next_one_hears_the_whole_turn() -> None:
    async def body(ear: Ear) -> None:
        stop = ear.say("hello")
        ear.hearing.draft(7, 0, stop)
        await asyncio.sleep(FIRST_S * 1.5)
        ear.hearing.abort(7)
        await asyncio.sleep(0.5)
        ear.hearing.draft(8, 0, ear.say("there"))
        await asyncio.sleep(0.5)

    for streams in (0.0, 1.0):
        assert drafts(listen(body, streams)) == [(8, "hello there")]


def test_a_draft_aborted_after_its_answer_is_followed_by_a_new_stream() -> None:
    async def body(ear: Ear) -> None:
        ear.hearing.draft(7, 0, ear.say("hello"))
        await asyncio.sleep(0.5)
        ear.hearing.abort(7)
        ear.hearing.draft(8, 0, ear.say("there"))
        await asyncio.sleep(0.5)

    assert drafts(listen(body)) == [(7, "hello"), (8, "hello there")]


def test_a_failure_is_told_to_the_draft_that_waits_and_the_ear_lives_on() -> None:
    failing = Behaviour((FIRST_S, FIRST_S), fails=1.0)

    async def body(ear: Ear) -> None:
        await asyncio.sleep(1)
        assert ear.reported == []
        for draft in (7, 8):
            ear.hearing.draft(draft, 0, ear.say("hello"))
            await asyncio.sleep(0.5)

    reported = listen(body, behaviour=failing).reported
    assert [type(event) for event in reported] == [DraftFailed, DraftFailed]
    assert [event.draft for event in reported if isinstance(event, DraftFailed)] == [7, 8]


def test_a_turn_that_ends_while_its_stream_is_being_opened_gives_the_decoder_back() -> None:
    async def body(_ear: Ear) -> None:
        await asyncio.sleep(FIRST_S / 2)

    listen(body)


def test_a_decoder_opened_for_a_turn_that_has_gone_is_given_back() -> None:
    """On a real lane with several threads the open may end after the clean-up has run."""

    async def body() -> None:
        stt = SimStt(Random(1), CallerWords(), 1.0)

        class LateLane(VirtualLane[SimStt]):
            """Runs clean-ups at once, before the job that is still in its engine."""

            def soon(self, work: Any) -> None:
                work(None)

        lane = LateLane(stt, Behaviour((1.0, 1.0)), Random(2))
        lane.start()
        task = asyncio.create_task(Hearing(lane, SpeechRing(), print, 1, 0).run(), name="hearing")
        await asyncio.sleep(0.5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(1)
        assert stt.open == 0
        await lane.aclose()

    run(body())


def test_silence_alone_is_an_empty_draft() -> None:
    async def body(ear: Ear) -> None:
        ear.ring.push(np.zeros(3200, np.int16))
        ear.hearing.draft(7, 0, 3200)
        await asyncio.sleep(0.5)

    assert drafts(listen(body)) == [(7, "")]
