"""What every speech synthesis driver must do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.engines.conftest import ALREADY, NEVER, CancelAfter, Garage, in_another_thread
from voicebot.core.audio import dbfs
from voicebot.engines import registry
from voicebot.engines.base import Pcm, TtsEngine
from voicebot.engines.espeak import pieces
from voicebot.engines.trim import AUDIBLE, LEAD_MS, trim_leading_silence
from voicebot.errors import ConfigError, EngineUnavailable

URLS = ["espeak://en-us", "piper://voice", "scripted://"]
LONG = "this is a rather long sentence that goes on and on, " * 60


@pytest.fixture(params=URLS)
def tts(request: pytest.FixtureRequest, garage: Garage) -> TtsEngine:
    return garage.loaded("tts", request.param)


def speak(engine: TtsEngine, text: str) -> Pcm:
    chunks = list(engine.synthesize(text, NEVER))
    assert all(chunk.dtype == np.int16 and chunk.ndim == 1 and len(chunk) for chunk in chunks)
    return np.concatenate(chunks) if chunks else np.zeros(0, dtype=np.int16)


def test_a_clause_becomes_audible_pcm_of_a_plausible_length(tts: TtsEngine) -> None:
    pcm = speak(tts, "It is ten past four.")
    assert 0.3 < len(pcm) / tts.sample_rate_hz < 4
    assert dbfs(pcm) > -40


def test_the_first_sound_comes_within_20_ms_of_the_first_sample(tts: TtsEngine) -> None:
    for text in ("It is ten past four.", "Hello.", "Seven."):
        first_sound = int(np.flatnonzero(np.abs(speak(tts, text).astype(np.int32)) >= AUDIBLE)[0])
        assert first_sound <= tts.sample_rate_hz * LEAD_MS // 1000


@pytest.mark.parametrize("text", ["", " ", "\n\t", "...", "?!", "🙂", "—"])
def test_text_without_anything_to_speak_yields_nothing(tts: TtsEngine, text: str) -> None:
    assert len(speak(tts, text)) == 0


@pytest.mark.parametrize("text", ["naïve café", "日本語", "a\0b", "<speak>hi</speak>", "\ud800 lone", "x" * 2000, LONG])
def test_odd_or_long_text_is_spoken_without_an_error(tts: TtsEngine, text: str) -> None:
    first = next(iter(tts.synthesize(text, NEVER)))
    assert len(first) > 0


def test_a_cancel_before_or_in_the_middle_stops_and_the_engine_works_afterwards(tts: TtsEngine) -> None:
    whole = speak(tts, LONG)
    assert list(tts.synthesize(LONG, ALREADY)) == []
    part = sum(len(chunk) for chunk in tts.synthesize(LONG, CancelAfter(6)))
    assert part < len(whole) / 2
    stream = iter(tts.synthesize(LONG, NEVER))
    next(stream)
    del stream
    assert abs(len(speak(tts, LONG)) - len(whole)) < tts.sample_rate_hz


def test_it_works_on_a_thread_other_than_the_loaders(tts: TtsEngine) -> None:
    assert len(in_another_thread(lambda: speak(tts, "hello"))) > 0


@pytest.mark.parametrize("url", URLS)
def test_loading_and_closing_twice_is_safe_and_it_works_again_after(url: str, models: Path) -> None:
    engine = registry.create("tts", url, models)
    engine.close()
    for _ in range(2):
        engine.load()
        engine.load()
        assert len(speak(engine, "hello")) > 0
        engine.close()
        engine.close()


def test_a_missing_or_broken_voice_is_unavailable_and_names_its_path(models: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes((models / "voice.onnx").read_bytes()[:200])
    (tmp_path / "broken.onnx.json").write_text((models / "voice.onnx.json").read_text())
    (tmp_path / "lonely.onnx").write_bytes((models / "voice.onnx").read_bytes())
    for name in ("missing.onnx", "broken.onnx", "lonely.onnx"):
        with pytest.raises(EngineUnavailable, match=name):
            registry.create("tts", f"piper://{tmp_path / name}").load()


@pytest.mark.parametrize("url", ["espeak://xx-nowhere", "espeak://en-us?voice=nobody"])
def test_a_voice_that_espeak_lacks_is_a_config_error(url: str) -> None:
    with pytest.raises(ConfigError, match="no voice"):
        registry.create("tts", url).load()


def test_two_espeak_engines_keep_their_own_voice_and_rate(garage: Garage) -> None:
    slow = garage.loaded("tts", "espeak://en-us?rate=100")
    fast = garage.loaded("tts", "espeak://en-us?rate=300&voice=f3")
    text = "one two three four five"
    assert len(speak(slow, text)) > 1.5 * len(speak(fast, text))
    assert len(speak(slow, text)) > 1.5 * len(speak(fast, text))


def test_long_text_is_cut_at_clauses_and_then_at_spaces() -> None:
    assert pieces("One, two. Three!") == ["One,", "two.", "Three!"]
    cut = pieces("word " * 100)
    assert all(len(piece) <= 200 for piece in cut)
    assert " ".join(cut).split() == ["word"] * 100


def test_trimming_keeps_20_ms_before_the_first_sound_even_over_chunk_borders() -> None:
    silence, sound = np.zeros(700, dtype=np.int16), np.full(500, 3000, dtype=np.int16)
    trimmed = list(trim_leading_silence(iter([silence, silence, sound, silence]), 16_000))
    assert [len(chunk) for chunk in trimmed] == [320 + 500, 700]
    assert list(trim_leading_silence(iter([silence, silence]), 16_000)) == []
    assert [len(chunk) for chunk in trim_leading_silence(iter([sound]), 16_000)] == [500]


def test_a_scripted_voice_hums_as_long_as_declared(garage: Garage) -> None:
    engine = garage.loaded("tts", "scripted://?ms_per_char=10&rate_hz=8000")
    assert engine.sample_rate_hz == 8000
    assert abs(len(speak(engine, "a" * 50)) - 4000) < 160
