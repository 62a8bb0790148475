"""Moonshine on a model that counts the sound it hears: nothing of an utterance may be lost at its end."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.engines.conftest import ALREADY, HAS_MOONSHINE, NEVER, Garage
from tests.engines.tiny_moonshine import LOOKAHEAD_FRAMES, TICK_FRAMES
from voicebot.engines import registry
from voicebot.engines.base import Pcm, SttEngine
from voicebot.engines.moonshine import FRAME_SAMPLES
from voicebot.errors import ConfigError, EngineUnavailable

URL = "moonshine://moonshine-tiny"
TICK_SAMPLES = TICK_FRAMES * FRAME_SAMPLES
needs_moonshine = pytest.mark.skipif(not HAS_MOONSHINE, reason="the extra moonshine is missing")


@pytest.fixture
def moonshine(garage: Garage) -> SttEngine:
    return garage.loaded("stt", URL)


def sound(samples: int) -> Pcm:
    return np.full(samples, 3000, dtype=np.int16)


def ticks(samples: int) -> str:
    """What the model says of `samples` of sound: a tick for each 200 ms begun."""
    frames = -(-samples // FRAME_SAMPLES)
    return " ".join(["tick"] * -(-frames // TICK_FRAMES))


@needs_moonshine
@pytest.mark.parametrize("samples", [1600, 3200, 16_000, 33_333, 160_000, 323_000])
def test_an_utterance_is_heard_to_its_last_frame(moonshine: SttEngine, samples: int) -> None:
    assert moonshine.transcribe(sound(samples), NEVER).text == ticks(samples)


@needs_moonshine
@pytest.mark.parametrize("samples", [1600, 3200, 33_333, 323_000])
@pytest.mark.parametrize("chunk", [512, 3200])
def test_a_stream_is_heard_to_its_last_frame_too(moonshine: SttEngine, samples: int, chunk: int) -> None:
    stream = moonshine.open_stream()
    assert stream is not None
    for start in range(0, samples, chunk):
        stream.feed(sound(min(chunk, samples - start)))
    assert stream.finish().text == ticks(samples)


@needs_moonshine
def test_partial_words_come_at_the_interval_that_was_asked_for(models: Path) -> None:
    engine = registry.create("stt", f"{URL}?partial_ms=400", models)
    engine.load()
    stream = engine.open_stream()
    assert stream is not None
    partials = [[stream.feed(sound(TICK_SAMPLES // 5)) for _ in range(5)][-1] for _ in range(8)]
    stream.abandon()
    engine.close()
    assert partials[0] == ""
    assert partials[1::2] == [*partials[2::2], partials[-1]]
    assert partials[-1] == ticks(25_600 - LOOKAHEAD_FRAMES * FRAME_SAMPLES)


@needs_moonshine
def test_partial_words_that_take_long_come_less_often(models: Path) -> None:
    engine = registry.create("stt", f"{URL}?partial_ms=400", models)
    engine.load()
    stream = engine.open_stream()
    assert stream is not None
    first = stream.feed(sound(12_800))
    assert first != ""
    assert stream.feed(sound(6400)) == first  # 400 ms came while those words were decoded.
    assert stream.feed(sound(6400)) == first
    assert len(stream.feed(sound(6400))) > len(first)
    stream.abandon()
    engine.close()


@needs_moonshine
def test_an_utterance_recognised_whole_leaves_the_open_stream_as_it_was(moonshine: SttEngine) -> None:
    stream = moonshine.open_stream()
    assert stream is not None
    stream.feed(sound(16_000))
    assert moonshine.transcribe(sound(6400), NEVER).text == "tick tick"
    stream.feed(sound(16_000))
    assert stream.finish().text == ticks(32_000)


@needs_moonshine
def test_no_more_streams_are_open_than_were_allowed(models: Path) -> None:
    engine = registry.create("stt", f"{URL}?streams=2", models)
    engine.load()
    first, second = engine.open_stream(), engine.open_stream()
    assert first is not None
    assert second is not None
    assert engine.open_stream() is None
    first.feed(sound(16_000))
    second.feed(sound(32_000))
    first.feed(sound(16_000))
    assert second.finish().text == ticks(32_000)
    assert engine.open_stream() is not None
    assert first.finish().text == ticks(32_000)
    engine.close()


@needs_moonshine
def test_a_stream_that_outlives_its_engine_is_given_back_without_harm(models: Path) -> None:
    engine = registry.create("stt", URL, models)
    engine.load()
    stream = engine.open_stream()
    assert stream is not None
    engine.close()
    stream.abandon()


@needs_moonshine
def test_a_cancelled_recognition_is_empty_and_a_silent_one_too(moonshine: SttEngine) -> None:
    assert moonshine.transcribe(sound(16_000), ALREADY).text == ""
    assert moonshine.transcribe(np.zeros(16_000, dtype=np.int16), NEVER).text == ""


@needs_moonshine
@pytest.mark.parametrize("lacking", ["frontend.ort", "decoder_kv.ort", "tokenizer.bin", "streaming_config.json"])
def test_a_folder_that_lacks_a_file_is_unavailable_and_names_it(models: Path, tmp_path: Path, lacking: str) -> None:
    folder = shutil.copytree(models / "moonshine-tiny", tmp_path / "cut")
    (folder / lacking).unlink()
    with pytest.raises(EngineUnavailable, match=rf"lacks {lacking}.*pull it again"):
        registry.create("stt", f"moonshine://{folder}").load()


@needs_moonshine
@pytest.mark.parametrize(("file", "said"), [("encoder.ort", "cannot load"), ("streaming_config.json", "lookahead")])
def test_a_broken_file_is_unavailable(models: Path, tmp_path: Path, file: str, said: str) -> None:
    folder = shutil.copytree(models / "moonshine-tiny", tmp_path / "broken")
    (folder / file).write_text("{}")
    with pytest.raises(EngineUnavailable, match=said):
        registry.create("stt", f"moonshine://{folder}").load()


@needs_moonshine
@pytest.mark.parametrize("name", ["small-streaming-en", "small-streaming-xx", "huge-streaming-en", "nothing"])
def test_a_model_that_is_not_here_is_unavailable_with_what_to_do(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOONSHINE_VOICE_CACHE", str(tmp_path))
    with pytest.raises(EngineUnavailable, match=rf"{name}: no Moonshine model at .*download=true"):
        registry.create("stt", f"moonshine://{name}", tmp_path).load()


@needs_moonshine
def test_a_model_that_the_library_has_fetched_is_found_in_its_cache(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOONSHINE_VOICE_CACHE", str(tmp_path))
    from moonshine_voice import ModelArch
    from moonshine_voice.download import find_model_info

    address = find_model_info("en", ModelArch.SMALL_STREAMING)["download_url"].removeprefix("https://")
    shutil.copytree(models / "moonshine-tiny", tmp_path / address)
    engine = registry.create("stt", "moonshine://small-streaming-en", tmp_path)
    engine.load()
    assert engine.transcribe(sound(6400), NEVER).text == "tick tick"
    engine.close()


def test_without_its_package_it_is_unavailable_and_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "moonshine_voice", None)
    with pytest.raises(EngineUnavailable, match="extra 'moonshine'"):
        registry.create("stt", URL).load()


def test_an_option_out_of_range_is_refused_before_anything_is_loaded() -> None:
    with pytest.raises(ConfigError, match="partial_ms"):
        registry.create("stt", f"{URL}?partial_ms=0")
