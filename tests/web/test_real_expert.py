"""The page with the real server and an expert that takes its time: who answered, what waits, what came late."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.engines import chat_server
from tests.engines.chat_server import ChatServer
from tests.web.conftest import FAKE_DEVICE, GRANT, Launch, OpenPage
from tests.web.test_brain import chips, reasons, route
from tests.web.test_looks import PHONE
from tests.web.test_real_call import ANSWER_MS, ROOT, ready_url

pytestmark = [pytest.mark.browser, pytest.mark.realtime]
Shot = Callable[[Page, str], None]
HARD, OTHER = "why did the roman empire fall", "explain how a nuclear reactor works"
ANSWER = "It fell for many reasons."


@pytest.fixture(scope="module")
def provider() -> Iterator[ChatServer]:
    with chat_server.running() as running:
        running.answer, running.delay_s = ANSWER, 3.0
        yield running


@pytest.fixture(scope="module")
def server_url(tmp_path_factory: pytest.TempPathFactory, provider: ChatServer) -> Iterator[str]:
    home = tmp_path_factory.mktemp("home")
    options = ["--profile", "embedded", "--host", "127.0.0.1", "--port", "0", "--set", "engines.stt=scripted://"]
    options += ["--set", f"frontier.url={provider.url('expert', locality='remote', tls='false')}"]
    options += ["--set", "ledger.prices={expert = {input_usd = 2, output_usd = 10}}"]
    program = [sys.executable, "-c", "from voicebot.cli.main import run; run()", "serve", *options]
    environment = os.environ | {"VOICEBOT_HOME": str(home), "NO_COLOR": "1", "OPENAI_API_KEY": "sesame"}
    with subprocess.Popen(program, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as server:
        try:
            yield ready_url(server).replace("127.0.0.1", "localhost")
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(30)


@pytest.fixture(scope="module")
def silent_browser(launch: Launch, tmp_path_factory: pytest.TempPathFactory) -> Browser:
    path = tmp_path_factory.mktemp("microphone") / "silence.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 48_000, 0, "NONE", ""))
        file.writeframes(bytes(2 * 48_000))
    return launch(GRANT, FAKE_DEVICE, f"--use-file-for-fake-audio-capture={path}")


def type_in(page: Page, text: str) -> None:
    page.get_by_label("Type instead of speaking").fill(text)
    page.keyboard.press("Enter")


def started(page: Page) -> Page:
    page.get_by_role("button", name="Start talking").click()
    expect(page.get_by_role("heading", name="Listening")).to_be_visible(timeout=ANSWER_MS)
    return page


def test_a_hard_question_waits_visibly_is_answered_late_and_another_is_cancelled(
    open_page: OpenPage, silent_browser: Browser, server_url: str, shot: Shot
) -> None:
    page = started(open_page(url=server_url, browser=silent_browser))
    type_in(page, HARD)
    expect(chips(page)).to_contain_text(HARD, timeout=ANSWER_MS)
    expect(route(page, 1).locator(".errand")).to_contain_text("Asking the expert")
    shot(page, "real-expert-pending")
    late = page.locator(".turn").nth(1)
    expect(late.locator(".late")).to_have_text(f"Late answer to: {HARD}", timeout=ANSWER_MS)
    expect(late.locator(".reply .heard")).to_have_text(ANSWER, timeout=ANSWER_MS)
    expect(route(page, 1).locator(".errand")).to_contain_text("Answered late", timeout=ANSWER_MS)
    expect(chips(page)).to_have_count(0)
    type_in(page, OTHER)
    page.get_by_role("button", name=f"Cancel: {OTHER}").click(timeout=ANSWER_MS)
    expect(route(page, 3).locator(".errand")).to_contain_text("Cancelled", timeout=ANSWER_MS)
    type_in(page, "what is seven times eight")
    expect(route(page, 4).locator(".member")).to_have_text("Answered by: talker. ", timeout=ANSWER_MS)
    expect(route(page, 4).locator(".cost")).to_contain_text("$0")
    why = reasons(page, 4)
    assert why["Why"] == "tools: talker owns it" and why["Answered by"] == "talker"
    assert "hard (" in reasons(page, 1)["Why"]
    shot(page, "real-expert-late")


def test_it_fits_a_phone_and_the_dark(
    open_page: OpenPage, silent_browser: Browser, server_url: str, shot: Shot
) -> None:
    page = started(open_page(url=server_url, browser=silent_browser, viewport=PHONE, color_scheme="dark"))
    type_in(page, HARD)
    expect(chips(page)).to_contain_text(HARD, timeout=ANSWER_MS)
    shot(page, "real-expert-phone-pending")
    expect(page.locator(".late")).to_be_visible(timeout=ANSWER_MS)
    shot(page, "real-expert-phone-late")
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
