"""Words whose sound is kept: spoken without the TTS lane, and the same sound as the lane would make."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from tests.brain.test_reply import QUICK, ListedSink, Made
from tests.sim.lane import Behaviour, VirtualLane
from tests.virtual_time import run
from voicebot.brain.fixed_words import FIXED_WORDS, acknowledgement
from voicebot.brain.phrases import LONGEST_CHARS, MOST, RATES_HZ, Phrases, converted
from voicebot.brain.reply import Reply
from voicebot.core import events as ev
from voicebot.core.audio import Pcm, dbfs
from voicebot.core.settings import TurnSettings
from voicebot.engines.base import Cancel
from voicebot.engines.registry import create
from voicebot.lane import Lane
from voicebot.warmup import make_phrases

SLOW = Behaviour(first_s=(2.0, 2.0))
"""As behind another call's long sentence."""
APOLOGY = "Sorry, something went wrong. Please say that again."


class Voice:
    """Speaks a ramp of ten samples a character, and counts what it is asked."""

    name, locality, max_concurrency, sample_rate_hz = "ramp", "local", 1, 8_000

    def __init__(self) -> None:
        self.asked: list[str] = []

    def load(self) -> None: ...

    def close(self) -> None: ...

    def synthesize(self, text: str, cancel: Cancel) -> Iterator[Pcm]:
        self.asked.append(text)
        yield np.arange(10 * len(text), dtype=np.int16)


def warmed(texts: list[str], body: Any, behaviour: Behaviour = QUICK) -> Voice:
    """Run `body(phrases, lane)` after `texts` were made."""
    voice = Voice()

    async def main() -> None:
        lane: VirtualLane[Any] = VirtualLane(voice, behaviour, Random(1))
        lane.start()
        phrases = Phrases()
        await phrases.warm(lane, texts)
        await body(phrases, lane)
        await lane.aclose()

    run(main())
    return voice


def test_an_apology_is_heard_at_once_however_busy_the_voice_is_and_it_is_not_made_again() -> None:
    async def body(phrases: Phrases, lane: VirtualLane[Any]) -> None:
        made = Made()
        loop = asyncio.get_running_loop()
        began = loop.time()
        sink = ListedSink()
        reply = Reply(5, lane, sink, made.events.append, made.tools.for_reply(5, 1), 8_000, phrases)
        await reply.speak(APOLOGY)
        assert loop.time() == began
        assert made.clauses == ["Sorry, something went wrong.", "Please say that again."]
        assert [event.samples for event in made.of(ev.AudioQueued)] == [280, 0, 220, 0]
        assert sink.completed == [5] and made.events[-1] == ev.ReplyCompleted(5)
        await reply.speak("Something else.")
        assert loop.time() >= began + 2.0

    voice = warmed([APOLOGY], body, SLOW)
    assert voice.asked == ["Sorry, something went wrong.", "Please say that again.", APOLOGY, "Something else."]


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_what_is_kept_is_what_the_voice_would_say(rate_hz: int) -> None:
    async def body(phrases: Phrases, _lane: VirtualLane[Any]) -> None:
        kept = phrases.find("One moment.", rate_hz)
        assert kept is not None
        fresh = converted(Voice().synthesize("One moment.", asyncio.Event()), 8_000, rate_hz)
        assert np.array_equal(kept, np.concatenate(list(fresh)))
        assert phrases.find("One moment.", 44_100) is None
        assert phrases.find("One moment", rate_hz) is None

    warmed(["One moment."], body)


def test_it_keeps_no_more_and_no_longer_phrases_than_its_bounds() -> None:
    async def body(phrases: Phrases, _lane: VirtualLane[Any]) -> None:
        assert len(phrases._sound) == MOST * len(RATES_HZ)

    voice = warmed(["word " * LONGEST_CHARS, "", *(f"Number {n} it is." for n in range(2 * MOST))], body)
    assert len(voice.asked) == MOST
    assert max(map(len, voice.asked)) <= LONGEST_CHARS


def test_every_acknowledgement_is_among_the_fixed_words() -> None:
    for text in (
        "who was the first king of france",
        "write a poem about the sea",
        "a",
        "ab",
        "abc",
        "plan b",
        "plan c",
    ):
        assert acknowledgement(text) in FIXED_WORDS


def test_a_real_voice_has_its_apologies_and_acknowledgements_ready_and_no_louder_than_its_clauses() -> None:
    async def main() -> None:
        lane = Lane(create("tts", "espeak://en-us", Path()))
        await lane.load()
        phrases = Phrases()
        await make_phrases(phrases, lane, TurnSettings())
        for words in (*FIXED_WORDS, TurnSettings().not_understood):
            for rate_hz in RATES_HZ:
                pcm = phrases.find(words, rate_hz)
                assert pcm is not None
                assert dbfs(pcm) == pytest.approx(-20.5, abs=2.5)
        await lane.aclose()

    asyncio.run(main())
