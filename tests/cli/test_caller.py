from __future__ import annotations

import asyncio

import numpy as np
import pytest

from voicebot.cli.call import _report
from voicebot.cli.caller import CallFailed, Mouth, dial, http_root
from voicebot.errors import ConfigError


def test_a_mouth_cuts_what_is_said_into_frames_and_is_silent_between() -> None:
    async def talk() -> None:
        mouth = Mouth(16000)
        first, last = mouth.push(np.full(400, 9, np.int16), mark=400)
        assert [int(np.sum(mouth.pull(now))) for now in (1.0, 1.02, 1.04)] == [320 * 9, 80 * 9, 0]
        assert (first.result(), last.result()) == (1.0, 1.02)
        assert mouth.silent

    asyncio.run(talk())


def test_the_mark_is_sent_with_the_frame_that_holds_its_sample() -> None:
    async def talk() -> None:
        mouth = Mouth(8000)
        _, last = mouth.push(np.full(1280, 9, np.int16), mark=640)
        mouth.pull(1.0)
        assert not last.done()
        mouth.pull(1.02)
        assert last.result() == 1.02

    asyncio.run(talk())


def test_two_utterances_follow_each_other_without_a_gap() -> None:
    async def talk() -> None:
        mouth = Mouth(16000)
        mouth.push(np.full(160, 1, np.int16), mark=160)
        second, _ = mouth.push(np.full(160, 2, np.int16), mark=160)
        assert list(mouth.pull(5.0)) == [1] * 160 + [2] * 160
        assert second.result() == 5.0

    asyncio.run(talk())


@pytest.mark.parametrize(
    ("url", "root"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("ws://bot:9000/telephony/twilio", "http://bot:9000"),
        ("wss://bot.example/telephony/twilio", "https://bot.example"),
    ],
)
def test_the_http_address_belongs_to_the_same_host_as_the_call(url: str, root: str) -> None:
    assert http_root(url) == root


@pytest.mark.parametrize("url", ["", "localhost:8080", "ftp://host", "http://"])
def test_a_url_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="is no call URL"):
        http_root(url)


def turn(number: int, heard: str, reply: str) -> dict[str, object]:
    return {"turn": number, "heard": heard, "reply": reply, "waterfall": {"v2v_ms": number}}


def test_a_report_takes_the_turns_that_are_new() -> None:
    call = {"turns": [turn(1, "hello", "Hi."), turn(2, "set a timer for", "Go on."), turn(3, "ten minutes", "Done.")]}
    report = _report(call, {1}, 321.0)
    assert (report.heard, report.reply, report.v2v_ms) == ("set a timer for ten minutes", "Go on. Done.", 321.0)
    assert report.waterfall == {"v2v_ms": 3}


def test_a_report_of_a_turn_that_grew_takes_the_last_one() -> None:
    assert _report({"turns": [turn(1, "hello there", "Hi.")]}, {1}, 1.0).heard == "hello there"
    with pytest.raises(CallFailed, match="no turn for it"):
        _report({"turns": []}, set(), 1.0)


@pytest.mark.realtime
@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "ws://127.0.0.1:9/telephony/twilio"])
def test_a_server_that_is_not_there_is_a_failed_call(url: str) -> None:
    async def call() -> None:
        async with dial(url, timeout_s=5.0):
            pytest.fail("nothing listens there")

    with pytest.raises(CallFailed, match="cannot"):
        asyncio.run(call())
