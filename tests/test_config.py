from __future__ import annotations

from pathlib import Path

import pytest

from voicebot.config import Config, home_dir, load_config, trace_dir
from voicebot.core.settings import TurnSettings
from voicebot.errors import ConfigError


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No voicebot.toml of the working directory is read by accident."""
    monkeypatch.chdir(tmp_path)


def test_without_any_source_the_defaults_hold() -> None:
    assert load_config(env={}) == Config()


def test_a_later_source_wins_over_an_earlier_one(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text('profile = "local"\n[server]\nport = 1\nhost = "10.0.0.1"\nmax_calls = 3\n')
    env = {"VOICEBOT_SERVER__PORT": "2", "VOICEBOT_SERVER__HOST": "::1"}
    config = load_config(file, env, ["server.port=3"])
    assert (config.profile, config.server.port, config.server.host, config.server.max_calls) == ("local", 3, "::1", 3)


def test_voicebot_toml_of_the_working_directory_is_read() -> None:
    Path("voicebot.toml").write_text("[server]\nport = 4242\n")
    assert load_config(env={}).server.port == 4242


def test_values_are_toml_and_what_is_not_toml_is_text() -> None:
    config = load_config(
        env={"VOICEBOT_ENGINES__STT": "whisper://base.en?device=cpu&beam=1", "VOICEBOT_SERVER__API_REMOTE": "true"},
        overrides=["reply.greeting=Hi, who's there?", 'webrtc.ice_servers=[{urls=["stun:a:3478"]}]'],
    )
    assert config.engines.stt == "whisper://base.en?device=cpu&beam=1"
    assert config.server.api_remote is True
    assert config.reply.greeting == "Hi, who's there?"
    assert config.webrtc.ice_servers[0].urls == ("stun:a:3478",)


def test_the_environment_may_also_say_where_things_live() -> None:
    assert load_config(env={"VOICEBOT_HOME": "/x", "VOICEBOT_MODELS": "/y"}) == Config()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["server.prot=3"], ["'server.prot'", "--set server.prot", "did you mean server.port"]),
        (["max_calls=3"], ["'max_calls'", "did you mean server.max_calls"]),
        (["zzz=1"], ["'zzz'", "sections are profile, server, engines"]),
        (["server=1"], ["server", "is a section"]),
        (["server.port"], ["'server.port' is not KEY=VALUE"]),
        (["=1"], ["is not KEY=VALUE"]),
        (["server.port=abc"], ["server.port = 'abc'", "should be a valid integer"]),
        (["server.port=70000"], ["server.port = 70000", "65535"]),
        (["profile=fast"], ["profile = 'fast'", "'auto', 'embedded', 'local' or 'gpu'"]),
        (["turn.soft_end_ms=500"], ["turn.soft_end_ms (500) <= turn.min_wait_ms (160)"]),
        (["webrtc.ice_servers=[{urls=['stun:x'], user='y'}]"], ["webrtc.ice_servers.0.user", "not permitted"]),
        (["telephony.public_url=bot.example.com"], ["telephony.public_url", "bot.example.com"]),
    ],
)
def test_a_wrong_setting_is_an_error_that_names_key_value_and_source(overrides: list[str], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(env={}, overrides=overrides)
    for word in words:
        assert word in str(caught.value)


def test_an_unknown_variable_of_the_environment_is_named() -> None:
    with pytest.raises(ConfigError, match="VOICEBOT_SERVER_PORT"):
        load_config(env={"VOICEBOT_SERVER_PORT": "1"})


def test_an_unknown_key_of_the_file_is_named_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text("[sever]\nport = 1\n")
    with pytest.raises(ConfigError, match=r"'sever\.port' \(from .*my\.toml\); did you mean server\.port"):
        load_config(file, {})


def test_every_wrong_value_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(env={}, overrides=["server.port=abc", "trace.keep=-1"])
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize("content", ["port =", b"\xff\xfe"])
def test_a_file_that_is_not_toml_is_an_error(tmp_path: Path, content: str | bytes) -> None:
    file = tmp_path / "my.toml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError, match="is not valid TOML"):
        load_config(file, {})


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the config file"):
        load_config(tmp_path / "none.toml", {})


def test_a_credential_is_not_shown_when_the_settings_are_printed() -> None:
    config = load_config(
        env={}, overrides=['webrtc.ice_servers=[{urls=["turn:a"], username="u", credential="s3cret"}]']
    )
    assert "s3cret" not in repr(config)


def test_the_turn_section_names_only_settings_of_the_turn_machine() -> None:
    assert set(Config().turn.model_dump()) <= set(TurnSettings.__dataclass_fields__)


def test_traces_go_to_the_state_directory_unless_told_otherwise() -> None:
    assert home_dir({"VOICEBOT_HOME": "/a"}) == Path("/a")
    assert home_dir({"XDG_STATE_HOME": "/b"}) == Path("/b/voicebot")
    assert home_dir({}) == Path.home() / ".local" / "state" / "voicebot"
    assert trace_dir(Config(), {"VOICEBOT_HOME": "/a"}) == Path("/a/traces")
    assert trace_dir(load_config(env={}, overrides=["trace.dir=/t"])) == Path("/t")
