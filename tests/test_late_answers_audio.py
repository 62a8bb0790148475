"""Late answers through audio: real speech, Silero, eSpeak NG and the loopback transport in real time.

What the words are is given by how long each recording is, so that it is turn-taking that is tried and not a recogniser.
The same scenarios as in `test_late_answers.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest

from tests.engines.conftest import read_speech
from tests.served import Caller, calling, served
from voicebot.brain.fixed_words import acknowledgement

pytestmark = pytest.mark.realtime

PRIMES = "write a python program that finds prime numbers"
REVOLUTIONS = "compare the french and the american revolution"
GREETING = "good morning"
NEVER_MIND = "never mind about the prime numbers"
SPOKEN = {
    "stop": "wait.wav",
    GREETING: "what_time_is_it.wav",
    NEVER_MIND: "what_is_your_name.wav",
    PRIMES: "seven_times_eight.wav",
    REVOLUTIONS: "remind_me.wav",
}
STORY = "It was a fine and quiet morning by the river. The boats lay still, and nobody was in a hurry."
ANSWER = "That is a long story."
MARGIN_MS = 120
"""What a draft has beside its speech: a lead-in, and the pause that it began after."""


def voiced_ms(file: str) -> float:
    loud = np.flatnonzero(np.abs(read_speech(file).astype(int)) > 600)
    return float(loud[-1] - loud[0]) / 16


def settings(expert_s: float, texts: Sequence[str]) -> list[str]:
    lengths = {text: voiced_ms(SPOKEN[text]) + MARGIN_MS for text in texts}
    heard = "&".join(f"text={quote(text)}&ms={ms:.0f}" for text, ms in lengths.items())
    expert = f"first_token_ms={expert_s * 1000:.0f}&max_concurrency=2&reply={quote(ANSWER)}"
    return [
        "engines.vad=silero://",
        f"engines.stt=worded://?engine={quote('scripted://')}&{heard}",
        f"engines.llm=scripted://?reply={quote(STORY)}",
        "engines.tts=espeak://",
        f"frontier.url=scripted://?{expert}",
    ]


def call(
    tmp_path: Path, talk: Callable[[Caller], Awaitable[None]], expert_s: float, texts: Sequence[str], *overrides: str
) -> Caller:
    """`texts`: what can be heard in this call."""

    async def main() -> Caller:
        async with served(tmp_path, *settings(expert_s, texts), *overrides) as server, calling(server) as caller:
            await talk(caller)
        return caller

    return asyncio.run(main())


async def speak(caller: Caller, text: str) -> None:
    """Until the last sample has been said."""
    caller.say(read_speech(SPOKEN[text]))
    await caller.until(lambda: caller.speech_stop_s is not None)


async def answered(caller: Caller, replies: int) -> None:
    """Until so many replies have begun, and the last of them has been heard to its end."""
    await caller.until(lambda: len(caller.told) >= replies and caller.state == "listening")


def test_an_answer_that_comes_in_mid_sentence_is_told_after_it(tmp_path: Path) -> None:
    async def talk(caller: Caller) -> None:
        await speak(caller, PRIMES)
        await answered(caller, 1)
        await speak(caller, GREETING)
        await caller.until(lambda: "ready" in caller.errands)
        assert caller.state == "speaking", "the answer comes while the bot speaks"
        await answered(caller, 3)

    caller = call(tmp_path, talk, 5.0, [GREETING, PRIMES])
    assert caller.told == [acknowledgement(PRIMES), STORY, f"About your question, {PRIMES}: {ANSWER}"]
    assert caller.errands == ["pending", "ready", "speaking", "delivered"]
    assert not any(event["interrupted"] for event in caller.shown("reply"))


def test_an_interrupted_turn_still_gets_its_answer(tmp_path: Path) -> None:
    async def talk(caller: Caller) -> None:
        await speak(caller, PRIMES)
        await caller.until(lambda: caller.state == "speaking")
        await speak(caller, "stop")
        await caller.until(lambda: "delivered" in caller.errands)

    caller = call(tmp_path, talk, 4.0, ["stop", PRIMES], "turn.reopen_ms=0")
    assert caller.told[-1].endswith(ANSWER)
    assert caller.errands == ["pending", "ready", "speaking", "delivered"]


def test_one_of_two_is_withdrawn_and_the_other_is_told(tmp_path: Path) -> None:
    async def talk(caller: Caller) -> None:
        await speak(caller, PRIMES)
        await answered(caller, 1)
        await speak(caller, REVOLUTIONS)
        await answered(caller, 2)
        await speak(caller, NEVER_MIND)
        await caller.until(lambda: "delivered" in caller.errands)

    caller = call(tmp_path, talk, 10.0, [NEVER_MIND, PRIMES, REVOLUTIONS])
    assert caller.errands.count("cancelled") == 1 and caller.errands.count("delivered") == 1
    late = [told for told in caller.told if told.startswith("About your question")]
    assert late == [f"About your question, {REVOLUTIONS}: {ANSWER}"]
