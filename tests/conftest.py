"""What every test gets: leaked threads fail it, and browser tests are skipped where there is no Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import voicebot.cli.one_blas_thread  # noqa: F401 - it must come before numpy does, as in the commands
from tests.leaks import no_leaked_threads

SPEECH = Path(__file__).parent / "speech"
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_chromium() -> str | None:
    """The path of an installed Chromium."""
    return next((path for name in CHROMIUMS if (path := shutil.which(name))), None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if find_chromium() is None:
        skip = pytest.mark.skip(reason=f"no Chromium found (looked for {', '.join(CHROMIUMS)})")
        for item in items:
            if item.get_closest_marker("browser"):
                item.add_marker(skip)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    with no_leaked_threads():
        yield


@pytest.fixture(autouse=True)
def _state_of_its_own(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's traces, ledger and models."""
    monkeypatch.setenv("VOICEBOT_HOME", str(tmp_path_factory.getbasetemp() / "home"))


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's path; use it only in tests marked `browser`."""
    path = find_chromium()
    assert path, "tests that ask for a browser are marked `browser`"
    return path


@pytest.fixture(scope="session")
def speech() -> Path:
    """The folder of test speech: WAVs, and transcripts.tsv with their words."""
    return SPEECH
