"""A call on the page, in a real browser against the stand-in server: captions, waterfall, sound, ends."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.web.conftest import OpenPage
from tests.web.scripts import HEARING, STAGES_MS, TALK, reply, state, summary, transcript
from tests.web.standin import DEADLINE_S, StandIn

pytestmark = [pytest.mark.browser, pytest.mark.realtime]

Shot = Callable[[Page, str], None]


def start(page: Page) -> Page:
    page.get_by_role("button", name="Start talking").click()
    expect(page.get_by_role("heading", name="Listening")).to_be_visible(timeout=DEADLINE_S * 1000)
    return page


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    """A page whose call is live."""
    return start(open_page())


def test_partial_words_are_grey_and_final_words_take_their_place(page: Page, server: StandIn, shot: Shot) -> None:
    server.send(*HEARING)
    caller = page.locator(".caller")
    expect(caller.locator(".words")).to_have_text("what time")
    partial = caller.locator(".words").evaluate("node => getComputedStyle(node).color")
    expect(page.get_by_role("heading", name="Hearing you")).to_be_visible()
    shot(page, "hearing")
    server.send(transcript(1, "what time is it"))
    expect(caller.locator(".words")).to_have_text("what time is it")
    final = caller.locator(".words").evaluate("node => getComputedStyle(node).color")
    assert partial != final == page.evaluate("getComputedStyle(document.body).color")
    assert caller.count() == 1


def test_a_reply_is_solid_as_far_as_it_was_heard_and_pale_beyond(page: Page, server: StandIn) -> None:
    server.send(transcript(1, "hello"), reply(1, "Hello there. How are you?", "Hello there."))
    line = page.locator(".bot .reply")
    expect(line.locator(".heard")).to_have_text("Hello there.")
    expect(line.locator(".pending")).to_have_text("How are you?")
    server.send(reply(1, "Hello there. How are you?", "Hello there. How are you?", final=True))
    expect(line.locator(".heard")).to_have_text("Hello there. How are you?")
    expect(line.locator(".pending")).to_have_count(0)


def test_an_interrupted_reply_is_visibly_cut_where_it_stopped(page: Page, server: StandIn) -> None:
    server.send(*TALK)
    cut = page.locator(".turn").nth(1).locator(".reply")
    expect(cut.locator(".tag")).to_have_text("interrupted")
    assert "line-through" in cut.locator(".cut").evaluate("node => getComputedStyle(node).textDecorationLine")
    expect(cut.locator(".heard")).to_have_text(re.compile(r"It is\s*$"))


def test_a_reopened_turn_grows_in_place_and_drops_the_reply_that_nobody_heard(page: Page, server: StandIn) -> None:
    server.send(transcript(1, "set a timer"), reply(1, "For how long?", "", final=True, interrupted=True))
    server.send(transcript(1, "set a timer for ten minutes"), reply(1, "Done.", "Done.", final=True, number=2))
    expect(page.locator(".caller .words")).to_have_text("set a timer for ten minutes")
    expect(page.locator(".reply")).to_have_text("Done.")
    assert page.locator(".turn").count() == 1


def test_words_that_were_no_turn_are_withdrawn(page: Page, server: StandIn) -> None:
    server.send(transcript(1, "hello"), reply(1, "Hello.", "Hello.", final=True))
    server.send(transcript(2, "and", final=False))
    expect(page.locator(".turn")).to_have_count(2)
    server.send(transcript(2, ""))
    expect(page.locator(".turn")).to_have_count(1)


def test_waterfall_bars_are_to_scale_on_a_200_ms_grid(page: Page, server: StandIn, shot: Shot) -> None:
    server.send(*TALK)
    table = page.locator(".turn").nth(2).get_by_role("table")
    expect(table.get_by_role("row", name="Total")).to_contain_text("412")
    track = table.locator("tbody .track").first.bounding_box()
    assert track is not None
    pixels_per_ms = track["width"] / 600  # 412 ms lie on an axis of three grid steps
    bars = [bar.bounding_box() for bar in table.locator("tbody .bar").all()]
    for (name, (begin_ms, end_ms)), box in zip(STAGES_MS.items(), bars, strict=True):
        assert box is not None
        assert box["x"] - track["x"] == pytest.approx(begin_ms * pixels_per_ms, abs=1.5), name
        assert box["width"] == pytest.approx((end_ms - begin_ms) * pixels_per_ms, abs=1.5), name
    grid = table.evaluate("node => parseFloat(getComputedStyle(node).getPropertyValue('--grid'))")
    assert grid == pytest.approx(100 / 3, abs=0.01)
    expect(table.locator(".tick")).to_have_text(["0", "200", "400", "600"])
    expect(table.locator("tbody tr").nth(1)).to_contain_text("from 70 to 190 milliseconds")
    shot(page, "turns")


def test_the_latest_waterfall_is_open_and_earlier_ones_open_on_demand(page: Page, server: StandIn) -> None:
    server.send(*TALK)
    tables = page.get_by_role("table")
    expect(page.locator(".turn")).to_have_count(3)
    expect(tables).to_have_count(1)
    page.locator(".turn").first.locator(".latency summary").click()
    expect(tables).to_have_count(2)
    server.send(transcript(4, "thanks"), summary(4, "thanks", "You are welcome."))
    expect(page.locator(".turn")).to_have_count(4)
    expect(page.locator(".turn").first.get_by_role("table")).to_be_visible()
    expect(page.locator(".turn").nth(2).get_by_role("table")).to_be_hidden()


def test_a_turn_says_how_early_its_answer_was_ready_and_after_how_many_drafts(page: Page, server: StandIn) -> None:
    server.send(*TALK)
    latencies = page.locator(".turn .latency summary")
    expect(latencies.nth(0)).to_contain_text("to the first sound, ready 62 ms early")
    expect(latencies.nth(1)).to_contain_text("ready 93 ms early, 2 drafts")


def test_the_page_names_the_model_the_tools_and_the_median_response(page: Page, server: StandIn) -> None:
    server.send(*TALK)
    third = page.locator(".turn").nth(2)
    expect(third.locator(".badge")).to_have_text("llama talker.gguf")
    expect(third.locator(".chip")).to_have_text("timer seconds 600")
    expect(page.locator("#p50")).to_have_text("412 ms")
    expect(page.locator("#turn-count")).to_have_text("3")
    expect(page.locator("#profile")).to_have_text("embedded profile")


@pytest.mark.parametrize(
    ("name", "title"),
    [("hearing", "Hearing you"), ("thinking", "Thinking"), ("speaking", "Speaking"), ("paused", "Paused")],
)
def test_each_state_has_its_word_and_its_own_colour(page: Page, server: StandIn, name: str, title: str) -> None:
    page.emulate_media(reduced_motion="reduce")  # no fading between colours
    colour = "getComputedStyle(document.querySelector('#orb-canvas')).color"
    listening = page.evaluate(colour)
    server.send(state(name))
    expect(page.get_by_role("heading", name=title, exact=True)).to_be_visible()
    assert page.evaluate(colour) != listening


def test_both_sides_have_sound_and_their_meters_move(page: Page, server: StandIn) -> None:
    assert server.caller_spoke.wait(DEADLINE_S), "the fake microphone's tone never reached the server"
    for name in ("You", "Voicebot"):
        meter = page.get_by_role("meter", name=name, exact=True)
        expect(meter).to_have_attribute("aria-valuenow", re.compile(r"^([3-9]\d|100)$"), timeout=DEADLINE_S * 1000)


def test_mute_disables_the_track_so_that_the_server_gets_silence(page: Page, server: StandIn) -> None:
    assert server.caller_spoke.wait(DEADLINE_S)
    page.get_by_role("button", name="Mute").click()
    enabled = "connections[0].getSenders()[0].track.enabled"
    expect(page.get_by_role("heading", name="Muted")).to_be_visible()
    assert page.evaluate(enabled) is False
    assert server.caller_silent.wait(DEADLINE_S), "sound still came through while muted"
    server.caller_spoke.clear()
    page.get_by_role("button", name="Unmute").click()
    assert page.evaluate(enabled) is True
    assert server.caller_spoke.wait(DEADLINE_S)


def test_hanging_up_tells_the_server_frees_the_microphone_and_keeps_the_talk(
    page: Page, server: StandIn, shot: Shot
) -> None:
    server.send(*TALK)
    expect(page.locator(".turn")).to_have_count(3)
    page.evaluate("window.microphone = connections[0].getSenders()[0].track")
    page.get_by_role("button", name="Hang up").click()
    assert server.next_message() == {"type": "hang_up"}
    assert server.closed.wait(DEADLINE_S)
    expect(page.get_by_role("heading", name="Call ended")).to_be_visible()
    assert page.evaluate("[connections[0].connectionState, microphone.readyState]") == ["closed", "ended"]
    expect(page.locator(".turn")).to_have_count(3)
    shot(page, "ended")
    page.get_by_role("button", name="Call again").click()
    expect(page.get_by_role("heading", name="Listening")).to_be_visible()
    expect(page.locator(".turn")).to_have_count(0)
    assert server.calls == 2


def test_leaving_the_page_hangs_up(page: Page, server: StandIn) -> None:
    page.goto("about:blank")
    assert server.next_message() == {"type": "hang_up"}
    assert server.closed.wait(DEADLINE_S)


def test_the_server_can_end_the_call_and_set_the_volume(page: Page, server: StandIn) -> None:
    server.send({"type": "volume", "percent": 30}, state("speaking"))
    expect(page.get_by_role("heading", name="Speaking")).to_be_visible()
    assert page.evaluate("document.querySelector('audio').volume") == pytest.approx(0.3)
    server.send({"type": "error", "message": "The voice is missing."}, state("ended"))
    expect(page.get_by_role("heading", name="Call ended")).to_be_visible()
    expect(page.locator("#notice")).to_have_text("The voice is missing.")


def test_an_unknown_or_broken_event_is_passed_over(page: Page, server: StandIn) -> None:
    server.send({"type": "constructor"}, {"type": "from the future", "turn": 1}, transcript(1, "still here"))
    expect(page.locator(".caller .words")).to_have_text("still here")


def test_a_typed_message_goes_out_on_the_data_channel(page: Page, server: StandIn) -> None:
    page.get_by_label("Type instead of speaking").fill("what is seven times eight")
    page.keyboard.press("Enter")
    assert server.next_message() == {"type": "text", "text": "what is seven times eight"}
    expect(page.get_by_label("Type instead of speaking")).to_have_value("")


def test_a_suggestion_starts_a_typed_call_and_the_microphone_can_join_later(
    open_page: OpenPage, server: StandIn
) -> None:
    page = open_page()
    page.get_by_role("button", name="what time is it").click()
    assert server.next_message() == {"type": "text", "text": "what time is it"}
    expect(page.get_by_role("heading", name="Waiting")).to_be_visible()
    assert not server.caller_spoke.is_set()
    page.get_by_role("button", name="Use microphone").click()
    expect(page.get_by_role("heading", name="Listening")).to_be_visible()
    assert server.caller_spoke.wait(DEADLINE_S)


def test_the_whole_call_works_by_keyboard(open_page: OpenPage, server: StandIn) -> None:
    page = open_page()
    button = page.get_by_role("button", name="Start talking")
    expect(button).to_be_enabled()
    for _ in range(4):  # skip link, theme, then the button
        page.keyboard.press("Tab")
        if button.evaluate("node => node === document.activeElement"):
            break
    expect(button).to_be_focused()
    assert button.evaluate("node => getComputedStyle(node).outlineStyle") == "solid"
    page.keyboard.press("Space")
    expect(page.get_by_role("heading", name="Listening")).to_be_visible(timeout=DEADLINE_S * 1000)
    expect(page.get_by_role("button", name="Hang up")).to_be_focused()
    page.keyboard.press("m")
    expect(page.get_by_role("heading", name="Muted")).to_be_visible()
    page.get_by_label("Type instead of speaking").focus()
    page.keyboard.type("mum")
    expect(page.get_by_label("Type instead of speaking")).to_have_value("mum")
    expect(page.get_by_role("heading", name="Muted")).to_be_visible()
    page.keyboard.press("Escape")  # leaves the field
    page.keyboard.press("Escape")  # hangs up
    assert server.next_message() == {"type": "hang_up"}
    expect(button).to_be_focused()


def test_final_words_only_are_read_out(page: Page, server: StandIn) -> None:
    log = page.get_by_role("log", name="Captions")
    server.send(*HEARING, reply(1, "It is ten.", "It is"), *TALK)
    expect(log.locator("p")).to_have_text(
        [
            "You: what time is it",
            "Voicebot: It is ten past three.",
            "You: tell me about the sea",
            "Voicebot: The sea covers most of the earth. It is (interrupted)",
            "You: set a timer for ten minutes",
        ]
    )
    expect(log).to_have_attribute("aria-live", "polite")


def test_the_microphone_is_asked_for_with_echo_cancellation_noise_suppression_and_gain(page: Page) -> None:
    settings = page.evaluate("connections[0].getSenders()[0].track.getSettings()")
    assert [settings[name] for name in ("echoCancellation", "noiseSuppression", "autoGainControl")] == [True] * 3


def test_another_microphone_and_speaker_can_be_chosen_in_the_call(
    talking_browser: Browser, page: Page, server: StandIn
) -> None:
    before = page.evaluate("connections[0].getSenders()[0].track.id")
    microphone = page.get_by_label("Microphone", exact=True)
    assert microphone.locator("option").count() > 1
    microphone.select_option(index=1)
    chosen = microphone.input_value()
    page.wait_for_function("before => connections[0].getSenders()[0].track.id !== before", arg=before)
    assert page.evaluate("connections[0].getSenders()[0].track.getSettings().deviceId") == chosen
    speaker = page.get_by_label("Speaker")
    speaker.select_option(index=speaker.locator("option").count() - 1)
    page.wait_for_function("id => document.querySelector('audio').sinkId === id", arg=speaker.input_value())
