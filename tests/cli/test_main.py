from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from tests.cli.test_wav import a_wav, tone
from voicebot.cli.main import app
from voicebot.core.settings import TurnSettings
from voicebot.core.trace import end_line, header_line

HEADER = header_line("c1", "loopback", TurnSettings())


def voicebot(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize("command", sorted(typer.main.get_command(app).commands))  # type: ignore[attr-defined]
def test_every_command_tells_how_it_is_used(command: str) -> None:
    assert voicebot(command, "--help").exit_code == 0


@pytest.fixture
def bad_wavs(tmp_path: Path) -> dict[str, Path]:
    text = tmp_path / "text.wav"
    text.write_text("not a WAV")
    return {
        "empty": a_wav(tmp_path / "empty.wav", tone(0, 16000)),
        "stereo": a_wav(tmp_path / "stereo.wav", tone(1, 16000), channels=2),
        "44.1": a_wav(tmp_path / "44.1.wav", tone(1, 16000), rate_hz=44100),
        "text": text,
        "missing": tmp_path / "missing.wav",
    }


@pytest.mark.parametrize("name", ["empty", "stereo", "44.1", "text", "missing"])
def test_call_refuses_a_bad_wav_with_one_line_and_exit_code_2_before_it_calls(
    bad_wavs: dict[str, Path], name: str
) -> None:
    result = voicebot("call", bad_wavs[name], "--url", "http://127.0.0.1:9", "--json")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert str(bad_wavs[name]) in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_one_bad_wav_among_good_ones_makes_no_call(bad_wavs: dict[str, Path], speech: Path) -> None:
    result = voicebot("call", speech / "hello.wav", bad_wavs["stereo"], "--url", "http://127.0.0.1:9")
    assert (result.exit_code, "stereo" in result.stderr) == (2, True)


def test_call_without_a_wav_or_with_a_strange_url_is_bad_input(speech: Path) -> None:
    assert voicebot("call").exit_code == 2
    result = voicebot("call", speech / "hello.wav", "--url", "gopher://host")
    assert result.exit_code == 2
    assert "no call URL" in result.stderr


@pytest.mark.realtime
@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "ws://127.0.0.1:9/telephony/twilio"])
def test_call_to_a_server_that_is_not_there_exits_1_with_one_line(speech: Path, url: str) -> None:
    result = voicebot("call", speech / "hello.wav", "--url", url, "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: cannot ")
    assert "Traceback" not in result.stderr


def test_debug_shows_the_traceback(speech: Path) -> None:
    result = voicebot("--debug", "call", speech / "hello.wav", "--url", "gopher://host")
    assert type(result.exception).__name__ == "ConfigError"


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_replay_of_an_identical_trace_exits_0(tmp_path: Path) -> None:
    trace = write(tmp_path / "t.jsonl", HEADER, end_line("caller hung up", {}))
    result = voicebot("replay", trace)
    assert (result.exit_code, result.stdout) == (0, f"{trace}: identical\n")
    as_json = voicebot("replay", trace, "--json")
    assert json.loads(as_json.stdout) == {"identical": True, "words_left_out": False, "difference": None}


def test_replay_says_plainly_that_words_of_private_turns_are_left_out(tmp_path: Path) -> None:
    window = '{"now":0.1,"event":"NoticeDue","left_out":true,"text":"x0xxx"}'
    same = write(tmp_path / "same.jsonl", HEADER, window, end_line("caller hung up", {}))
    other = write(tmp_path / "other.jsonl", HEADER, window, '{"command":"ClearPlayout"}', window)
    for trace, code in ((same, 0), (other, 1)):
        result = voicebot("replay", trace)
        assert result.exit_code == code, result.stdout
        assert "the words of private turns are left out of it" in result.stdout


def test_replay_of_a_trace_with_another_command_exits_1_and_shows_both(tmp_path: Path) -> None:
    window = '{"w":[0.1,512,0.0,0]}'
    trace = write(tmp_path / "t.jsonl", HEADER, window, '{"command":"ClearPlayout"}', window)
    result = voicebot("replay", trace)
    assert result.exit_code == 1
    assert f"{trace}, line 2: WindowHeard was answered otherwise" in result.stdout
    assert 'recorded:\n  {"command":"ClearPlayout"}' in result.stdout
    assert json.loads(voicebot("replay", trace, "--json").stdout)["difference"]["line"] == 2


@pytest.mark.parametrize("content", ["", "hello\n", '{"trace": 99}\n', "\x00\xff"])
def test_replay_of_what_is_no_trace_is_bad_input(tmp_path: Path, content: str) -> None:
    trace = tmp_path / "t.jsonl"
    trace.write_text(content, encoding="latin-1")
    result = voicebot("replay", trace)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"error: {trace} cannot be replayed")


def test_replay_of_a_missing_trace_is_bad_input(tmp_path: Path) -> None:
    result = voicebot("replay", tmp_path / "none")
    assert result.exit_code == 2
    assert "No such file" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--set", "server.prt=1"), "server.port"),
        (("--set", "nonsense"), "KEY=VALUE"),
        (("--config", "/none.toml"), "cannot read the config file /none.toml"),
        (("--profile", "huge"), "profile"),
        (("--port", "70000"), "server.port"),
    ],
)
def test_a_wrong_setting_is_bad_input_for_serve_and_doctor(arguments: tuple[str, ...], said: str) -> None:
    for command in ("serve", "doctor"):
        result = voicebot(command, *arguments)
        assert result.exit_code == 2, result.stderr
        assert said in result.stderr


def test_help_is_shown_without_a_command_and_an_unknown_one_is_bad_input() -> None:
    assert "doctor" in voicebot("--help").stdout
    assert voicebot("fly").exit_code == 2


@pytest.mark.realtime
def test_the_program_prints_nothing_but_the_error_and_no_traceback(tmp_path: Path) -> None:
    path = a_wav(tmp_path / "stereo.wav", np.zeros(100, np.int16), channels=2)
    command = [sys.executable, "-m", "voicebot.cli.main", "call", str(path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1


def test_a_server_has_no_threads_of_numpys_own_that_spin_between_turns() -> None:
    script = (
        "import sys; sys.argv = ['voicebot', 'serve']\n"
        "import voicebot.cli.main, numpy, os\n"
        "numpy.ones((512, 512)) @ numpy.ones((512, 512))\n"
        "print(len(os.listdir('/proc/self/task')))\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS")}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout == "1\n"
