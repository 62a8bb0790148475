"""Thresholds from an eval set: what counts as right, what a threshold promises, and how it gets into the settings."""

from __future__ import annotations

import asyncio
import json
import math
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from voicebot.brain.confidence import Threshold
from voicebot.cli.main import app
from voicebot.engines.base import ToolCall
from voicebot.errors import ConfigError, EngineBadOutput
from voicebot.evals.calibrate import Answer, Example, Report, is_right, read_examples, report
from voicebot.settings_file import set_value


@pytest.mark.parametrize(
    ("answer", "expected", "right"),
    [
        ("I am a voice assistant.", "voice assistant", True),
        ("I am a voice.", "voice assistant", False),
        ("At seven, every day.", ["seven", "day"], True),
        ("Seventy.", "seven", False),
        (ToolCall("1", "set_timer", {"duration": "Ten minutes"}),
         {"tool": "set_timer", "arguments": {"duration": "ten minutes"}}, True),
        (ToolCall("1", "set_timer", {"duration": "2 minutes"}), {"tool": "set_timer", "arguments": {}}, False),
        ("Timer set.", {"tool": "set_timer", "arguments": {}}, False),
        (ToolCall("1", "get_time", {}), "time", False),
        ({"name": "Anna"}, {"name": "anna", "day": None}, True),
        ({"name": "Anna", "day": "friday"}, {"name": "anna"}, False),
        (None, None, True),
        ("Brazil.", None, False),
        (None, "at seven", False),
    ],
)  # fmt: skip
def test_right_is_what_was_expected_and_no_more(answer: Any, expected: Any, right: bool) -> None:
    assert is_right(answer, expected) is right


def measured(answers: list[tuple[bool, float]], target: float = 0.9, broken: int = 0) -> Report:
    """Answers that are right or not, by their log-probability; then `broken` that do not parse."""
    examples = [Example(str(at), "yes") for at in range(len(answers) + broken)]

    async def ask(example: Example) -> Answer:
        at = int(example.text)
        if at >= len(answers):
            raise EngineBadOutput("no JSON")
        good, logprob = answers[at]
        return Answer("yes" if good else "no", -1.0, logprob)

    return asyncio.run(report("one", ask, examples, target))


GOOD_AND_BAD = [(True, -0.1 - at / 100) for at in range(60)] + [(False, -2.0 - at / 100) for at in range(20)]


def test_the_threshold_keeps_the_wrong_answers_out_and_lets_the_right_ones_pass() -> None:
    made = measured(GOOD_AND_BAD, broken=4)
    assert (made.n, made.broken, made.right, made.measure) == (84, 4, 60, "min_logprob")
    assert made.auroc["min_logprob"] == 1.0 and made.auroc["mean_logprob"] == 0.5
    assert made.reached and made.chosen.right_when_accepted >= 0.9
    gate = Threshold(min_logprob=made.threshold)
    passed = [good for good, logprob in GOOD_AND_BAD if not gate.rejects(-1.0, logprob)]
    assert passed.count(True) == 60 and len(passed) == made.accepted == 66, (
        "and as many wrong ones as the target allows"
    )
    assert made.curve[0] == {"coverage": 1.0, "risk": 0.25} and made.curve[-1]["risk"] == 0.0


def test_a_member_that_cannot_reach_the_target_is_not_given_a_threshold_as_if_it_did() -> None:
    made = measured([(at % 2 == 0, -0.1) for at in range(40)], target=0.95)
    assert not made.reached and made.document()["reached"] is False


def test_an_engine_without_log_probabilities_is_said_so() -> None:
    with pytest.raises(ConfigError, match="logprobs=true"):
        measured([(True, math.nan)] * 5)


def test_an_eval_set_is_refused_with_the_line_that_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "set.jsonl"
    file.write_text('{"text": "a", "expected": "b"}\n\n{"text": "a"}\n')
    with pytest.raises(ConfigError, match=r"set\.jsonl:3"):
        read_examples(file)
    file.write_text('{"text": "a", "expected": "b"}\n')
    with pytest.raises(ConfigError, match="1 examples; 30 at least"):
        read_examples(file)


def test_a_value_is_set_in_its_table_and_every_other_line_stays(tmp_path: Path) -> None:
    file = tmp_path / "voicebot.toml"
    file.write_text("# mine\n[fleet.talker] # general\ngeneral = true\nmean_logprob = -1\n\n[fleet.talkers]\nx = 1\n")
    set_value(file, "fleet.talker", "min_logprob", -2.5, drop="mean_logprob")
    assert file.read_text() == (
        "# mine\n[fleet.talker] # general\nmin_logprob = -2.5\ngeneral = true\n\n[fleet.talkers]\nx = 1\n"
    )
    set_value(file, "fleet.new", "min_logprob", -1.0)
    assert tomllib.loads(file.read_text())["fleet"]["new"] == {"min_logprob": -1.0}


@pytest.mark.parametrize("text", ["fleet = {talker = {general = true}}\n", "[fleet\n"])
def test_a_file_that_cannot_be_changed_safely_is_left_alone(tmp_path: Path, text: str) -> None:
    file = tmp_path / "voicebot.toml"
    file.write_text(text)
    with pytest.raises(ConfigError):
        set_value(file, "fleet.talker", "min_logprob", -2.5)
    assert file.read_text() == text


def test_the_command_prints_lines_to_paste_and_writes_them_where_asked(tmp_path: Path) -> None:
    file, data = tmp_path / "voicebot.toml", tmp_path / "set.jsonl"
    file.write_text('[fleet.talker]\ngeneral = true\nengine = "scripted://?reply=Hello&logprob=-0.5"\n')
    rows = [{"text": f"hello {at}", "expected": "hello"} for at in range(30)]
    data.write_text("\n".join(map(json.dumps, rows)))
    settings = ["--config", str(file), "--set", "engines.llm=scripted://", "--data", str(data)]
    shown = CliRunner().invoke(app, ["eval", "calibrate", "talker", *settings, "--write"])
    assert shown.exit_code == 0, shown.output
    assert "30 of 30 right" in shown.stdout and shown.stdout.endswith("[fleet.talker]\nmin_logprob = -0.5\n")
    assert tomllib.loads(file.read_text())["fleet"]["talker"]["min_logprob"] == -0.5
    data.write_text("\n".join(json.dumps(row | {"expected": "goodbye"}) for row in rows))
    failed = CliRunner().invoke(app, ["eval", "calibrate", "talker", *settings, "--json"])
    assert failed.exit_code == 1 and "not good enough for its task" in failed.stderr
    assert json.loads(failed.stdout)["reached"] is False


def test_a_member_that_is_not_there_is_said_with_those_that_are(tmp_path: Path) -> None:
    failed = CliRunner().invoke(app, ["eval", "calibrate", "nobody", "--set", "engines.llm=scripted://"])
    assert failed.exit_code == 2 and "has no member nobody; it has talker, rewrite" in failed.stderr
