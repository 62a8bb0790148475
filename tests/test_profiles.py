from __future__ import annotations

from pathlib import Path

import pytest

from voicebot.config import load_config
from voicebot.errors import ConfigError
from voicebot.profiles import Resolved, models_dir, resolve_profile


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


def resolve(pulled: Path, shipped: Path, *overrides: str) -> Resolved:
    return resolve_profile(load_config(env={}, overrides=overrides), pulled, shipped)


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
    assert resolved.reasons == [
        f"embedded, because there is no stt, llm or tts model in {none}; "
        "`voicebot models pull base.en` brings the first"
    ]


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
    urls = resolve(pulled, shipped, "profile=gpu").engines
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
    urls = [f"engines.{kind}=scripted://" for kind in ("vad", "stt", "llm", "tts")]
    resolved = resolve(tmp_path / "none", tmp_path / "none", *urls)
    assert resolved.reasons[0] == "every engine is set by hand, so the profile decides nothing"


def test_a_talker_that_is_not_there_is_an_error_that_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="make talker"):
        resolve(tmp_path / "none", tmp_path / "none")


def test_pulled_models_live_where_the_environment_says() -> None:
    assert models_dir({"VOICEBOT_MODELS": "/m"}) == Path("/m")
    assert models_dir({"VOICEBOT_HOME": "/h"}) == Path("/h/models")
