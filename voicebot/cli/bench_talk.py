"""The calls that `voicebot bench latency` measures, over a real wire or in memory, and the ear of `bench turns`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from voicebot.bench.crowd import ANSWER_S, INTERRUPT_AFTER_S, PAUSE_S, Tally, spread_over
from voicebot.bench.serving import event_counts, serving
from voicebot.bench.turns import Ear, Recorded, TurnsResult, measure_turns
from voicebot.cli.call import converse
from voicebot.cli.caller import REPLY_ENDED_S, CallFailed
from voicebot.cli.caller_webrtc import WebRtcCaller, webrtc_call
from voicebot.cli.wav import Speech, speech_start
from voicebot.config import load_config
from voicebot.core.audio import SPEECH_RATE_HZ
from voicebot.engines.registry import create
from voicebot.errors import EngineUnavailable
from voicebot.profiles import resolve_profile
from voicebot.service import VoiceServer, turn_settings
from voicebot.transports.base import CallPort
from voicebot.transports.loopback import LoopbackTransport

LOOK_S = 0.02
QUIET_S = 0.2
"""Silence that shows that an answer has stopped: longer than the pauses in one."""
Turns = list[dict[str, Any]]


def talk(
    settings: Sequence[str], speeches: Sequence[Speech], transport: str, timeout_s: float
) -> tuple[Turns, Mapping[str, float]]:
    """One call, one turn a recording; each turn's figures, and the server's counts of what happened.

    Raises: ConfigError, EngineUnavailable, CallFailed.
    """
    if transport == "loopback":
        return asyncio.run(_in_memory(settings, speeches, timeout_s))
    with serving(settings) as server:
        url = server.url if transport == "webrtc" else server.url.replace("http", "ws", 1) + "/telephony/twilio"
        report = asyncio.run(converse(url, speeches, timeout_s))
        return [asdict(turn) for turn in report.turns], server.events()


async def _in_memory(
    settings: Sequence[str], speeches: Sequence[Speech], timeout_s: float
) -> tuple[Turns, Mapping[str, float]]:
    """The server and its caller in this process: no wire, no codec."""
    server = VoiceServer(load_config(None, overrides=settings))
    loaded = asyncio.Event()
    server.on_loaded = loaded.set
    async with server.running():
        await loaded.wait()
        if server.fault is not None:
            raise EngineUnavailable(f"the server did not become ready: {server.fault}")
        transport = InMemory()
        with server.calls.slot() as slot:
            record = await server.begin(slot, transport)
        turns = [await _ask(transport, record.turns, speech, timeout_s) for speech in speeches]
        transport.hang_up()
        await record.over.wait()
        return turns, event_counts(server.metrics.render().decode())


class InMemory(LoopbackTransport):
    """A loopback caller as a server starts one: it learns of its call when it is run."""

    async def run(self, port: CallPort | None = None) -> None:
        if port is not None:
            self.attach(port)
        await super().run()


async def _ask(
    transport: LoopbackTransport, turns: Mapping[int, dict[str, Any]], speech: Speech, timeout_s: float
) -> dict[str, Any]:
    """Say one recording and hear the answer out. Raises: CallFailed."""
    known = set(turns)
    transport.say(speech.pcm)
    try:
        async with asyncio.timeout(timeout_s):
            while not any(turns[turn].get("ended") for turn in set(turns) - known):
                if transport.over:
                    raise CallFailed(f"{speech.name}: the call ended early: {transport.closed_reason}")
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        raise CallFailed(f"{speech.name}: no answer was heard within {timeout_s:g} s") from None
    assert transport.speech_stop_s is not None, "it was said before it was answered"
    stop_s = transport.speech_stop_s - (len(speech.pcm) - speech.speech_stop_sample) / SPEECH_RATE_HZ
    audible_s = transport.first_audible_s(stop_s)
    if audible_s is None:
        raise CallFailed(f"{speech.name}: the answer was not audible")
    await asyncio.sleep(REPLY_ENDED_S)
    return turns[max(set(turns) - known)] | {"v2v_ms": round((audible_s - stop_s) * 1000, 1)}


async def webrtc_crowd(speech: Speech, url: str, calls: int, talk_s: float, tally: Tally) -> None:
    """As `bench.crowd.crowd`, over WebRTC. An interruption ends when nothing of the answer is heard any more."""

    async def one(_number: int) -> None:
        try:
            async with webrtc_call(url, ANSWER_S) as caller:
                await _converse(caller, speech, talk_s, tally)
        except CallFailed as error:
            tally.failures.append(str(error))

    await spread_over(calls, one)


async def _converse(caller: WebRtcCaller, speech: Speech, talk_s: float, tally: Tally) -> None:
    loop = asyncio.get_running_loop()
    until_s = loop.time() + talk_s
    interrupting = True
    while loop.time() < until_s:
        await asyncio.sleep(PAUSE_S)
        said = await caller.say(speech.pcm, speech.speech_stop_sample)
        began_s = await caller.wait_begun(said.stop_s, ANSWER_S)
        tally.v2v_ms.append((began_s - said.stop_s) * 1000)
        if interrupting:
            await asyncio.sleep(INTERRUPT_AFTER_S)
            await _interrupt(caller, speech, tally)
        interrupting = not interrupting
        await caller.wait_reply(began_s, ANSWER_S)


async def _interrupt(caller: WebRtcCaller, speech: Speech, tally: Tally) -> None:
    said = await caller.say(speech.pcm, speech.speech_stop_sample)
    speaks_s = said.start_s + speech_start(speech.pcm) / SPEECH_RATE_HZ
    stopped_s = caller.heard.silent_from_s(speaks_s, QUIET_S)
    if stopped_s is None:
        tally.lost_turns += 1
    else:
        tally.clear_ms.append((stopped_s - speaks_s) * 1000)


def rehearse(settings: Sequence[str], speeches: Sequence[Speech], report: Callable[[str], None]) -> TurnsResult:
    """Raises: ConfigError, EngineError."""
    config = load_config(None, overrides=settings)
    resolved = resolve_profile(config)
    urls = resolved.engines
    assert urls.vad and urls.stt, "a resolved profile names every engine"
    vad = create("vad", urls.vad, resolved.models_dir)
    stt = create("stt", urls.stt, resolved.models_dir)
    turn = create("turn", urls.turn, resolved.models_dir) if urls.turn else None
    engines = [engine for engine in (vad, stt, turn) if engine is not None]
    try:
        for engine in engines:
            engine.load()
        recordings = [
            Recorded(speech.name, speech.pcm, speech_start(speech.pcm), speech.speech_stop_sample)
            for speech in speeches
        ]
        return measure_turns(Ear(vad, stt, turn), recordings, turn_settings(config), report)
    finally:
        for engine in engines:
            engine.close()
