"""The official OpenAI SDK for Python against a server of ours: a spoken talk with a tool call and an interruption."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from openai import AsyncOpenAI

from tests.cli.server import running_server
from tests.leaks import no_leaked_tasks
from voicebot.cli.wav import read_speech
from voicebot.core.audio import Pcm, resampler

pytestmark = pytest.mark.realtime
RATE_HZ = 24_000
FRAME = RATE_HZ // 50
ANSWER = "Your order was sent on Monday. " + "It travels by train and by ship, and it is well. " * 6
TOOL = {
    "type": "function",
    "name": "look_up",
    "description": "Where an order is.",
    "parameters": {"type": "object", "properties": {"order": {"type": "string"}}},
}
ENGINES = (
    "engines.stt=scripted://?text=where+is+my+order&text=that+is+enough+thank+you",
    f"engines.llm=scripted://?reply={ANSWER.strip().replace(' ', '+')}"
    "&tool=%7B%22name%22%3A%22look_up%22%2C%22arguments%22%3A%7B%22order%22%3A%227%22%7D%7D",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_server(tmp_path_factory.mktemp("server"), *ENGINES) as url:
        yield url


def sound_of(path: Path) -> Pcm:
    return resampler(16_000, RATE_HZ).push(read_speech(path).pcm)


class Caller:
    """A microphone that never stops, and what was heard and told so far."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.events: list[Any] = []
        self.news = asyncio.Condition()
        self.speech = np.zeros(0, np.int16)

    async def listen(self) -> None:
        async for event in self.connection:
            async with self.news:
                self.events.append(event)
                self.news.notify_all()

    async def talk(self) -> None:
        """Sound in real time: what is to be said, else silence."""
        due = asyncio.get_running_loop().time()
        while True:
            frame, self.speech = self.speech[:FRAME], self.speech[FRAME:]
            pcm = np.concatenate((frame, np.zeros(FRAME - len(frame), np.int16)))
            await self.connection.input_audio_buffer.append(audio=base64.b64encode(pcm.tobytes()).decode())
            due += 0.02
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))

    async def until(self, kind: str, since: int = 0, within_s: float = 15) -> Any:
        """The first event of this type from number `since` on."""
        async with asyncio.timeout(within_s), self.news:
            while True:
                assert not (faults := [event for event in self.events if event.type == "error"]), faults
                found = [event for event in self.events[since:] if event.type == kind]
                if found:
                    return found[0]
                await self.news.wait()

    def sound_ms(self, item_id: str) -> int:
        deltas = [one for one in self.events if one.type == "response.output_audio.delta" and one.item_id == item_id]
        return sum(len(base64.b64decode(one.delta)) for one in deltas) * 1000 // (2 * RATE_HZ)


def test_a_spoken_talk_with_a_tool_call_and_an_interruption(server: str, speech: Path) -> None:
    first, second = (sound_of(speech / name) for name in ("what_is_your_name.wav", "seven_times_eight.wav"))

    async def talk(caller: Caller) -> None:
        session = {"type": "realtime", "instructions": "Be brief.", "tools": [TOOL]}
        await caller.connection.session.update(session=session)
        updated = await caller.until("session.updated")
        assert updated.session.tools[0].name == "look_up"

        caller.speech = first
        asked = await caller.until("conversation.item.input_audio_transcription.completed")
        assert asked.transcript == "where is my order"
        done = await caller.until("response.done")
        (call,) = done.response.output
        assert (call.type, call.name, json.loads(call.arguments)) == ("function_call", "look_up", {"order": "7"})

        mark = len(caller.events)
        output = {"type": "function_call_output", "call_id": call.call_id, "output": '{"state": "sent"}'}
        await caller.connection.conversation.item.create(item=output)
        await caller.connection.response.create()
        item = (await caller.until("response.output_item.added", mark)).item.id
        async with asyncio.timeout(15), caller.news:
            await caller.news.wait_for(lambda: caller.sound_ms(item) > 3_000)

        mark = len(caller.events)
        caller.speech = second
        await caller.until("input_audio_buffer.speech_started", mark)
        cut = await caller.until("response.done", mark)
        assert (cut.response.status, cut.response.status_details.reason) == ("cancelled", "turn_detected")
        heard = cut.response.output[0].content[0].transcript
        assert ANSWER.startswith(heard) and 3 < len(heard.split()) < len(ANSWER.split())

        await caller.connection.conversation.item.truncate(item_id=item, content_index=0, audio_end_ms=1_500)
        told = await caller.until("conversation.item.truncated")
        assert ANSWER.startswith(told.transcript) and len(told.transcript) < len(heard), "fewer words than by the clock"
        await caller.connection.conversation.item.retrieve(item_id=item)
        kept = (await caller.until("conversation.item.retrieved")).item
        assert (kept.status, kept.content[0].transcript) == ("incomplete", told.transcript)
        await caller.until("response.function_call_arguments.done", mark)

    async def main() -> None:
        client = AsyncOpenAI(base_url=f"{server}/v1", api_key="any")
        async with no_leaked_tasks(), client.realtime.connect(model="voicebot") as connection:
            caller = Caller(connection)
            tasks = [asyncio.create_task(caller.listen()), asyncio.create_task(caller.talk())]
            try:
                await talk(caller)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
        await client.close()

    asyncio.run(main())
