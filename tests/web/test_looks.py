"""The page on a phone, in the dark, for a screen reader, and without scripts."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.web.conftest import OpenPage
from tests.web.scripts import TALK, state, transcript
from tests.web.standin import DEADLINE_S, StandIn

pytestmark = [pytest.mark.browser, pytest.mark.realtime]

Shot = Callable[[Page, str], None]
THEMES = ("light", "dark")
PHONE = {"width": 360, "height": 740}
AA_TEXT = 4.5  # Source: WCAG 2.2, success criterion 1.4.3

# The contrast of every visible text with what is painted behind it; the orb's label lies on a canvas and is
# measured against the canvas's own colour.
CONTRASTS = """
() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const behind = (node) => {
    if (node.closest("#start")) return rgba(getComputedStyle(document.querySelector("#orb-canvas")).color);
    for (let each = node; each; each = each.parentElement) {
      const colour = rgba(getComputedStyle(each).backgroundColor);
      if (colour[3] > 250) return colour;
    }
    return [255, 255, 255, 255];
  };
  const luminance = (colour) => {
    const linear = (s) => (s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = colour.slice(0, 3).map((part) => linear(part / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    const hidden = !node.checkVisibility() || node.closest(".visually-hidden, :disabled, .skip");
    if (!walker.currentNode.data.trim() || hidden) continue;
    const [one, two] = [luminance(rgba(getComputedStyle(node).color)), luminance(behind(node))].sort((a, b) => b - a);
    found.push({ text: walker.currentNode.data.trim(), ratio: (one + 0.05) / (two + 0.05) });
  }
  return found;
}
"""

UNNAMED_OR_WRONG = """
() => {
  const wrong = [];
  const say = (node, why) => wrong.push(`${why}: ${node.outerHTML.slice(0, 90)}`);
  const ids = [...document.querySelectorAll("[id]")].map((node) => node.id);
  for (const id of new Set(ids)) if (ids.filter((each) => each === id).length > 1) wrong.push(`id twice: ${id}`);
  for (const node of document.querySelectorAll("button, a"))
    if (node.checkVisibility() && !(node.getAttribute("aria-label") || node.innerText).trim()) say(node, "no name");
  for (const node of document.querySelectorAll("input, select")) if (!node.labels.length) say(node, "no label");
  for (const node of document.querySelectorAll("img")) if (!node.hasAttribute("alt")) say(node, "no alt");
  for (const node of document.querySelectorAll("[tabindex]")) if (node.tabIndex > 0) say(node, "tab order");
  for (const node of document.querySelectorAll("[aria-labelledby]"))
    if (!document.getElementById(node.getAttribute("aria-labelledby"))) say(node, "label is missing");
  for (const node of document.querySelectorAll("button"))
    if (node.checkVisibility() && node.getBoundingClientRect().height < 24) say(node, "too small to touch");
  for (const tag of ["main", "header", "h1"])
    if (document.querySelectorAll(tag).length !== 1) wrong.push(`not exactly one <${tag}>`);
  if (document.documentElement.lang !== "en") wrong.push("no language");
  return wrong;
}
"""


def talk(page: Page, server: StandIn) -> None:
    """A call with three turns, one being heard, and one model's waterfall open."""
    page.get_by_role("button", name="Start talking").click()
    server.send(*TALK, transcript(4, "and", final=False), state("hearing"))
    expect(page.locator(".turn")).to_have_count(4, timeout=DEADLINE_S * 1000)
    page.locator(".turn").nth(2).locator(".latency summary").click()


def low_contrast(page: Page) -> list[dict[str, Any]]:
    found = page.evaluate(CONTRASTS)
    assert len(found) > 5, found
    return [text for text in found if text["ratio"] < AA_TEXT]


@pytest.mark.parametrize("theme", THEMES)
def test_every_text_has_enough_contrast(open_page: OpenPage, server: StandIn, theme: str, shot: Shot) -> None:
    page = open_page(color_scheme=theme, reduced_motion="reduce")
    expect(page.locator("#profile")).to_be_visible()
    shot(page, f"idle-{theme}")
    assert low_contrast(page) == []
    talk(page, server)
    assert low_contrast(page) == []
    shot(page, f"talk-{theme}")
    server.drop_line()
    expect(page.locator("#problem")).to_be_visible(timeout=DEADLINE_S * 1000)
    assert low_contrast(page) == []


def test_a_phone_is_never_scrolled_sideways(open_page: OpenPage, server: StandIn, shot: Shot) -> None:
    page = open_page(viewport=PHONE, device_scale_factor=2, has_touch=True, is_mobile=True)
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    expect(page.locator("#profile")).to_be_visible()
    shot(page, "phone-idle")
    assert page.evaluate(overflow) == 0
    talk(page, server)
    long = transcript(5, "supercalifragilisticexpialidocious" * 4)
    server.send(long)
    expect(page.locator(".turn")).to_have_count(5)
    assert page.evaluate(overflow) == 0
    assert page.locator("#conversation").evaluate("node => node.scrollWidth - node.clientWidth") == 0
    shot(page, "phone-talk")
    for name in ("Mute", "Hang up", "Send"):
        box = page.get_by_role("button", name=name).bounding_box()
        assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= PHONE["width"]
        assert box["y"] + box["height"] <= PHONE["height"], f"{name} lies below the fold"


def test_the_theme_follows_the_system_until_one_is_chosen_which_is_remembered(open_page: OpenPage) -> None:
    page = open_page(color_scheme="dark")
    paper = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(paper)
    page.get_by_role("button", name="Switch to the light theme").click()
    light = page.evaluate(paper)
    assert light != dark
    page.reload()
    assert page.evaluate(paper) == light
    page.get_by_role("button", name="Switch to the dark theme").click()
    assert page.evaluate(paper) == dark


def test_names_labels_and_landmarks_are_in_order(open_page: OpenPage, server: StandIn) -> None:
    page = open_page()
    assert page.evaluate(UNNAMED_OR_WRONG) == []
    talk(page, server)
    assert page.evaluate(UNNAMED_OR_WRONG) == []


def test_reduced_motion_stops_the_orb(open_page: OpenPage) -> None:
    page = open_page(reduced_motion="reduce")
    frame = """() => new Promise((done) => requestAnimationFrame(() => setTimeout(
      () => done(document.querySelector("#orb-canvas").toDataURL()), 100)))"""
    assert page.evaluate(frame) == page.evaluate(frame)
    page.emulate_media(reduced_motion="no-preference")
    assert page.evaluate(frame) != page.evaluate(frame)


def test_without_scripts_the_page_says_what_it_needs(open_page: OpenPage) -> None:
    page = open_page(java_script_enabled=False)
    expect(page.locator(".noscript")).to_be_visible()
    expect(page.locator(".noscript")).to_contain_text("needs JavaScript")
    expect(page.get_by_role("button")).to_have_count(0)


def test_the_page_asks_nobody_but_its_own_server(open_page: OpenPage, server: StandIn) -> None:
    page = open_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    talk(page, server)
    assert len(asked) > 10
    assert [url for url in asked if not url.startswith(server.url)] == [], json.dumps(asked)
