"""Engine URLs: what they mean, and how a wrong one is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from voicebot.engines import registry
from voicebot.engines.base import Kind
from voicebot.engines.options import DriverOptions, EngineSpec
from voicebot.errors import ConfigError


@pytest.mark.parametrize(
    ("kind", "url", "target"),
    [
        ("vad", "silero://", ""),
        ("stt", "whisper://base.en?device=cpu&compute_type=int8", "base.en"),
        ("llm", "llama:///abs/path.gguf?ctx=4096&threads=2", "/abs/path.gguf"),
        ("llm", "llama://models/talker/talker.gguf", "models/talker/talker.gguf"),
        ("llm", "llama:///with%20space/x.gguf", "/with space/x.gguf"),
        ("llm", "openai://localhost:8000/v1?model=x", "localhost:8000/v1"),
        ("tts", "piper://en_US-lessac-medium", "en_US-lessac-medium"),
        ("tts", "espeak://en-us?rate=175&pitch=50&voice=f3", "en-us"),
    ],
)
def test_a_url_names_a_driver_its_target_and_its_options(kind: Kind, url: str, target: str) -> None:
    spec = registry.parse(kind, url)
    assert (spec.kind, spec.target, spec.url) == (kind, target, url)
    engine = registry.create(kind, url)
    assert engine.locality == "local"
    assert engine.max_concurrency >= 1
    assert engine.name


@pytest.mark.parametrize(
    ("kind", "url", "words"),
    [
        ("vad", "siler://", ["siler", "silero://", "scripted://"]),
        ("stt", "espeak://en-us", ["espeak is a tts engine", "whisper://"]),
        ("vad", "silero", ["'silero' is not a URL"]),
        ("vad", "", ["not a URL"]),
        ("vad", "silero://?colour=red", ["colour", "unknown option", "Options of silero"]),
        ("llm", "llama:///x.gguf?ctx=many", ["ctx", "'many'"]),
        ("llm", "llama:///x.gguf?ctx=1&ctx=2", ["ctx", "2 times"]),
        ("llm", "llama:///x.gguf?ctx", ["does not parse"]),
        ("llm", "openai://[::1/v1?model=x", ["does not parse"]),
        ("llm", "openai:///v1?model=x", ["no host"]),
        ("llm", "openai://host/v1", ["model", "needed"]),
        ("tts", "espeak://en-us?rate=9", ["rate", "'9'", "80"]),
        ("stt", "whisper://base.en?language=de", ["base.en", "language=de"]),
        ("stt", "pocketsphinx://?cmninit=abc", ["cmninit", "'abc'"]),
        ("llm", "scripted://?tool={broken", ["tool"]),
        ("llm", "scripted://?tool=[]", ["tool"]),
        ("llm", 'scripted://?tool={"name":"x","arguments":3}', ["arguments"]),
        ("tts", "scripted://?fail=nonsense", ["fail", "nonsense"]),
    ],
)
def test_a_wrong_url_is_a_config_error_that_names_the_value_and_what_is_known(
    kind: Kind, url: str, words: list[str]
) -> None:
    with pytest.raises(ConfigError) as raised:
        registry.create(kind, url)
    assert [word for word in words if word not in str(raised.value)] == []


def test_an_unknown_kind_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="known: vad, stt, turn, llm, tts"):
        registry.parse("ear", "silero://")  # type: ignore[arg-type]


@pytest.mark.parametrize("url", ["openai://me:hush@host/v1?model=x", "openai://host/v1?model=x&api_key=hush"])
def test_a_secret_in_a_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match="key_env") as raised:
        registry.create("llm", url)
    assert "hush" not in str(raised.value)


@pytest.mark.parametrize(
    ("host", "locality"),
    [
        ("localhost:8000", "local"),
        ("127.0.0.1", "local"),
        ("[::1]:80", "local"),
        ("api.openai.com", "remote"),
        ("10.0.0.7", "remote"),
        ("localhost.example.com", "remote"),
    ],
)
def test_an_openai_engine_is_remote_unless_its_host_is_the_loopback(host: str, locality: str) -> None:
    assert registry.create("llm", f"openai://{host}/v1?model=x").locality == locality


class _Homeless:
    """A driver that does not say where it works."""

    Options = DriverOptions

    def __init__(self, spec: EngineSpec, options: DriverOptions) -> None:
        self.name = spec.url


def test_a_driver_without_locality_cannot_be_created() -> None:
    with pytest.raises(ConfigError, match="locality"):
        registry.build(_Homeless, registry.parse("vad", "silero://"))


def test_a_name_is_found_in_the_models_directory_with_or_without_its_suffix(tmp_path: Path) -> None:
    voice = tmp_path / "amy.onnx"
    voice.touch()
    assert registry.parse("tts", "piper://amy", tmp_path).find(".onnx") == voice
    assert registry.parse("tts", "piper://amy.onnx", tmp_path).find(".onnx") == voice
    assert registry.parse("tts", f"piper://{tmp_path}/amy.onnx", Path("elsewhere")).find(".onnx") == voice
    assert registry.parse("tts", "piper://bob", tmp_path).find(".onnx") == Path("bob")


def test_creating_every_driver_imports_none_of_the_libraries() -> None:
    libraries = [
        "onnxruntime",
        "faster_whisper",
        "llama_cpp",
        "openai",
        "anthropic",
        "piper",
        "pocketsphinx",
        "espeakng_loader",
    ]
    script = f"""
import sys
from voicebot.engines import registry
targets = {{"whisper": "base.en", "llama": "/x.gguf", "openai": "host/v1?model=x", "anthropic": "?model=x",
           "piper": "/v.onnx"}}
words = {{"stt": "?engine=scripted://&text=x", "llm": "?engine=scripted://&reply=x"}}
for kind, scheme in registry.DRIVERS:
    target = words[kind] if scheme == "worded" else targets.get(scheme, "")
    registry.create(kind, f"{{scheme}}://{{target}}")
print([name for name in {libraries} if name in sys.modules])
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.strip() == "[]"
