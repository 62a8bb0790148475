"""A real browser with a fake microphone, for the tests marked `browser`.

`--shots DIR` keeps a screenshot of every state of the page that the tests show.
"""

from __future__ import annotations

import shutil
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, sync_playwright

from tests.web.standin import StandIn

CHROMIUM_NAMES = ("chromium", "google-chrome", "chromium-browser")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    # A plain-http name that is not localhost: the browser gives such a page no microphone.
    "--host-resolver-rules=MAP voicebot.test 127.0.0.1",
)
GRANT = "--use-fake-ui-for-media-stream"
DENY = "--use-fake-ui-for-media-stream=deny"
FAKE_DEVICE = "--use-fake-device-for-media-stream"
# The page keeps its connection to itself; tests look at the real one through this record of it.
RECORD_CONNECTIONS = """
  window.connections = [];
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...given) { super(...given); window.connections.push(this); }
  };
"""

Launch = Callable[..., Browser]
OpenPage = Callable[..., Page]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shots", metavar="DIR", help="keep screenshots of the page in DIR")


def _write_tone(path: Path) -> Path:
    """Two seconds of 220 Hz, 48 kHz mono: a caller who never stops (Chromium loops the file)."""
    pcm = (12_000 * np.sin(2 * np.pi * 220 * np.arange(96_000) / 48_000)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 48_000, len(pcm), "NONE", ""))
        file.writeframes(pcm.tobytes())
    return path


@pytest.fixture(scope="session")
def chromium() -> str:
    found = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if found is None:
        pytest.skip("no Chromium here: install the package `chromium` to run the browser tests")
    return found


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def launch(playwright: Playwright, chromium: str) -> Iterator[Launch]:
    """launch(*flags) -> a headless browser; closed at the end of the run."""
    browsers: list[Browser] = []

    def start(*flags: str) -> Browser:
        browsers.append(playwright.chromium.launch(executable_path=chromium, args=[*FLAGS, *flags]))
        return browsers[-1]

    yield start
    for browser in browsers:
        browser.close()


@pytest.fixture(scope="session")
def talking_browser(launch: Launch, tmp_path_factory: pytest.TempPathFactory) -> Browser:
    """Its microphone is allowed and hears an endless tone."""
    tone = _write_tone(tmp_path_factory.mktemp("microphone") / "tone.wav")
    return launch(GRANT, FAKE_DEVICE, f"--use-file-for-fake-audio-capture={tone}")


@pytest.fixture
def server() -> Iterator[StandIn]:
    server = StandIn()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def open_page(talking_browser: Browser, server: StandIn) -> Iterator[OpenPage]:
    """open_page(url=..., browser=..., **context options) -> a page; any error that it throws fails the test."""
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def open_one(url: str = "", browser: Browser = talking_browser, **options: object) -> Page:
        context = browser.new_context(**({"viewport": {"width": 1280, "height": 800}} | options))  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.add_init_script(RECORD_CONNECTIONS)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda line: faults.append(line.text) if "Content Security Policy" in line.text else None)
        page.goto(url or server.url)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert not faults, faults


@pytest.fixture
def shot(request: pytest.FixtureRequest) -> Callable[[Page, str], None]:
    """shot(page, name): a screenshot, where --shots asks for them."""
    folder = request.config.getoption("--shots", default=None)

    def take(page: Page, name: str) -> None:
        if folder is not None:
            Path(folder).mkdir(parents=True, exist_ok=True)
            (Path(folder) / f"{name}.png").write_bytes(page.screenshot())

    return take
