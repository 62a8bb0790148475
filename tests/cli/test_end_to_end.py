"""Calls to a real server with its real VAD and wires; hearing and answers are scripted, so that words are exact."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.server import running_server
from tests.cli.test_main import voicebot
from tests.leaks import no_leaked_tasks
from voicebot.cli.caller import Caller, dial, fetch_call
from voicebot.cli.caller_carrier import CarrierCaller
from voicebot.cli.wav import read_speech

pytestmark = pytest.mark.realtime
PAST_REOPENING = 8000 * 2
"""Samples of an answer (2 s) after which words of the caller are a new turn and not the rest of the last."""
LONG = "+".join(["this+is+a+long+answer+that+goes+on,"] * 12)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Answers "That was a test." to whatever is said."""
    engines = ("engines.vad=silero://", "engines.tts=espeak://en-us", "engines.stt=scripted://?text=what+time+is+it")
    reply = "engines.llm=scripted://?reply=That+was+a+test."
    with running_server(tmp_path_factory.mktemp("server"), *engines, reply) as url:
        yield url


@pytest.fixture(scope="module")
def talkative_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Answers at length."""
    engines = ("engines.vad=silero://", "engines.tts=espeak://en-us", "engines.stt=scripted://?text=what+time+is+it")
    with running_server(
        tmp_path_factory.mktemp("server"), *engines, f"engines.llm=scripted://?reply={LONG}&reply=All+right."
    ) as url:
        yield url


def over_webrtc(root: str) -> str:
    return root


def over_twilio(root: str) -> str:
    return f"{root.replace('http', 'ws', 1)}/telephony/twilio"


WIRES = pytest.mark.parametrize(
    ("wire", "name"), [(over_webrtc, "webrtc"), (over_twilio, "twilio")], ids=["webrtc", "twilio"]
)


@WIRES
def test_two_wavs_are_two_turns_with_words_latency_audio_and_a_trace_that_replays(
    server: str, wire: Callable[[str], str], name: str, speech: Path, tmp_path: Path
) -> None:
    saved = tmp_path / "reply.wav"
    wavs = (speech / "what_time_is_it.wav", speech / "hello.wav")
    result = voicebot("call", *wavs, "--url", wire(server), "--json", "--save", saved)
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert set(document) == {"turns", "transport", "trace"}
    assert document["transport"] == name
    assert [(turn["heard"], turn["reply"]) for turn in document["turns"]] == [
        ("what time is it", "That was a test.")
    ] * 2
    assert all(set(turn) == {"heard", "reply", "v2v_ms", "waterfall"} for turn in document["turns"])
    assert all(0 < turn["v2v_ms"] < 10_000 and turn["waterfall"]["stages"] for turn in document["turns"])
    assert len(read_speech(saved).pcm) > 16000
    assert voicebot("replay", document["trace"]).exit_code == 0


@WIRES
def test_a_caller_who_vanishes_in_the_middle_of_a_word_leaves_a_server_that_takes_the_next_call(
    server: str, wire: Callable[[str], str], name: str, speech: Path
) -> None:
    said = read_speech(speech / "set_a_timer.wav").pcm

    async def vanish() -> None:
        async with no_leaked_tasks(), dial(wire(server)) as caller:
            await caller.say(said[: len(said) // 2])
            await caller.drop()

    asyncio.run(vanish())
    assert voicebot("call", speech / "hello.wav", "--url", wire(server), "--json").exit_code == 0


def test_a_caller_can_speak_into_an_answer_and_hear_it_cleared(talkative_server: str, speech: Path) -> None:
    first, second = (read_speech(speech / name).pcm for name in ("what_time_is_it.wav", "set_a_timer.wav"))

    async def interrupt() -> None:
        async with dial(over_twilio(talkative_server)) as caller:
            assert isinstance(caller, CarrierCaller)
            said = await caller.say(first)
            await caller.until(lambda: len(caller.heard.pcm(said.stop_s)) > PAST_REOPENING, 20, "no answer")
            assert not caller.carrier.playback.cleared_s
            await caller.say(second)
            await caller.until(lambda: bool(caller.carrier.playback.cleared_s), 10, "the answer was not cleared")
            await caller.wait_reply(said.stop_s, 60)
            call = await fetch_call(talkative_server, caller.call_id)
            assert call["turns"][0]["interrupted"]

    asyncio.run(interrupt())


def test_the_embedded_recogniser_hears_a_telephone_caller_word_for_word(tmp_path: Path, speech: Path) -> None:
    engines = ("engines.vad=silero://", "engines.tts=espeak://en-us", "engines.stt=pocketsphinx://?decoders=1")
    said = ("what_time_is_it", "set_a_timer", "seven_times_eight")
    with running_server(tmp_path, *engines, "engines.llm=scripted://?reply=Yes.") as url:
        wavs = [speech / f"{name}.wav" for name in said]
        result = voicebot("call", *wavs, "--url", over_twilio(url), "--json")
    assert result.exit_code == 0, result.stderr
    assert [turn["heard"] for turn in json.loads(result.stdout)["turns"]] == [
        "what time is it",
        "set a timer for ten minutes",
        "what is seven times eight",
    ]


def test_a_hum_into_an_answer_pauses_it_only_and_stop_ends_it(tmp_path: Path, speech: Path) -> None:
    engines = (
        "engines.vad=silero://",
        "engines.tts=espeak://en-us",
        "engines.stt=pocketsphinx://?decoders=1&telephone=0",
    )
    question, hum, stop = (read_speech(speech / f"{name}.wav").pcm for name in ("what_time_is_it", "mm_hm", "stop"))

    def states(caller: Caller) -> list[str]:
        return [event["state"] for _, event in caller.events if event["type"] == "state"]

    async def interrupt(url: str) -> None:
        async with dial(url) as caller:
            said = await caller.say(question)
            enough = 2 * PAST_REOPENING
            await caller.until(lambda: len(caller.heard.pcm(said.stop_s)) > enough, 20, "no answer")
            await caller.say(hum)
            await caller.until(lambda: states(caller)[-2:] == ["paused", "speaking"], 10, "the answer did not go on")
            await caller.say(stop)
            await caller.until(lambda: states(caller)[-1] not in ("paused", "speaking"), 10, "the answer did not stop")
            assert states(caller).count("paused") == 2
            call = await fetch_call(url, caller.call_id)
            assert (call["turns"][0]["heard"], call["turns"][0]["interrupted"]) == ("what time is it", True)

    with running_server(tmp_path, *engines, f"engines.llm=scripted://?reply={LONG}&reply=All+right.") as url:
        asyncio.run(interrupt(url))


def test_a_call_without_an_answer_in_time_exits_1_and_names_the_wav(server: str, speech: Path) -> None:
    result = voicebot("call", speech / "hello.wav", "--url", over_twilio(server), "--timeout", "0.1")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "error: hello.wav: no answer was heard within 0.1 s\n"


def test_a_socket_that_is_not_the_telephones_is_a_refused_call(server: str, speech: Path) -> None:
    result = voicebot("call", speech / "hello.wav", "--url", f"{server.replace('http', 'ws', 1)}/nothing")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: cannot connect to ws://")


def test_a_second_server_on_the_same_port_is_bad_input(server: str) -> None:
    result = voicebot("serve", "--port", server.rpartition(":")[2], "--set", "engines.llm=scripted://")
    assert result.exit_code == 2
    assert "cannot listen on 127.0.0.1 port" in result.stderr
