from __future__ import annotations

from pathlib import Path

import pytest

from voicebot.config import load_config
from voicebot.errors import ConfigError
from voicebot.machine import Machine
from voicebot.models import load_manifest
from voicebot.profiles import KINDS, Resolved, models_dir, resolve_profile


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    (tmp_path / "shipped" / "talker").mkdir(parents=True)
    (tmp_path / "shipped" / "talker" / "talker.gguf").touch()
    return tmp_path / "shipped"


@pytest.fixture
def pulled(tmp_path: Path) -> Path:
    for file in ("whisper/base.en/model.bin", "llm/qwen.gguf", "piper/amy.onnx"):
        (tmp_path / "pulled" / file).parent.mkdir(parents=True)
        (tmp_path / "pulled" / file).touch()
    return tmp_path / "pulled"


SMALL = Machine(cores=2, memory_mb=4000)
LARGE = Machine(cores=4, memory_mb=8000)


def resolve(pulled: Path, shipped: Path, *overrides: str, machine: Machine = SMALL) -> Resolved:
    return resolve_profile(load_config(env={}, overrides=overrides), pulled, shipped, machine)


def put(pulled: Path, *names: str) -> None:
    """As if these models of the manifest had been pulled."""
    for name in names:
        model = load_manifest()[name]
        file = model.folder(pulled) / ("model.bin" if model.kind == "stt" else Path(model.files[0]).name)
        file.parent.mkdir(parents=True)
        file.touch()


def test_embedded_needs_nothing_but_what_is_shipped(tmp_path: Path, shipped: Path) -> None:
    resolved = resolve(tmp_path / "none", shipped, "profile=embedded")
    urls = resolved.engines
    assert (urls.vad, urls.stt, urls.tts) == ("silero://", "pocketsphinx://", "espeak://en-us")
    assert urls.llm == f"llama://{shipped}/talker/talker.gguf"
    assert resolved.shipped_talker


def test_auto_takes_embedded_and_says_what_was_missing(tmp_path: Path, shipped: Path) -> None:
    resolved = resolve(tmp_path / "none", shipped)
    assert resolved.profile == "embedded"
    none = tmp_path / "none"
    assert resolved.why == [f"embedded, because there is no stt, llm or tts model in {none}"]
    assert resolved.advice == "voicebot models pull base.en qwen3-0.6b en_US-lessac-medium"
    assert resolved.gain == "(about 849 MB) would bring the local profile"
    assert resolved.reasons[-1] == f"`{resolved.advice}` {resolved.gain}"


def test_auto_asks_only_for_what_is_missing_and_for_nothing_where_the_machine_is_too_small(
    tmp_path: Path, shipped: Path
) -> None:
    put(tmp_path / "pulled", "base.en", "en_US-amy-medium")
    assert resolve(tmp_path / "pulled", shipped).advice == "voicebot models pull qwen3-0.6b"
    tiny = resolve(tmp_path / "none", shipped, machine=Machine(1, 900))
    assert (tiny.profile, tiny.advice) == ("embedded", "")


def test_embedded_as_asked_needs_no_advice(tmp_path: Path, shipped: Path) -> None:
    assert resolve(tmp_path / "none", shipped, "profile=embedded").reasons == []


def test_local_takes_the_best_pulled_models_that_fit_together_whatever_their_names(
    tmp_path: Path, shipped: Path
) -> None:
    pulled = tmp_path / "pulled"
    put(pulled, "tiny.en", "base.en", "small.en", "llama-3.2-1b", "qwen3-0.6b", "qwen3-1.7b", "smollm2-360m")
    put(pulled, "de_DE-thorsten-medium", "en_US-amy-medium")
    small, large = resolve(pulled, shipped), resolve(pulled, shipped, machine=LARGE)
    assert [Path(url).name for url in (small.engines.llm or "", small.engines.tts or "")] == [
        "Qwen3-0.6B-Q8_0.gguf",
        "en_US-amy-medium.onnx",
    ]
    assert small.engines.stt == f"whisper://{pulled}/whisper/base.en"
    assert small.why[1] == (
        "stt base.en, llm qwen3-0.6b, tts en_US-amy-medium: the best of those pulled that fit together in "
        "2 cores, 3.9 GiB of free memory"
    )
    assert large.engines.stt == f"whisper://{pulled}/whisper/small.en"
    assert (large.engines.llm or "").endswith("Qwen3-1.7B-Q8_0.gguf")


def test_local_names_the_larger_model_that_would_fit_and_nothing_when_none_would(tmp_path: Path, shipped: Path) -> None:
    pulled = tmp_path / "pulled"
    put(pulled, "base.en", "qwen3-0.6b", "en_US-lessac-medium")
    assert resolve(pulled, shipped).advice == ""
    larger = resolve(pulled, shipped, machine=LARGE)
    assert larger.advice == "voicebot models pull small.en qwen3-1.7b"
    assert larger.gain == "(about 2320 MB) would suit this machine better"


def test_of_models_that_are_all_too_large_the_smallest_runs_and_a_smaller_one_is_named(
    tmp_path: Path, shipped: Path
) -> None:
    pulled = tmp_path / "pulled"
    put(pulled, "base.en", "qwen3-4b", "qwen3-1.7b", "en_US-lessac-medium")
    resolved = resolve(pulled, shipped)
    assert (resolved.engines.llm or "").endswith("Qwen3-1.7B-Q8_0.gguf")
    assert resolved.why[1].endswith("the smallest of those pulled, and still more than suits " + str(SMALL))
    assert resolved.advice == "voicebot models pull qwen3-0.6b"


def test_a_model_of_the_operators_own_is_taken_by_size_and_never_replaced_by_advice(
    pulled: Path, shipped: Path
) -> None:
    for name, size_mb in (("aaa.gguf", 1), ("huge.gguf", 9000)):
        with (pulled / "llm" / name).open("wb") as file:
            file.truncate(size_mb << 20)
    resolved = resolve(pulled, shipped)
    assert (resolved.engines.llm or "").endswith("aaa.gguf")
    assert resolved.advice == ""


def test_a_model_set_by_hand_is_not_advised_upon(tmp_path: Path, shipped: Path) -> None:
    put(tmp_path / "pulled", "base.en", "en_US-lessac-medium")
    resolved = resolve(tmp_path / "pulled", shipped, "engines.llm=openai://localhost:8000/v1")
    assert (resolved.profile, resolved.advice) == ("local", "")


def test_auto_takes_local_where_all_of_its_models_are(pulled: Path, shipped: Path) -> None:
    resolved = resolve(pulled, shipped)
    assert resolved.profile == "local"
    assert resolved.engines.stt == f"whisper://{pulled}/whisper/base.en"
    assert resolved.engines.llm == f"llama://{pulled}/llm/qwen.gguf"
    assert resolved.engines.tts == f"piper://{pulled}/piper/amy.onnx"
    assert not resolved.shipped_talker


def test_auto_finds_models_in_folders_of_their_own(pulled: Path, shipped: Path) -> None:
    for kind, file in (("llm", "qwen.gguf"), ("piper", "amy.onnx")):
        (pulled / kind / "own").mkdir()
        (pulled / kind / file).rename(pulled / kind / "own" / file)
    urls = resolve(pulled, shipped).engines
    assert (urls.llm, urls.tts) == (f"llama://{pulled}/llm/own/qwen.gguf", f"piper://{pulled}/piper/own/amy.onnx")


def test_gpu_is_local_on_cuda(pulled: Path, shipped: Path) -> None:
    resolved = resolve(pulled, shipped, "profile=gpu", machine=Machine(4, 8000, gpu_mb=24_000))
    urls = resolved.engines
    assert urls.stt is not None and urls.stt.endswith("?device=cuda")
    assert urls.llm is not None and urls.llm.endswith("?gpu_layers=-1")


def test_local_without_its_models_is_an_error_that_names_them(tmp_path: Path, shipped: Path) -> None:
    with pytest.raises(ConfigError, match="the local profile has no stt, llm or tts model in"):
        resolve(tmp_path / "none", shipped, "profile=local")


def test_an_engine_set_by_hand_wins_and_is_mentioned(tmp_path: Path, shipped: Path) -> None:
    resolved = resolve(tmp_path / "none", shipped, "engines.llm=openai://localhost:8000/v1")
    assert resolved.engines.llm == "openai://localhost:8000/v1"
    assert "llm is set to openai://localhost:8000/v1" in resolved.reasons
    assert not resolved.shipped_talker


def test_with_every_engine_set_by_hand_no_model_is_looked_for(tmp_path: Path) -> None:
    urls = [f"engines.{kind}=scripted://" for kind in KINDS]
    resolved = resolve(tmp_path / "none", tmp_path / "none", *urls)
    assert resolved.reasons[0] == "every sized engine is set by hand, so the profile decides nothing"


def test_a_talker_that_is_not_there_is_an_error_that_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="make talker"):
        resolve(tmp_path / "none", tmp_path / "none")


def test_pulled_models_live_where_the_environment_says() -> None:
    assert models_dir({"VOICEBOT_MODELS": "/m"}) == Path("/m")
    assert models_dir({"VOICEBOT_HOME": "/h"}) == Path("/h/models")
