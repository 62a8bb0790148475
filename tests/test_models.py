from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.hub import COMMIT, Hub, running_hub
from voicebot.cli.main import app
from voicebot.errors import ConfigError
from voicebot.models import (
    LOCK,
    Model,
    ModelError,
    exclusively,
    find_model,
    is_pulled,
    load_manifest,
    read_lock,
    remove_model,
    staging_folder,
    verify_model,
)
from voicebot.models_pull import Pulled, pull_model

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
    assert {model.kind for model in manifest.values()} == {"stt", "llm", "tts", "turn", "router"}
    assert manifest["base.en"].url(Path("/m")) == "whisper:///m/whisper/base.en"
    assert manifest["qwen3-0.6b"].url(Path("/m")) == "llama:///m/llm/qwen3-0.6b/Qwen3-0.6B-Q8_0.gguf"


def test_every_model_of_the_manifest_says_all_that_an_operator_must_know() -> None:
    manifest = load_manifest()
    asked_for = {
        *("tiny.en", "base.en", "small.en", "small", "distil-large-v3", "large-v3-turbo"),
        *("qwen3-0.6b", "qwen3-1.7b", "llama-3.2-1b", "smollm2-360m", "smollm2-1.7b"),
        *("en_US-lessac-medium", "smart-turn-v3", "moonshine-small-streaming", "all-MiniLM-L6-v2"),
    }
    assert asked_for <= set(manifest)
    for model in manifest.values():
        assert model.files and model.licence and model.languages and model.good_for and model.repo.count("/") == 1
        assert 0 < model.size_mb < model.memory_mb < 4 * model.size_mb + 150
        assert all(len(digest) == 64 for digest in model.sha256.values())
    folders = [model.folder(Path("/m")) for model in manifest.values()]
    assert len(set(folders)) == len(folders)


def test_an_unknown_name_is_answered_with_those_that_are_near() -> None:
    with pytest.raises(ConfigError, match=r"'base-en'; did you mean base\.en"):
        find_model("base-en", load_manifest())


def test_offline_never_asks_the_hub(model: Model, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--offline forbids"):
        pull_model(model, tmp_path, offline=True)


@pytest.mark.realtime
def test_a_pull_brings_the_files_pins_them_and_sends_the_token(hub: Hub, model: Model, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    pulled = pull_model(model, tmp_path, progress=lambda *step: seen.append(step))
    lock = pulled.lock
    assert pulled.how == "first"
    assert (model.folder(tmp_path) / f"{VOICE}.onnx").read_bytes() == WEIGHTS
    assert lock.commit == COMMIT and set(lock.files) == set(model.files)
    assert lock == read_lock(model.folder(tmp_path))
    assert verify_model(model, tmp_path) == 2
    assert all(headers["authorization"] == "Bearer hf_test" for _, headers in hub.requests)
    assert (model.files[0], len(WEIGHTS), len(WEIGHTS)) in seen
    asked = len(hub.requests)
    assert pull_model(model, tmp_path, offline=True) == Pulled(lock, "present")
    assert len(hub.requests) == asked
    assert not list((tmp_path / ".staging").glob("*/*"))


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
    assert [path.name for path in staging_folder(model, tmp_path).iterdir()] == [COMMIT]
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
        pull_model(model, tmp_path, memory_mb=lambda: 64)
    assert not any("/resolve/" in path for path, _ in hub.requests)
    assert not list(tmp_path.rglob("*.onnx*")) and not model.folder(tmp_path).exists()


@pytest.mark.realtime
def test_a_disk_that_fills_up_during_a_pull_leaves_no_model(hub: Hub, model: Model, tmp_path: Path) -> None:
    staging = staging_folder(model, tmp_path) / COMMIT
    staging.mkdir(parents=True)
    (staging / f"{VOICE}.onnx").symlink_to("/dev/full")
    with pytest.raises(ModelError, match="No space left on device; make room or choose another VOICEBOT_MODELS"):
        pull_model(model, tmp_path)
    assert not model.folder(tmp_path).exists()


@pytest.mark.realtime
def test_a_models_folder_that_cannot_be_written_is_named(hub: Hub, model: Model, tmp_path: Path) -> None:
    (tmp_path / ".staging").touch()
    with pytest.raises(ModelError, match=r"cannot write .*\.staging: File exists"):
        pull_model(model, tmp_path)


@pytest.mark.realtime
def test_a_hub_that_cannot_be_reached_or_lacks_a_file_is_named(
    hub: Hub, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.files = {"README.md": b"no"}
    with pytest.raises(ModelError, match="rhasspy/piper-voices@main has no file like"):
        pull_model(model, tmp_path)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelError, match="the hub cannot be reached .*; check the network, or HF_ENDPOINT"):
        pull_model(model, tmp_path)


@pytest.mark.realtime
def test_a_second_pull_or_removal_at_the_same_time_is_refused(hub: Hub, model: Model, tmp_path: Path) -> None:
    with exclusively(model, tmp_path):
        with pytest.raises(ModelError, match="is being pulled or removed by another process"):
            pull_model(model, tmp_path)
        staging_folder(model, tmp_path).mkdir()
        with pytest.raises(ModelError, match="is being pulled or removed by another process"):
            remove_model(model, tmp_path)
    assert not hub.requests
    assert pull_model(model, tmp_path).how == "first"


@pytest.mark.realtime
def test_a_pull_of_another_commit_keeps_nothing_of_the_one_that_was_cut(hub: Hub, model: Model, tmp_path: Path) -> None:
    hub.cuts = 1000
    with pytest.raises(ModelError, match="was cut"):
        pull_model(model, tmp_path)
    hub.cuts, hub.commit, hub.files[model.files[0]] = 0, "c" * 40, WEIGHTS[::-1]
    assert pull_model(model, tmp_path).lock.commit == "c" * 40
    assert (model.folder(tmp_path) / f"{VOICE}.onnx").read_bytes() == WEIGHTS[::-1]


@pytest.mark.realtime
@pytest.mark.parametrize("damage", ["missing", "short"])
def test_a_broken_model_is_repaired_from_its_pinned_commit_with_its_good_files_kept(
    hub: Hub, model: Model, tmp_path: Path, damage: str
) -> None:
    weights = model.folder(tmp_path) / f"{VOICE}.onnx"
    lock = pull_model(model, tmp_path).lock
    weights.unlink() if damage == "missing" else weights.write_bytes(WEIGHTS[:-1])
    assert not is_pulled(model, tmp_path)
    hub.requests.clear()
    assert pull_model(model, tmp_path) == Pulled(lock, "repaired")
    paths = [path for path, _ in hub.requests]
    assert f"/revision/{COMMIT}" in paths[0]
    assert [path.rpartition("/")[2] for path in paths[1:]] == [weights.name]
    assert verify_model(model, tmp_path) == 2


@pytest.mark.realtime
def test_a_repair_that_fails_leaves_the_model_as_it_was_and_broken(hub: Hub, model: Model, tmp_path: Path) -> None:
    pull_model(model, tmp_path)
    (model.folder(tmp_path) / f"{VOICE}.onnx").unlink()
    hub.cuts = 1000
    with pytest.raises(ModelError, match="was cut 5 times"):
        pull_model(model, tmp_path)
    assert {path.name for path in model.folder(tmp_path).iterdir()} == {f"{VOICE}.onnx.json", LOCK}
    assert not is_pulled(model, tmp_path)


@pytest.mark.realtime
def test_a_pull_that_died_just_before_the_model_was_in_its_place_is_finished_without_the_hub(
    hub: Hub, model: Model, tmp_path: Path
) -> None:
    lock, folder = pull_model(model, tmp_path).lock, model.folder(tmp_path)
    staging = staging_folder(model, tmp_path)
    staging.mkdir()
    folder.rename(staging / COMMIT)
    (staging / "replaced").mkdir()
    assert pull_model(model, tmp_path, offline=True).lock == lock
    assert verify_model(model, tmp_path) == 2
    assert not staging.exists()


@pytest.mark.realtime
def test_the_token_is_not_sent_to_where_the_hub_redirects(hub: Hub, model: Model, tmp_path: Path) -> None:
    with running_hub(dict(hub.files)) as storage:
        hub.elsewhere = storage.url
        pull_model(model, tmp_path)
    assert len(storage.requests) == 2
    assert not any("authorization" in headers for _, headers in storage.requests)
    assert verify_model(model, tmp_path) == 2


@pytest.mark.realtime
def test_what_the_hubs_own_cache_has_is_not_fetched_again(
    hub: Hub, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = tmp_path / "hub" / "models--rhasspy--piper-voices" / "snapshots" / COMMIT
    for name, content in ((model.files[0], WEIGHTS), (model.files[1], b"{}")):
        (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / name).write_bytes(content)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    pull_model(model, tmp_path / "models")
    assert not any("/resolve/" in path for path, _ in hub.requests)
    assert verify_model(model, tmp_path / "models") == 2


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
def test_rm_removes_what_a_cut_pull_has_left(hub: Hub, model: Model, tmp_path: Path) -> None:
    hub.cuts = 1000
    with pytest.raises(ModelError, match="was cut"):
        pull_model(model, tmp_path)
    remove_model(model, tmp_path)
    assert not list(tmp_path.rglob("*.onnx*"))


@pytest.mark.realtime
def test_the_command_line_pulls_lists_and_tells_the_engine_url(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOICEBOT_MODELS", str(tmp_path))
    pulled = CliRunner().invoke(app, ["models", "pull", VOICE, "--json"])
    assert pulled.exit_code == 0, pulled.stderr
    assert json.loads(pulled.stdout)["url"] == f"piper://{tmp_path}/piper/{VOICE}/{VOICE}.onnx"
    assert "trust on first use" in pulled.stderr
    again = CliRunner().invoke(app, ["models", "pull", VOICE, "--offline"])
    assert (again.exit_code, again.stdout) == (0, f"{tmp_path}/piper/{VOICE}\n")
    assert "already here, nothing was fetched" in again.stderr and "first" not in again.stderr
    rows = json.loads(CliRunner().invoke(app, ["models", "list", "--json"]).stdout)["models"]
    assert [row["name"] for row in rows if row["pulled"]] == [VOICE]
    wrong = CliRunner().invoke(app, ["models", "path", "amy"])
    assert wrong.exit_code == 2 and wrong.stderr.startswith("error: no model is called 'amy'")
