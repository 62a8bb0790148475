"""What the page shows of the brain: route, who answered and why, privacy, cost, and the expert's questions."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.web.conftest import OpenPage
from tests.web.scripts import (
    ACKNOWLEDGED,
    ASKED,
    DELIVERED,
    LATE,
    LATE_WORDS,
    TIMED,
    WENT_ON,
    errand,
    reply,
    routed,
    state,
    summary,
    transcript,
)
from tests.web.standin import DEADLINE_S, StandIn
from tests.web.test_looks import PHONE, THEMES, UNNAMED_OR_WRONG, low_contrast

pytestmark = [pytest.mark.browser, pytest.mark.realtime]

Shot = Callable[[Page, str], None]
ENDS = ("delivered", "cancelled", "superseded", "stale", "ended")
EVIL = '<img src=x onerror="document.title=1">'


def start(page: Page) -> Page:
    page.get_by_role("button", name="Start talking").click()
    expect(page.get_by_role("heading", name="Listening")).to_be_visible(timeout=DEADLINE_S * 1000)
    return page


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    """A page whose call is live."""
    return start(open_page())


def route(page: Page, turn: int) -> Locator:
    """The line of chips and its reasons of the turn-th turn, from 1."""
    return page.locator(".turn").nth(turn - 1).locator(".route")


def reasons(page: Page, turn: int) -> dict[str, str]:
    """Open a turn's reasons and read them."""
    route(page, turn).locator("summary").click()
    rows = route(page, turn).locator(".reasons > div")
    expect(rows.first).to_be_visible()
    return {row.locator("dt").inner_text(): row.locator("dd").inner_text() for row in rows.all()}


def chips(page: Page) -> Locator:
    return page.get_by_role("list", name="Questions with the expert").get_by_role("listitem")


def test_a_turn_shows_its_task_who_answered_its_label_and_its_cost_in_one_line(page: Page, server: StandIn) -> None:
    server.send(*TIMED)
    line = route(page, 1).locator("summary")
    expect(line.locator(".chip")).to_have_text(
        ["Task: set timer 97 %. ", "Answered by: talker. ", "Privacy: Redact. ", "Cost: $0. "]
    )
    assert len({round(chip.bounding_box()["y"]) for chip in line.locator(".chip").all()}) == 1  # type: ignore[index]
    expect(page.locator(".badge")).to_be_hidden()
    expect(page.locator(".facts .chip")).to_have_text("timer seconds 600")


def test_the_line_opens_by_keyboard_to_the_reason_and_all_numbers(page: Page, server: StandIn) -> None:
    server.send(*TIMED)
    line = route(page, 1).locator("summary")
    expect(line).to_be_visible()
    expect(route(page, 1).locator(".reasons")).to_be_hidden()
    line.focus()
    page.keyboard.press("Enter")
    expect(route(page, 1).locator(".reasons")).to_be_visible()
    page.keyboard.press("Enter")
    assert reasons(page, 1) == {
        "Why": "set_timer: talker owns it",
        "Route": "set timer, 97 % sure, hard 2 %, nobody’s task 1 %",
        "Answered by": "talker",
        "Model": "llama talker.gguf",
        "Privacy": "May leave this machine with personal details replaced",
        "Cost": "$0",
        "Drafts": "190 of 325 ms of the work was done before the turn was over",
    }


def test_without_a_router_the_member_and_the_label_are_shown_and_nothing_is_made_up(
    page: Page, server: StandIn
) -> None:
    plain = {"call": "call-1", "turn": 1, "label": "open", "reason": "no router is set, so talker"}
    words = summary(1, "hello", "Hello.") | {"route": plain | {"kind": "member", "members": ["talker"]}}
    server.send(transcript(1, "hello"), reply(1, "Hello.", "Hello.", final=True), words)
    expect(route(page, 1).locator(".chip")).to_have_text(["Asked: talker. ", "Privacy: Open. "])
    told = reasons(page, 1)
    assert told["Why"] == "no router is set, so talker"
    assert not {"Route", "Cost", "Answered by", "Escalated"} & set(told)


def test_an_unsure_member_and_an_unknown_price_are_said_in_the_reasons(page: Page, server: StandIn) -> None:
    why = "unsure: least log-probability -3.10 is below -2.00"
    unsure = routed(1, task="rewrite", escalated=why, cost_usd=None, members=["rewrite", "talker"])
    server.send(transcript(1, "say it shorter"), summary(1, "say it shorter", "Fine.") | {"route": unsure})
    expect(route(page, 1).locator(".cost")).to_have_count(0)
    told = reasons(page, 1)
    assert (told["Escalated"], told["Cost"], told["Asked"]) == (why, "unknown", "rewrite, then talker")


@pytest.mark.parametrize(
    ("label", "words", "meaning"),
    [
        ("local_only", "Private", "Never leaves this machine"),
        ("redact", "Redact", "May leave this machine with personal details replaced"),
        ("open", "Open", "May leave this machine as it was said"),
    ],
)
def test_each_privacy_label_has_its_own_icon_and_meaning(
    page: Page, server: StandIn, label: str, words: str, meaning: str
) -> None:
    server.send(transcript(1, "hello"), summary(1, "hello", "Hi.") | {"route": routed(1, label=label)})
    chip = route(page, 1).locator(".label")
    expect(chip).to_contain_text(f"Privacy: {words}")
    icon = {"local_only": "#i-lock", "redact": "#i-shield", "open": "#i-unlock"}[label]
    expect(chip.locator("use")).to_have_attribute("href", icon)
    assert reasons(page, 1)["Privacy"] == meaning


def test_a_label_or_errand_state_of_a_newer_server_is_shown_by_its_name(page: Page, server: StandIn) -> None:
    server.send(transcript(1, "hello"), summary(1, "hello", "Hi.") | {"route": routed(1, label="constructor")})
    expect(route(page, 1).locator(".label")).to_contain_text("Privacy: constructor")
    server.send(errand(2, 1, "toString"))
    expect(route(page, 1).locator(".errand")).to_contain_text("Expert: toString")
    expect(chips(page)).to_have_count(0)


def test_a_pending_question_ticks_beside_the_state_and_moves_nothing(page: Page, server: StandIn, shot: Shot) -> None:
    server.send(*TIMED)
    expect(route(page, 1)).to_be_visible()
    mute = page.get_by_role("button", name="Mute")
    before = mute.bounding_box()
    server.send(*ASKED)
    expect(chips(page)).to_have_count(1)
    expect(chips(page)).to_contain_text("Asking the expert…")
    expect(chips(page)).to_contain_text("how do tides work")
    expect(page.locator("#now #errands")).to_be_visible()
    expect(chips(page).locator(".seconds")).to_have_text(re.compile(r"^[1-9]\d* s$"), timeout=DEADLINE_S * 1000)
    assert mute.bounding_box() == before
    expect(route(page, 2).locator(".errand")).to_have_text("Expert: Asking the expert. ")
    shot(page, "pending")


def test_a_question_is_told_to_a_screen_reader_once_and_without_its_seconds(page: Page, server: StandIn) -> None:
    live = page.locator("#errands-live")
    server.send(*ASKED)
    expect(live).to_have_text("Asking the expert: how do tides work.")
    expect(live).to_have_attribute("aria-live", "polite")
    expect(chips(page).locator(".seconds")).to_have_attribute("aria-hidden", "true")
    expect(chips(page).get_by_role("button")).to_have_accessible_name("Cancel: how do tides work")
    server.send(errand(9, 2, "ready"))
    expect(live).to_have_text("The expert’s answer is ready: how do tides work.")
    expect(chips(page).locator(".seconds")).to_be_hidden()


def test_cancelling_tells_the_server_which_question_and_waits_for_its_word(page: Page, server: StandIn) -> None:
    server.send(*ASKED, errand(11, 2, "pending", "why is the sky blue"))
    expect(chips(page)).to_have_count(2)
    cancel = page.get_by_role("button", name="Cancel: why is the sky blue")
    cancel.focus()
    page.keyboard.press("Enter")
    assert server.next_message() == {"type": "cancel_errand", "errand": 11}
    expect(cancel).to_be_disabled()
    expect(chips(page)).to_have_count(2)
    server.send(errand(11, 2, "cancelled", "why is the sky blue"))
    expect(chips(page)).to_have_count(1)
    expect(page.get_by_role("button", name="Cancel: how do tides work")).to_be_enabled()
    expect(page.locator("#errands-live")).to_have_text("The question to the expert was cancelled: why is the sky blue.")


def test_the_focus_of_a_chip_that_goes_is_not_lost(page: Page, server: StandIn) -> None:
    server.send(*ASKED)
    chips(page).get_by_role("button").focus()
    server.send(errand(9, 2, "stale"))
    expect(page.locator("#conversation")).to_be_focused()


@pytest.mark.parametrize("end", ENDS)
def test_the_chip_goes_at_every_end_and_the_turn_says_which(page: Page, server: StandIn, end: str) -> None:
    server.send(*ASKED)
    expect(chips(page)).to_have_count(1)
    server.send(errand(9, 2, end))
    expect(chips(page)).to_have_count(0)
    expect(page.locator("#hint")).to_be_visible()
    words = {
        "delivered": "Answered late",
        "cancelled": "Cancelled",
        "superseded": "Replaced",
        "stale": "Too late, dropped",
        "ended": "Call ended first",
    }
    expect(page.locator(".route .errand")).to_have_text(f"Expert: {words[end]}. ")


def test_the_chip_goes_with_the_line(page: Page, server: StandIn) -> None:
    server.send(*ASKED)
    expect(chips(page)).to_have_count(1)
    server.drop_line()
    expect(page.locator("#problem")).to_be_visible(timeout=DEADLINE_S * 1000)
    expect(chips(page)).to_have_count(0)
    page.locator("#problem").get_by_role("button", name="Call again").click()
    expect(page.get_by_role("heading", name="Listening")).to_be_visible(timeout=DEADLINE_S * 1000)
    expect(page.locator("#errands")).to_be_hidden()


def test_a_late_answer_says_what_it_answers_and_turns_beside_it_do_not(page: Page, server: StandIn, shot: Shot) -> None:
    server.send(*TIMED, *ASKED, *WENT_ON, *LATE)
    late = page.locator(".turn").nth(3)
    expect(late.locator(".late")).to_have_text("Late answer to: how do tides work")
    expect(late.locator(".reply")).to_have_text(LATE_WORDS)
    expect(page.locator(".late")).to_have_count(1)
    expect(late.locator(".caller")).to_be_hidden()
    expect(chips(page)).to_have_count(0)
    expect(route(page, 2).locator(".errand")).to_contain_text("Answering late")
    server.send(*DELIVERED, transcript(14, "thanks"), reply(14, "You are welcome.", "", number=15))
    expect(page.locator(".turn")).to_have_count(5)
    expect(page.locator(".late")).to_have_count(1)
    expect(page.locator("#turn-count")).to_have_text("4")
    log = page.get_by_role("log", name="Captions").locator("p")
    expect(log.filter(has_text="late answer")).to_have_text(
        f"Voicebot, late answer to “how do tides work”: {LATE_WORDS}"
    )
    shot(page, "late")


def test_the_callers_own_turn_is_never_taken_for_the_late_answer(page: Page, server: StandIn) -> None:
    server.send(*ASKED, errand(9, 2, "ready"), errand(9, 2, "speaking"))
    server.send(transcript(11, "what time is it", final=False), reply(11, "It is ten.", "", number=14))
    expect(page.locator(".turn")).to_have_count(2)
    expect(page.locator(".late")).to_have_count(0)


def test_an_answer_cut_before_a_word_waits_again_and_is_marked_when_it_comes(page: Page, server: StandIn) -> None:
    cut = reply(12, LATE_WORDS, "", final=True, interrupted=True, number=13)
    server.send(*ASKED, errand(9, 2, "speaking"), cut, errand(9, 2, "ready"))
    expect(chips(page)).to_contain_text("The late answer is ready")
    server.send(errand(9, 2, "speaking"), reply(16, LATE_WORDS, "About", number=17))
    expect(chips(page)).to_have_count(0)
    expect(page.locator(".turn").nth(2).locator(".late")).to_have_text("Late answer to: how do tides work")


def test_the_cost_of_the_call_adds_up_and_admits_what_is_not_known(page: Page, server: StandIn) -> None:
    expect(page.locator("#cost-row")).to_be_hidden()
    server.send(*TIMED)
    expect(page.locator("#cost")).to_have_text("$0")
    server.send(*ASKED, *WENT_ON)
    expect(page.locator("#cost")).to_have_text("≥ $0")
    server.send(*LATE, *DELIVERED)
    expect(page.locator("#cost")).to_have_text("$0.0012")
    expect(route(page, 2).locator(".cost")).to_have_text("Cost: $0.0012. ")
    dear = summary(20, "and", "So.") | {"route": routed(20, cost_usd=1.5)}
    server.send(transcript(20, "and"), dear)
    expect(page.locator("#cost")).to_have_text("$1.50")
    server.send(dear | {"route": routed(20, cost_usd=0.00001)}, errand(9, 2, "delivered", cost_usd=0))
    expect(page.locator("#cost")).to_have_text("< $0.0001")


def test_what_the_server_sends_is_text_and_never_markup(page: Page, server: StandIn) -> None:
    fields = dict.fromkeys(("task", "label", "reason", "escalated", "member"), EVIL)
    server.send(transcript(1, "hello"), errand(5, 1, "pending", EVIL), errand(6, 1, EVIL, EVIL))
    server.send(summary(1, "hello", ACKNOWLEDGED) | {"route": routed(1, **fields) | {"members": [EVIL]}})
    server.send(errand(5, 1, "ready", EVIL), errand(5, 1, "speaking", EVIL), reply(7, EVIL, EVIL, number=8))
    expect(page.locator(".late q")).to_have_text(EVIL)
    route(page, 1).locator("summary").click()
    expect(route(page, 1).locator(".reasons")).to_contain_text(EVIL)
    assert page.locator("main img").count() == 0
    assert page.title() == "voicebot"


def test_the_models_are_named_with_the_expert_and_the_end_of_turn(page: Page, server: StandIn) -> None:
    models = {"turn": "text", "llm": "llama", "frontier": "openai gpt"}
    server.send({"type": "call", "call_id": "call-1", "profile": "embedded", "version": "0.1.0", "models": models})
    expect(page.locator("#models dt")).to_have_text(["End of turn", "Thinking", "Expert"])


@pytest.mark.parametrize("theme", THEMES)
def test_chips_and_reasons_are_readable_and_named(open_page: OpenPage, server: StandIn, theme: str, shot: Shot) -> None:
    page = start(open_page(color_scheme=theme, reduced_motion="reduce"))
    server.send(*TIMED, *ASKED, *WENT_ON, errand(9, 2, "ready"), errand(11, 3, "pending", "why is the sky blue"))
    expect(chips(page)).to_have_count(2)
    route(page, 3).locator("summary").click()
    shot(page, f"brain-{theme}")
    assert low_contrast(page) == []
    server.send(*LATE, state("speaking"))
    expect(page.locator(".late")).to_be_visible()
    assert low_contrast(page) == []
    assert page.evaluate(UNNAMED_OR_WRONG) == []
    shot(page, f"brain-late-{theme}")


def test_on_a_phone_chips_stay_within_the_screen(open_page: OpenPage, server: StandIn, shot: Shot) -> None:
    page = start(open_page(viewport=PHONE, device_scale_factor=2, has_touch=True, is_mobile=True))
    server.send(*TIMED)
    expect(route(page, 1)).to_be_visible()
    buttons = [page.get_by_role("button", name=name) for name in ("Mute", "Hang up", "Send")]
    before = [button.bounding_box() for button in buttons]
    long = "why " * 40
    server.send(*ASKED[1:], errand(9, 2, "pending", long), *WENT_ON)
    expect(page.locator(".turn")).to_have_count(3)
    expect(chips(page)).to_have_count(1)
    route(page, 3).locator("summary").click()
    shot(page, "brain-phone")
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    assert page.locator("#conversation").evaluate("node => node.scrollWidth - node.clientWidth") == 0
    assert [button.bounding_box() for button in buttons] == before
    cancel = chips(page).get_by_role("button").bounding_box()
    assert cancel is not None and cancel["x"] + cancel["width"] <= PHONE["width"] and cancel["height"] >= 24
    server.send(errand(9, 2, "ready", long), errand(9, 2, "speaking", long), *LATE[2:])
    expect(page.locator(".late")).to_be_visible()
    assert page.locator("#conversation").evaluate("node => node.scrollWidth - node.clientWidth") == 0
    shot(page, "brain-phone-late")
