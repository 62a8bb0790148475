"""Models of random weights with given words: the work is done, and only the words are others."""

from __future__ import annotations

from threading import Event
from urllib.parse import quote

import numpy as np
import pytest

from voicebot.engines.base import CachesPrompts, LlmDone, LlmRequest, Message, Pcm, Sampling, TextDelta, Transcript
from voicebot.engines.options import EngineSpec
from voicebot.engines.registry import create
from voicebot.engines.worded import WordedStream, WordedStt
from voicebot.errors import ConfigError


def worded(kind: str, inner: str, rest: str) -> str:
    return f"worded://?engine={quote(inner, safe='')}&{rest}"


def test_the_words_are_those_of_the_nearest_length() -> None:
    url = worded("stt", "scripted://?text=random", "text=hello&ms=500&text=what+time+is+it&ms=900")
    stt = create("stt", url)
    stt.load()
    assert stt.transcribe(np.ones(16_000, np.int16), Event()).text == "what time is it"
    assert stt.transcribe(np.ones(9_000, np.int16), Event()).text == "hello"
    stt.close()


def test_a_stream_of_it_shows_no_random_words() -> None:
    stt = create("stt", worded("stt", "scripted://?text=random+words&stream=true", "text=hello"))
    stt.load()
    stream = stt.open_stream()
    assert stream is not None
    assert stream.feed(np.ones(16_000, np.int16)) == ""
    assert stream.finish().text == "hello"
    stream.abandon()


def test_partial_words_are_those_that_would_be_over_of_the_text_that_comes_next() -> None:
    stt = WordedStt(
        EngineSpec("stt", "worded", "", {}, "worded://"),
        WordedStt.Options(engine="scripted://", text=("hello", "what time is it"), ms=(500, 1000)),
    )
    assert [stt.begun(samples) for samples in (0, 7_900, 8_000, 90_000)] == ["", "", "hello", "hello"]
    assert stt.heard(8_000).text == "hello"
    assert [stt.begun(samples) for samples in (0, 4_000, 15_900, 16_000)] == [
        "", "what", "what time is", "what time is it"
    ]  # fmt: skip
    assert stt.heard(7_000).text == "hello"
    assert stt.begun(16_000) == "what time is it"


def test_what_comes_before_the_first_word_has_no_words() -> None:
    url = worded("stt", "scripted://?text=random", "lead_ms=240&text=hello&ms=500&text=what+time+is+it&ms=900")
    stt = create("stt", url)
    assert isinstance(stt, WordedStt)
    assert stt.heard(930 * 16).text == "hello", "690 ms of speech"
    assert [stt.begun(ms * 16) for ms in (0, 240, 464, 466, 1140)] == ["", "", "", "what", "what time is it"]


class Early:
    """A stream whose partial transcripts are of half of what it was fed."""

    def __init__(self) -> None:
        self.told_samples = 0
        self.silences: list[int] = []

    def feed(self, pcm: Pcm) -> str:
        self.told_samples += len(pcm) // 2
        return "random"

    def note_silence(self, samples: int) -> None:
        self.silences.append(samples)

    def finish(self) -> Transcript:
        return Transcript("random")

    def abandon(self) -> None: ...


def test_a_stream_of_it_shows_as_much_as_the_engine_has_decoded_and_passes_silence_on() -> None:
    stt = WordedStt(
        EngineSpec("stt", "worded", "", {}, "worded://"),
        WordedStt.Options(engine="scripted://", text=("what time is it",), ms=(1000,)),
    )
    inner = Early()
    stream = WordedStream(stt, inner)
    assert [stream.feed(np.ones(8_000, np.int16)) for _ in range(3)] == ["what", "what time", "what time is"]
    stream.note_silence(512)
    assert inner.silences == [512]
    assert stream.finish().text == "what time is it"


def test_nothing_is_said_to_a_prompt_that_is_only_read() -> None:
    llm = create("llm", worded("llm", "scripted://?reply=a+b+c&prompt_word_ms=0.1", "reply=One.&reply=Two."))
    llm.load()
    assert isinstance(llm, CachesPrompts) and llm.caches_prompts
    read = list(llm.generate(LlmRequest([Message("user", "hi")], sampling=Sampling(max_tokens=0)), Event()))
    assert [type(chunk) for chunk in read] == [LlmDone]
    chunks = list(llm.generate(LlmRequest([Message("user", "hi there")]), Event()))
    assert "".join(chunk.text for chunk in chunks if isinstance(chunk, TextDelta)) == "One."
    assert isinstance(chunks[-1], LlmDone) and (chunks[-1].cached_tokens, chunks[-1].prompt_tokens) == (1, 2)


def test_each_token_becomes_four_characters_of_the_reply_and_none_of_it_is_lost() -> None:
    llm = create("llm", worded("llm", "scripted://?reply=a+b+c", "reply=The+reply+is+long."))
    llm.load()
    chunks = list(llm.generate(LlmRequest([Message("user", "hi")]), Event()))
    assert [chunk.text for chunk in chunks if isinstance(chunk, TextDelta)] == ["The ", "repl", "y is", " lon", "g."]
    assert isinstance(chunks[-1], LlmDone)
    assert chunks[-1].finish_reason == "stop"


@pytest.mark.parametrize(
    "url",
    [
        worded("llm", "worded://?engine=x&reply=y", "reply=hi"),
        worded("llm", "openai://api.example.com/v1?model=m", "reply=hi"),
        "worded://?reply=hi",
    ],
    ids=["itself", "a remote engine", "no engine"],
)
def test_what_it_cannot_stand_before_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        create("llm", url)


def test_texts_without_their_lengths_are_refused() -> None:
    with pytest.raises(ConfigError, match="2 texts need 2 lengths"):
        create("stt", worded("stt", "scripted://", "text=one&text=two"))
