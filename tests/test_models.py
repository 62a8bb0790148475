from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.hub import COMMIT, Hub, running_hub
from voicebot.cli.main import app
from voicebot.errors import ConfigError
from voicebot.models import Model, ModelError, find_model, load_manifest, read_lock, remove_model, verify_model
from voicebot.models_pull import pull_model

WEIGHTS = bytes(range(256)) * 4096
VOICE = "en_US-lessac-medium"


@pytest.fixture
def model() -> Model:
    return load_manifest()[VOICE]


@pytest.fixture
def hub(model: Model, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with running_hub({model.files[0]: WEIGHTS, model.files[1]: b"{}", "README.md": b"no"}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_TOKEN", "hf_test")
        yield hub


def test_the_manifest_names_models_of_every_kind_and_their_engines() -> None:
    manifest = load_manifest()
    assert {model.kind for model in manifest.values()} == {"stt", "llm", "tts", "turn"}
    assert manifest["base.en"].url(Path("/m")) == "whisper:///m/whisper/base.en"
    assert manifest["qwen3-0.6b"].url(Path("/m")) == "llama:///m/llm/qwen3-0.6b/Qwen3-0.6B-Q8_0.gguf"


def test_an_unknown_name_is_answered_with_those_that_are_near() -> None:
    with pytest.raises(ConfigError, match=r"'base-en'; did you mean base\.en"):
        find_model("base-en", load_manifest())


def test_offline_never_asks_the_hub(model: Model, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--offline forbids"):
        pull_model(model, tmp_path, offline=True)


@pytest.mark.realtime
def test_a_pull_brings_the_files_pins_them_and_sends_the_token(hub: Hub, model: Model, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    lock = pull_model(model, tmp_path, progress=lambda *step: seen.append(step))
    assert (model.folder(tmp_path) / f"{VOICE}.onnx").read_bytes() == WEIGHTS
    assert lock.commit == COMMIT and set(lock.files) == set(model.files)
    assert lock == read_lock(model.folder(tmp_path))
    assert verify_model(model, tmp_path) == 2
    assert all(headers["authorization"] == "Bearer hf_test" for _, headers in hub.requests)
    assert (model.files[0], len(WEIGHTS), len(WEIGHTS)) in seen
    asked = len(hub.requests)
    assert pull_model(model, tmp_path, offline=True) == lock and len(hub.requests) == asked


@pytest.mark.realtime
def test_a_cut_connection_is_resumed_where_it_ended(hub: Hub, model: Model, tmp_path: Path) -> None:
    hub.files[model.files[1]] = b""
    hub.cuts = 2
    pull_model(model, tmp_path)
    assert (model.folder(tmp_path) / f"{VOICE}.onnx").read_bytes() == WEIGHTS
    assert any(headers.get("range", "bytes=0-") != "bytes=0-" for _, headers in hub.requests)


@pytest.mark.realtime
def test_a_pull_that_is_always_cut_leaves_no_model_and_the_next_goes_on(hub: Hub, model: Model, tmp_path: Path) -> None:
    hub.cuts = 1000
    with pytest.raises(ModelError, match="was cut 5 times"):
        pull_model(model, tmp_path)
    assert not model.folder(tmp_path).exists()
    hub.cuts = 0
    hub.requests.clear()
    pull_model(model, tmp_path)
    ranges = [headers["range"] for path, headers in hub.requests if path.endswith(".onnx")]
    assert ranges and ranges != ["bytes=0-"]
    assert verify_model(model, tmp_path) == 2


@pytest.mark.realtime
def test_content_with_another_hash_is_refused_and_not_kept(hub: Hub, model: Model, tmp_path: Path) -> None:
    hub.claimed[model.files[0]] = "0" * 64
    with pytest.raises(ModelError, match=r"not 000000000000\.\.\.; pull it again"):
        pull_model(model, tmp_path)
    assert not model.folder(tmp_path).exists()
    assert not list(tmp_path.rglob("*.onnx"))


@pytest.mark.realtime
def test_a_full_disk_or_a_small_memory_is_said_before_anything_is_fetched(
    hub: Hub, model: Model, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="MB of disk and 1 MB are free"):
        pull_model(model, tmp_path, disk=lambda _: 1 << 20)
    with pytest.raises(ModelError, match="memory, this machine has 64"):
        pull_model(model, tmp_path, memory=lambda: 64 << 20)
    assert not any("/resolve/" in path for path, _ in hub.requests)
    assert not list(tmp_path.iterdir())


@pytest.mark.realtime
def test_a_file_that_changed_on_the_hub_since_it_was_pinned_is_refused(hub: Hub, model: Model, tmp_path: Path) -> None:
    pull_model(model, tmp_path)
    (model.folder(tmp_path) / f"{VOICE}.onnx").unlink()
    hub.files[model.files[0]] = WEIGHTS[::-1]
    with pytest.raises(ModelError, match="has changed on the hub"):
        pull_model(model, tmp_path)


@pytest.mark.realtime
def test_verify_finds_a_changed_byte_and_rm_removes_the_model(hub: Hub, model: Model, tmp_path: Path) -> None:
    pull_model(model, tmp_path)
    (model.folder(tmp_path) / f"{VOICE}.onnx").write_bytes(WEIGHTS[:-1] + b"x")
    with pytest.raises(ModelError, match="is not the file that was pulled"):
        verify_model(model, tmp_path)
    remove_model(model, tmp_path)
    with pytest.raises(ConfigError, match="nothing to remove"):
        remove_model(model, tmp_path)


@pytest.mark.realtime
def test_the_command_line_pulls_lists_and_tells_the_engine_url(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOICEBOT_MODELS", str(tmp_path))
    pulled = CliRunner().invoke(app, ["models", "pull", VOICE, "--json"])
    assert pulled.exit_code == 0, pulled.stderr
    assert json.loads(pulled.stdout)["url"] == f"piper://{tmp_path}/piper/{VOICE}/{VOICE}.onnx"
    rows = json.loads(CliRunner().invoke(app, ["models", "list", "--json"]).stdout)["models"]
    assert [row["name"] for row in rows if row["pulled"]] == [VOICE]
    wrong = CliRunner().invoke(app, ["models", "path", "amy"])
    assert wrong.exit_code == 2 and wrong.stderr.startswith("error: no model is called 'amy'")
