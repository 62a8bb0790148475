"""The official Realtime session of OpenAI's JavaScript agents against a server of ours, over WebSocket.

Needs node and npm, and a package registry to install from; skipped plainly where one of them is missing.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.server import running_server
from tests.clients.test_openai_python import ANSWER, ENGINES, sound_of

pytestmark = pytest.mark.realtime
PACKAGES = ("@openai/agents-realtime@0.20.0", "zod@4.1.12")
SCRIPT = Path(__file__).with_name("agents_talk.mjs")
INSTALL_S = 90
TALK_S = 60


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the packages are installed, and the script lies."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("no node and npm here")
    folder = tmp_path_factory.mktemp("agents")
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    install = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=0", *PACKAGES]
    try:
        done = subprocess.run(install, cwd=folder, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm has not installed {PACKAGES[0]} within {INSTALL_S} s")
    if done.returncode:
        pytest.skip(f"npm cannot install {PACKAGES[0]}: {done.stderr.strip()[-200:]}")
    shutil.copy(SCRIPT, folder)
    return folder


@pytest.fixture(scope="module")
def server(workshop: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_server(tmp_path_factory.mktemp("server"), *ENGINES) as url:
        yield url


def test_a_spoken_talk_with_a_tool_call_and_an_interruption(workshop: Path, server: str, speech: Path) -> None:
    sounds = []
    for name in ("what_is_your_name", "seven_times_eight"):
        sounds.append(workshop / f"{name}.pcm")
        sounds[-1].write_bytes(sound_of(speech / f"{name}.wav").tobytes())
    url = server.replace("http", "ws", 1) + "/v1/realtime"
    node = ["node", SCRIPT.name, url, *map(str, sounds)]
    done = subprocess.run(node, cwd=workshop, capture_output=True, text=True, timeout=TALK_S, check=False)
    told: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert done.returncode == 0, (told, done.stderr[-2_000:])
    kinds = [one["kind"] for one in told]
    assert kinds[:3] == ["transcript", "tool", "tool ended"] and "interrupted" in kinds and kinds[-1] == "over"
    assert told[0]["text"] == "where is my order" and told[1]["order"] == "7"
    (cut,) = [one for one in told if one["kind"] == "truncated"]
    assert ANSWER.startswith(cut["text"]) and 3 < len(cut["text"].split()) < len(ANSWER.split())
