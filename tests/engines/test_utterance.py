"""A recogniser's stream is used by one thread at a time, and by none once it is given back."""

from __future__ import annotations

import asyncio
import threading
from random import Random

import numpy as np

from tests.sim.engines import CallerWords, SimStt, SimSttStream
from voicebot.core.audio import SPEECH_RATE_HZ, SpeechRing
from voicebot.engines.base import Pcm, Transcript
from voicebot.engines.utterance import Utterance
from voicebot.hearing import Hearing
from voicebot.lane import Lane

SOON_S = 0.2
PCM = np.zeros(320, dtype=np.int16)


class SlowStream(SimSttStream):
    """Stays in `feed` until it is let go."""

    def __init__(self, stt: SlowStt) -> None:
        super().__init__(stt)
        self.stt = stt

    def feed(self, pcm: Pcm) -> str:
        self.stt.fed.set()
        assert self.stt.let_go.wait(10)
        text = super().feed(pcm)
        self.stt.done.append("fed")
        return text

    def abandon(self) -> None:
        super().abandon()
        self.stt.done.append("given back")
        self.stt.given_back.set()


class SlowStt(SimStt):
    max_concurrency = 2

    def __init__(self) -> None:
        super().__init__(Random(1), CallerWords(), 1.0)
        self.fed, self.let_go, self.given_back = threading.Event(), threading.Event(), threading.Event()
        self.done: list[str] = []

    def open_stream(self, narrowband: bool = False) -> SlowStream:
        return SlowStream(self)


def test_a_call_that_ends_while_its_speech_is_being_fed_gives_the_decoder_back_after_that() -> None:
    """On a lane of two threads, as PocketSphinx has, the second is free for the clean-up."""

    async def body() -> None:
        stt, ring = SlowStt(), SpeechRing()
        lane = Lane(stt)
        await lane.load()
        hearing = Hearing(lane, ring, print, 1, 0)
        task = asyncio.create_task(hearing.run())
        ring.push(np.ones(SPEECH_RATE_HZ, dtype=np.int16))
        hearing.more(None)
        assert await asyncio.to_thread(stt.fed.wait, 10)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert not await asyncio.to_thread(stt.given_back.wait, SOON_S)
        stt.let_go.set()
        assert await asyncio.to_thread(stt.given_back.wait, 10)
        await lane.aclose()
        assert stt.done == ["fed", "given back"] and stt.open == 0

    asyncio.run(body())


def test_given_back_it_hears_nothing_more_and_is_given_back_once() -> None:
    stt = SlowStt()
    stt.let_go.set()
    utterance = Utterance(stt.open_stream())
    utterance.abandon()
    utterance.abandon()
    assert utterance.feed(PCM) == ""
    assert utterance.finish() == Transcript("")
    assert stt.done == ["given back"]
