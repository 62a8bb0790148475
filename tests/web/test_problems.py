"""What the page says when something is wrong: in words, with a way on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.web.conftest import DENY, FAKE_DEVICE, GRANT, Launch, OpenPage
from tests.web.scripts import TALK
from tests.web.standin import DEADLINE_S, StandIn

pytestmark = [pytest.mark.browser, pytest.mark.realtime]

Shot = Callable[[Page, str], None]


def press_start(page: Page) -> Page:
    page.get_by_role("button", name="Start talking").click()
    return page


def expect_problem(page: Page, title: str, button: str) -> None:
    alert = page.locator("#problem")
    expect(alert).to_have_attribute("role", "alert")
    expect(alert.get_by_role("heading")).to_have_text(title, timeout=DEADLINE_S * 1000)
    expect(alert.get_by_role("button", name=button)).to_be_visible()
    expect(page.locator("#problem-detail")).not_to_be_empty()


def type_instead(page: Page, server: StandIn) -> None:
    """Where there is no microphone the call goes on by typing."""
    page.get_by_role("button", name="Type instead").click()
    expect(page.get_by_role("heading", name="Waiting")).to_be_visible(timeout=DEADLINE_S * 1000)
    page.get_by_label("Type instead of speaking").fill("hello")
    page.keyboard.press("Enter")
    assert server.next_message() == {"type": "text", "text": "hello"}


def test_a_blocked_microphone_is_named_and_one_may_type_instead(
    open_page: OpenPage, launch: Launch, server: StandIn, shot: Shot
) -> None:
    page = press_start(open_page(browser=launch(DENY, FAKE_DEVICE)))
    expect_problem(page, "The microphone is blocked", "Try again")
    shot(page, "blocked")
    type_instead(page, server)


def test_a_missing_microphone_is_named(open_page: OpenPage, launch: Launch, server: StandIn) -> None:
    page = open_page(browser=launch(GRANT))
    if page.evaluate("navigator.mediaDevices.enumerateDevices().then(all => all.some(d => d.kind === 'audioinput'))"):
        pytest.skip("this machine has a real microphone")
    press_start(page)
    expect_problem(page, "No microphone found", "Type instead")
    assert server.calls == 0


def test_an_insecure_address_is_named(open_page: OpenPage, server: StandIn) -> None:
    page = press_start(open_page(url=f"http://voicebot.test:{server.port}/"))
    expect_problem(page, "The microphone needs a secure address", "Type instead")


def test_a_busy_server_is_quoted_and_can_be_called_again(open_page: OpenPage, server: StandIn, shot: Shot) -> None:
    server.refusal = (503, "Four calls are running. Try again in a minute.")
    page = press_start(open_page())
    expect_problem(page, "All lines are busy", "Try again")
    expect(page.locator("#problem-detail")).to_have_text("Four calls are running. Try again in a minute.")
    expect(page.get_by_role("button", name="Try again")).to_be_focused()
    shot(page, "busy")
    server.refusal = None
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("heading", name="Listening")).to_be_visible(timeout=DEADLINE_S * 1000)
    expect(page.locator("#problem")).to_be_hidden()


def test_a_refused_offer_is_quoted(open_page: OpenPage, server: StandIn) -> None:
    server.refusal = (400, "The offer has no audio section.")
    page = press_start(open_page())
    expect_problem(page, "The server refused the call", "Try again")
    expect(page.locator("#problem-detail")).to_have_text("The offer has no audio section.")


def test_a_loading_server_is_waited_for(open_page: OpenPage, server: StandIn) -> None:
    server.status = "loading"
    page = open_page()
    expect(page.get_by_role("button", name="Getting ready")).to_be_disabled()
    server.status = "ready"
    expect(page.get_by_role("button", name="Start talking")).to_be_enabled(timeout=DEADLINE_S * 1000)


def test_a_server_that_restarts_is_waited_for_after_trying_again(open_page: OpenPage, server: StandIn) -> None:
    page = open_page()
    expect(page.locator("#profile")).to_be_visible()
    server.status, server.refusal = "loading", (503, "The server is loading its models.")
    press_start(page)
    expect_problem(page, "The server is not ready", "Try again")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("button", name="Getting ready")).to_be_disabled()
    server.status, server.refusal = "ready", None
    expect(page.get_by_role("button", name="Start talking")).to_be_enabled(timeout=DEADLINE_S * 1000)


def test_a_server_that_failed_to_load_says_why(open_page: OpenPage, server: StandIn) -> None:
    server.status, server.failure = "failed", "The model models/talker.gguf is missing."
    page = open_page()
    expect_problem(page, "The server could not start", "Try again")
    expect(page.locator("#problem-detail")).to_have_text(server.failure)


def test_a_server_that_is_gone_before_the_call_is_named(open_page: OpenPage, server: StandIn) -> None:
    page = open_page()
    button = page.get_by_role("button", name="Start talking")
    expect(page.locator("#profile")).to_be_visible()
    server.stop()
    button.click()
    expect_problem(page, "The server cannot be reached", "Try again")


def test_a_lost_line_keeps_the_talk_and_offers_to_call_again(open_page: OpenPage, server: StandIn, shot: Shot) -> None:
    page = press_start(open_page())
    server.send(*TALK)
    expect(page.locator(".turn")).to_have_count(3)
    server.drop_line()
    expect_problem(page, "The connection was lost", "Call again")
    expect(page.locator(".turn")).to_have_count(3)
    shot(page, "lost")
    page.locator("#problem").get_by_role("button", name="Call again").click()
    expect(page.get_by_role("heading", name="Listening")).to_be_visible(timeout=DEADLINE_S * 1000)


def test_a_server_that_dies_in_the_call_is_named(open_page: OpenPage, server: StandIn) -> None:
    page = press_start(open_page())
    expect(page.get_by_role("heading", name="Listening")).to_be_visible(timeout=DEADLINE_S * 1000)
    server.stop()
    expect_problem(page, "The server cannot be reached", "Try again")
