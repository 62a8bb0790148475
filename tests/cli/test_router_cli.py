"""`voicebot train router` and `voicebot eval router`, as an operator runs them."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from tests.training.router_lines import lines, write
from voicebot.cli.main import app

RUN = CliRunner()


def test_a_router_is_trained_and_measured_from_the_command_line(tmp_path: Path) -> None:
    data, out = write(tmp_path / "data.jsonl", lines()), tmp_path / "mine"
    trained = RUN.invoke(app, ["train", "router", "--data", str(data), "--out", str(out)])
    assert trained.exit_code == 0, trained.output
    assert f"router://{out}" in trained.output
    measured = RUN.invoke(app, ["eval", "router", "--model", str(out), "--data", str(data), "--json"])
    assert measured.exit_code == 0, measured.output
    report = json.loads(measured.stdout)
    assert report["n"] == 200
    assert report["accuracy"] > 0.9
    assert {"per_task", "ece"} < set(report)


def test_bad_data_ends_with_two_and_names_the_line(tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text("{}\n", "utf-8")
    result = RUN.invoke(app, ["train", "router", "--data", str(data), "--out", str(tmp_path / "x")])
    assert result.exit_code == 2
    assert "data.jsonl, line 1: text is None" in result.output


def test_an_unknown_model_ends_with_two(tmp_path: Path) -> None:
    data = write(tmp_path / "data.jsonl", lines())
    result = RUN.invoke(app, ["eval", "router", "--model", str(tmp_path / "none"), "--data", str(data)])
    assert result.exit_code == 2
    assert "is no router" in result.output
