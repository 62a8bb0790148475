"""`voicebot docs`: what is read and found, for people and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from voicebot.cli.main import app

RUNNER = CliRunner()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "hours.md").write_text("# Hours\n\nThe kitchen opens at seven.\n")
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4")
    return tmp_path


def test_files_are_listed_with_what_is_wrong_with_them(folder: Path) -> None:
    shown = RUNNER.invoke(app, ["docs", "list", "--dir", str(folder)])
    assert shown.exit_code == 0 and "1  hours.md" in shown.stdout and "1 passages of 2 files" in shown.stdout
    document = json.loads(RUNNER.invoke(app, ["docs", "list", "--dir", str(folder), "--json"]).stdout)
    assert document["files"] == {"broken.pdf": 0, "hours.md": 1} and list(document["problems"]) == ["broken.pdf"]


def test_a_question_shows_its_passage_how_much_is_covered_and_what_would_be_said(folder: Path) -> None:
    shown = RUNNER.invoke(app, ["docs", "search", "when does the kitchen open", "--dir", str(folder)])
    assert shown.stdout.split() == "100% hours.md Hours The kitchen opens at seven.".split()
    found = json.loads(RUNNER.invoke(app, ["docs", "search", "kitchen", "--dir", str(folder), "--json"]).stdout)
    assert found["passages"][0]["sentences"] == "The kitchen opens at seven."
    assert "nothing" in RUNNER.invoke(app, ["docs", "search", "sauna", "--dir", str(folder)]).stdout


@pytest.mark.parametrize(("given", "said"), [([], "set documents.dir"), (["--dir", "/no/such"], "there is no folder")])
def test_without_a_folder_it_says_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    failed = RUNNER.invoke(app, ["docs", "list", *given])
    assert failed.exit_code == 2 and said in failed.stderr
