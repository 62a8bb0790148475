"""What Whisper sees of an utterance, when it is asked again, and its captions."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.engines.conftest import NEVER, Garage
from voicebot.engines import registry
from voicebot.engines.base import Cancel, Pcm, Transcript
from voicebot.engines.options import EngineSpec
from voicebot.engines.whisper import WhisperStt, default_threads, has_wide_vectors
from voicebot.engines.whisper_stream import LONGEST_SAMPLES, WhisperStream
from voicebot.engines.whisper_window import (
    PADDING_SAMPLES,
    Guards,
    Hypothesis,
    fill_window,
    most_tokens,
    repeats_its_end,
    window_s,
)
from voicebot.errors import ConfigError

SECOND = 16_000
TRUSTING = "whisper://whisper-tiny.en?device=cpu&logprob=-50&compression_ratio=1000&no_speech=1"
Spoken = dict[str, tuple[str, Pcm]]

# ---- the window


@pytest.mark.parametrize(
    ("samples", "least_s", "seconds"),
    [(1, 10, 10), (9 * SECOND, 10, 10), (9 * SECOND + 1, 10, 11), (3 * SECOND, 1, 4), (40 * SECOND, 10, 30)],
)
def test_the_window_is_the_utterance_and_a_second_within_the_least_and_30_s(
    samples: int, least_s: int, seconds: int
) -> None:
    assert window_s(samples, least_s) == seconds


@pytest.mark.parametrize("speech", ["noise", "silence", "hello.wav"])
def test_a_window_is_filled_with_what_the_extractor_makes_of_silence(speech: str, spoken: Spoken) -> None:
    extractor = pytest.importorskip("faster_whisper.feature_extractor").FeatureExtractor()
    made = {"noise": np.random.default_rng(1).normal(0, 0.1, 40_000), "silence": np.zeros(1, dtype=np.float32)}
    pcm = made[speech].astype(np.float32) if speech in made else spoken[speech][1].astype(np.float32) / 32768
    filled = fill_window(extractor(pcm, padding=PADDING_SAMPLES), 10)
    whole = extractor(np.pad(pcm, (0, 10 * SECOND - len(pcm))), padding=160)[:, :1000]
    assert filled.shape == (80, 1000)
    assert filled.dtype == np.float32
    np.testing.assert_allclose(filled, whole, atol=1e-5)


def test_a_window_that_is_full_is_cut_to_its_frames() -> None:
    features = np.arange(160 * 300, dtype=np.float32).reshape(160, 300)
    np.testing.assert_array_equal(fill_window(features, 2), features[:, :200])


# ---- belief

GUARDS = Guards(no_speech=0.6, logprob=-1.0, compression_ratio=2.4)


@pytest.mark.parametrize(
    ("heard", "poor", "invented", "again"),
    [
        (Hypothesis("what time is it", -0.2, 0.1), False, False, False),
        (Hypothesis("", 0.0, 0.1), False, False, False),
        (Hypothesis("thank you", -1.5, 0.1), True, True, True),
        (Hypothesis("thank you", -1.5, 0.9), True, True, False),
        (Hypothesis("thank you", -0.2, 0.9), False, True, False),
        (Hypothesis("so " * 60, -0.2, 0.1), True, True, True),
        (Hypothesis("to the limit to the limit", -0.2, 0.1), False, False, True),
        (Hypothesis("and so on and", -0.2, 0.1, cut_off=True), False, False, True),
    ],
)
def test_doubtful_words_are_asked_again_and_invented_ones_dropped(
    heard: Hypothesis, poor: bool, invented: bool, again: bool
) -> None:
    assert (GUARDS.is_poor(heard), GUARDS.is_invented(heard), GUARDS.wants_full_window(heard)) == (
        poor,
        invented,
        again,
    )


def test_a_loop_is_a_phrase_said_twice_at_the_end() -> None:
    assert repeats_its_end("Please increase that limit 5x. Please increase that limit 5x.")
    assert repeats_its_end("So, thank you. Thank you!")
    assert not any(map(repeats_its_end, ["no no", "", "one two three four", "the more the merrier"]))


def test_a_worker_has_half_of_the_cores() -> None:
    assert [default_threads(cores) for cores in (1, 2, 3, 4, 6, 16)] == [1, 1, 1, 2, 3, 8]


def test_a_transcript_may_be_as_long_as_fast_speech_and_no_longer() -> None:
    assert [most_tokens(samples) for samples in (1, SECOND, 5 * SECOND, 30 * SECOND)] == [30, 30, 70, 224]


class Scripted(WhisperStt):
    """The driver with a declared result per window; the windows that were asked for are kept."""

    def __init__(self, results: dict[int, Hypothesis], options: WhisperStt.Options | None = None) -> None:
        super().__init__(EngineSpec("stt", "whisper", "x", {}, "whisper://x"), options or WhisperStt.Options())
        self.results = results
        self.asked: list[int] = []

    def _decode(self, pcm: Pcm, seconds: int, cancelled: Callable[[], bool]) -> Hypothesis:
        self.asked.append(seconds)
        return self.results[seconds]


def test_good_words_of_the_short_window_are_final() -> None:
    driver = Scripted({10: Hypothesis("hello", -0.1, 0.0)})
    transcript = driver.transcribe(np.zeros(3 * SECOND, dtype=np.int16), NEVER)
    assert (transcript.text, round(transcript.confidence, 2)) == ("hello", 0.9)
    assert driver.asked == [10]


def test_poor_words_are_asked_again_in_the_full_window_whose_word_is_final() -> None:
    poor = Hypothesis("low low low", -3.0, 0.0)
    rescued = Scripted({10: poor, 30: Hypothesis("hello", -0.1, 0.0)})
    assert rescued.transcribe(np.zeros(SECOND, dtype=np.int16), NEVER).text == "hello"
    assert rescued.asked == [10, 30]
    lost = Scripted({10: poor, 30: poor})
    assert lost.transcribe(np.zeros(SECOND, dtype=np.int16), NEVER) == Transcript("", 0.0)
    full = Scripted({30: poor}, WhisperStt.Options(window_s=30))
    full.transcribe(np.zeros(SECOND, dtype=np.int16), NEVER)
    assert full.asked == [30]


def test_a_pass_that_heard_everything_is_asked_again_in_the_full_window_where_it_is_in_doubt() -> None:
    driver = Scripted({30: Hypothesis("hello", -0.1, 0.0)})
    pcm = np.zeros(3 * SECOND, dtype=np.int16)
    assert driver.settle(Hypothesis("good", -0.1, 0.0), pcm).text == "good"
    assert driver.asked == []
    assert driver.settle(Hypothesis("low low low", -3.0, 0.0), pcm).text == "hello"
    assert driver.asked == [30]
    assert driver.settle(Hypothesis("noise", -3.0, 0.9), pcm) == Transcript("", 0.0)
    assert driver.asked == [30]


def test_a_monologue_is_heard_in_windows_of_30_s() -> None:
    driver = Scripted({30: Hypothesis("on", -0.1, 0.0), 10: Hypothesis("off", -0.1, 0.0)})
    assert driver.transcribe(np.zeros(65 * SECOND, dtype=np.int16), NEVER).text == "on on off"


# ---- the library

WIDE = "flags\t\t: fpu avx2 avx512f avx512dq avx512cd avx512bw avx512vl avx512_vnni"
ENCODE = """
import sys
import numpy as np
from ctranslate2 import StorageView
from ctranslate2.models import Whisper
features = np.random.default_rng(0).standard_normal((1, 80, 1000), dtype=np.float32)
encoded = Whisper(sys.argv[1], compute_type="int8").encode(StorageView.from_array(features))
np.save(sys.argv[2], np.array(encoded))
"""


def test_wide_vectors_are_used_where_the_processor_is_made_for_them(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    assert not has_wide_vectors(cpuinfo)
    for text, wide in ((WIDE, True), (WIDE.removesuffix(" avx512_vnni"), False), ("processor\t: 0", False)):
        cpuinfo.write_text(f"processor\t: 0\n{text}\n\nprocessor\t: 1\n{text}\n")
        assert has_wide_vectors(cpuinfo) == wide


@pytest.mark.skipif(not has_wide_vectors(), reason="this processor has no 512-bit vectors")
def test_speech_is_the_same_in_wide_vectors(models: Path, tmp_path: Path) -> None:
    encoded = []
    for name in ("AVX2", "AVX512"):
        command = [sys.executable, "-c", ENCODE, str(models / "whisper-tiny.en"), str(tmp_path / f"{name}.npy")]
        subprocess.run(command, check=True, env=os.environ | {"CT2_FORCE_CPU_ISA": name}, timeout=60)
        encoded.append(np.load(tmp_path / f"{name}.npy"))
    assert encoded[0].std() > 0.1
    assert np.abs(encoded[0] - encoded[1]).max() < 0.05 * encoded[0].std()


def test_the_real_decoder_takes_short_windows_and_stops_at_the_limit(garage: Garage, spoken: Spoken) -> None:
    pcm = spoken["hello.wav"][1]
    engine = garage.loaded("stt", TRUSTING + "&window_s=1&partial_ms=0")
    assert 0 < len(engine.transcribe(pcm, NEVER).text) <= most_tokens(len(pcm))  # A token of this model is a byte.
    assert engine.open_stream() is None


def test_word_times_lie_in_order_within_the_speech(garage: Garage, spoken: Spoken) -> None:
    pcm = spoken["set_a_timer.wav"][1]
    words = garage.loaded("stt", TRUSTING + "&words=true").transcribe(pcm, NEVER).words
    assert words
    assert [word.start_ms for word in words] == sorted(word.start_ms for word in words)
    assert all(0 <= word.start_ms < word.stop_ms <= len(pcm) / 16 + 50 for word in words)


def test_a_language_that_an_english_model_lacks_is_refused(models: Path) -> None:
    with pytest.raises(ConfigError, match=r"whisper-tiny\.en hears English only, not language=de"):
        registry.create("stt", "whisper://whisper-tiny.en?language=de", models)
    assert registry.create("stt", "whisper://large?language=auto").open_stream() is None  # type: ignore[attr-defined]


def test_captions_of_the_real_decoder_are_those_of_the_whole(garage: Garage, spoken: Spoken) -> None:
    engine = garage.loaded("stt", TRUSTING)
    pcm = spoken["hello.wav"][1]
    stream = engine.open_stream()
    assert stream is not None
    assert stream.feed(pcm) == ""
    assert stream.finish() == engine.transcribe(pcm, NEVER)


def test_passes_of_the_real_decoder_take_one_worker_for_captions_and_two_in_all(
    garage: Garage, spoken: Spoken, models: Path
) -> None:
    pcm = spoken["hello.wav"][1]
    engine = garage.loaded("stt", TRUSTING)
    stream = engine.open_stream()
    stream.feed(pcm)
    quiet = np.zeros(512, dtype=np.int16)
    stream.feed(quiet)
    stream.note_silence(512)
    stream.feed(quiet)
    stream.note_silence(1024)
    assert stream.finish() == engine.transcribe(np.concatenate((pcm, quiet)), NEVER)


# ---- captions


class Pass:
    def __init__(self, heard: Hypothesis) -> None:
        self.heard = heard
        self.ready = False

    def done(self) -> bool:
        return self.ready

    def result(self) -> Hypothesis:
        return self.heard


class Driver:
    """Passes that end when told to; `workers` of them at once, one for captions."""

    def __init__(self, workers: int = 1) -> None:
        self.passes: list[Pass] = []
        self.lengths: list[int] = []
        self.lasts: list[int] = []
        """How long the speech of each last pass was."""
        self.settled: list[str] = []
        self.whole: list[int] = []
        self.workers = workers
        self.busy = False

    def begin(self, pcm: Pcm, last: bool = False) -> Pass | None:
        running = sum(not begun.ready for begun in self.passes)
        if self.busy or running >= (self.workers if last else 1):
            return None
        (self.lasts if last else self.lengths).append(len(pcm))
        self.passes.append(Pass(Hypothesis(f"words {len(self.passes)}", -0.1, 0.0)))
        return self.passes[-1]

    def believed(self, heard: Hypothesis) -> bool:
        return heard.mean_logprob > -1

    def settle(self, heard: Hypothesis, pcm: Pcm) -> Transcript:
        self.settled.append(heard.text)
        return Transcript(heard.text if self.believed(heard) else "settled")

    def transcribe(self, pcm: Pcm, cancel: Cancel) -> Transcript:
        self.whole.append(len(pcm))
        return Transcript("whole")


WINDOW, TAIL = 512, 352


def fed(stream: WhisperStream, windows: int) -> str:
    return [stream.feed(np.zeros(1600, dtype=np.int16)) for _ in range(windows)][-1]


def silent(stream: WhisperStream, windows: int) -> None:
    """So many windows of silence, told as the ear tells them: some of the first is listened to."""
    for number in range(windows):
        stream.feed(np.zeros(WINDOW, dtype=np.int16))
        stream.note_silence((number + 1) * WINDOW - TAIL)


def test_captions_come_every_half_second_of_speech_and_after_a_rest_as_long_as_a_pass() -> None:
    driver = Driver()
    stream = WhisperStream(driver, 8000)
    assert fed(stream, 5) == ""
    assert driver.lengths == [8000]
    fed(stream, 6)
    driver.passes[0].ready = True
    assert fed(stream, 1) == "words 0"  # It took 0.7 s, so the next comes 0.7 s later.
    assert stream.told_samples == 8000
    fed(stream, 6)
    assert len(driver.passes) == 1
    fed(stream, 1)
    assert driver.lengths == [8000, 30_400]


def test_a_caption_in_doubt_is_not_shown_and_the_last_one_stays() -> None:
    driver = Driver()
    stream = WhisperStream(driver, 1600)
    fed(stream, 1)
    driver.passes[0].ready = True
    assert fed(stream, 1) == "words 0"
    fed(stream, 4)
    driver.passes[1].heard, driver.passes[1].ready = Hypothesis("noise", -5, 0.0), True
    assert fed(stream, 1) == "words 0"


def test_no_caption_is_begun_while_another_call_has_the_worker() -> None:
    driver = Driver()
    driver.busy = True
    stream = WhisperStream(driver, 1600)
    fed(stream, 9)
    driver.busy = False
    fed(stream, 1)
    assert driver.lengths == [16_000]


def test_the_final_words_are_a_pass_of_their_own_unless_the_last_caption_heard_everything() -> None:
    driver = Driver()
    stream = WhisperStream(driver, 1600)
    fed(stream, 2)
    assert stream.finish().text == "whole"
    assert driver.whole == [3200]
    driver.passes[0].ready = True
    same = WhisperStream(driver, 1600)
    fed(same, 1)
    assert same.finish().text == "words 1"
    driver.passes[1].ready = True
    doubted = WhisperStream(driver, 1600)
    fed(doubted, 1)
    driver.passes[2].heard = Hypothesis("noise", -5, 0.0)
    assert doubted.finish().text == "settled"
    assert WhisperStream(driver, 1600).finish() == Transcript("")


@pytest.mark.parametrize("done", [True, False])
def test_the_pass_of_the_first_silent_window_is_the_last_one_whether_it_has_ended_or_not(done: bool) -> None:
    driver = Driver(workers=2)
    stream = WhisperStream(driver, 8000)
    fed(stream, 6)
    assert driver.lengths == [8000]  # A caption that misses the end is under way still.
    silent(stream, 2)
    assert driver.lasts == [6 * 1600 + WINDOW]
    for begun in driver.passes:
        begun.ready = done
    assert stream.finish().text == "words 1"
    assert driver.whole == []


def test_a_caption_that_misses_even_the_silence_behind_the_last_voice_is_not_final() -> None:
    driver = Driver(workers=1)
    stream = WhisperStream(driver, 1600)
    fed(stream, 1)
    silent(stream, 2)
    assert driver.lasts == []
    assert stream.finish().text == "whole"
    assert driver.whole == [1600 + 2 * WINDOW]


def test_a_last_pass_begins_later_when_a_worker_comes_free() -> None:
    driver = Driver(workers=1)
    stream = WhisperStream(driver, 1600)
    fed(stream, 1)
    silent(stream, 1)
    driver.passes[0].ready = True
    stream.feed(np.zeros(WINDOW, dtype=np.int16))
    stream.note_silence(2 * WINDOW - TAIL)
    assert driver.lasts == [1600 + 2 * WINDOW]
    assert stream.finish().text == "words 1"


def test_a_caller_who_goes_on_after_a_silent_window_is_heard_to_the_end() -> None:
    driver = Driver(workers=2)
    stream = WhisperStream(driver, 80_000)
    fed(stream, 3)
    silent(stream, 1)
    assert len(driver.lasts) == 1
    stream.feed(np.zeros(WINDOW, dtype=np.int16))
    stream.note_silence(0)
    assert stream.finish().text == "whole"
    driver.passes[0].ready = True
    again = WhisperStream(driver, 80_000)
    fed(again, 3)
    silent(again, 1)
    driver.passes[1].ready = True
    assert fed(again, 1) == "words 1"  # It was a caption.
    silent(again, 1)
    assert driver.lasts[2] == 4 * 1600 + 2 * WINDOW
    assert again.finish().text == "words 2"


def test_a_stream_keeps_the_last_minute_and_shows_no_captions_past_30_s() -> None:
    driver = Driver()
    driver.busy = True
    stream = WhisperStream(driver, 1600)
    fed(stream, 301)
    driver.busy = False
    fed(stream, 400)
    silent(stream, 1)
    assert driver.lengths == driver.lasts == []
    stream.finish()
    assert driver.whole == [LONGEST_SAMPLES - 1600 + WINDOW]
