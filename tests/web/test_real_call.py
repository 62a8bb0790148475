"""One talk with the real server: a browser whose microphone says "what time is it", and then types."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.web.conftest import FAKE_DEVICE, GRANT, Launch, OpenPage

pytestmark = [pytest.mark.browser, pytest.mark.realtime]

ROOT = Path(__file__).parents[2]
SPEECH = ROOT / "tests" / "speech" / "what_time_is_it.wav"
A_TIME = re.compile(
    r"\b(one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|noon|midnight)\b", re.IGNORECASE
)
LOAD_S = 90
ANSWER_MS = 45_000
LEAD_S = 3.0  # silence before the words: the file starts with the microphone, before the call is up
REST_S = 6.0

Shot = Callable[[Page, str], None]


def write_microphone(path: Path) -> Path:
    """Silence, the sentence, silence."""
    with wave.open(str(SPEECH)) as speech:
        rate_hz = speech.getframerate()
        words = speech.readframes(speech.getnframes())
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate_hz, 0, "NONE", ""))
        for pcm in (bytes(2 * int(LEAD_S * rate_hz)), words, bytes(2 * int(REST_S * rate_hz))):
            file.writeframes(pcm)
    return path


@pytest.fixture(scope="module")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where `voicebot serve --profile embedded` listens, once it says that it is ready."""
    home = tmp_path_factory.mktemp("home")
    program = [sys.executable, "-c", "from voicebot.cli.main import run; run()"]
    options = ["serve", "--profile", "embedded", "--host", "127.0.0.1", "--port", "0"]
    with subprocess.Popen(
        [*program, *options],
        cwd=ROOT,
        env=os.environ | {"VOICEBOT_HOME": str(home), "NO_COLOR": "1"},
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            yield ready_url(server).replace("127.0.0.1", "localhost")
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(30)


def ready_url(server: subprocess.Popen[str]) -> str:
    """Wait for the banner and return its address; a thread goes on emptying the pipe."""
    said: list[str] = []
    ready = threading.Event()
    threading.Thread(target=_read, args=(server, said, ready), daemon=True).start()
    assert ready.wait(LOAD_S), "".join(said)
    found = re.search(r"http://\S+", "".join(said))
    assert found, "the server ended before it was ready:\n" + "".join(said)
    return found[0]


def _read(server: subprocess.Popen[str], said: list[str], ready: threading.Event) -> None:
    """Keep what the server says; `ready` is set by its banner, or by its end. Thread: its own."""
    assert server.stderr is not None
    for line in server.stderr:
        said.append(line)
        if "is ready" in line:
            ready.set()
    ready.set()


@pytest.fixture(scope="module")
def asking_browser(launch: Launch, tmp_path_factory: pytest.TempPathFactory) -> Browser:
    file = write_microphone(tmp_path_factory.mktemp("microphone") / "question.wav")
    return launch(GRANT, FAKE_DEVICE, f"--use-file-for-fake-audio-capture={file}%noloop")


HEARD_ENERGY = """async () => {
  for (const report of (await connections[0].getStats()).values())
    if (report.type === "inbound-rtp" && report.kind === "audio") return report.totalAudioEnergy;
  return 0;
}"""


def test_the_page_holds_a_talk_with_the_real_server(
    open_page: OpenPage, asking_browser: Browser, server_url: str, shot: Shot
) -> None:
    page = open_page(url=server_url, browser=asking_browser)
    page.get_by_role("button", name="Start talking").click()
    turn = page.locator(".turn").first
    expect(turn.locator(".caller .words")).to_contain_text("time", ignore_case=True, timeout=ANSWER_MS)
    expect(turn.locator(".reply .heard")).to_contain_text(A_TIME, timeout=ANSWER_MS)
    expect(turn.get_by_role("table")).to_be_visible(timeout=ANSWER_MS)
    expect(turn.locator("tfoot .time")).to_have_text(re.compile(r"^\d+$"))
    assert turn.locator("tbody tr").count() >= 2
    expect(page.locator("#p50")).to_have_text(re.compile(r"^\d+ ms$"))
    expect(turn.locator(".badge")).not_to_be_empty()
    expect(page.get_by_role("heading", name="Listening")).to_be_visible(timeout=ANSWER_MS)
    assert page.evaluate(HEARD_ENERGY) > 0.001, "the remote track was silent"
    page.get_by_label("Type instead of speaking").fill("what is seven times eight")
    page.keyboard.press("Enter")
    typed = page.locator(".turn").nth(1)
    expect(typed.locator(".caller .words")).to_have_text("what is seven times eight", timeout=ANSWER_MS)
    expect(typed.locator(".reply .heard")).to_contain_text(re.compile(r"\w{2,}"), timeout=ANSWER_MS)
    expect(page.get_by_role("heading", name="Listening")).to_be_visible(timeout=ANSWER_MS)
    shot(page, "real-call")
    page.get_by_role("button", name="Hang up").click()
    expect(page.get_by_role("heading", name="Call ended")).to_be_visible()
