"""A Realtime session over WebRTC with aiortc as the browser: offer, data channel, sound, clearing it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from tests.test_serving import Server, server
from tests.transports.test_webrtc import Microphone

pytestmark = pytest.mark.realtime
LONG = "engines.llm=scripted://?reply=" + "+".join(["River table seven green window letter."] * 5).replace(" ", "+")


class Browser:
    """Plays a tone; takes events."""

    def __init__(self) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.events: list[dict[str, Any]] = []
        self.microphone = Microphone()
        self.connection.addTrack(self.microphone)
        self.channel = self.connection.createDataChannel("oai-events")
        self.channel.on("message", lambda text: self.events.append(json.loads(text)))

    async def dial(self, running: Server, session: dict[str, Any] | None) -> str:
        """Returns where the call is."""
        await self.connection.setLocalDescription(await self.connection.createOffer())
        sdp = self.connection.localDescription.sdp
        if session is None:
            kind = {"content-type": "application/sdp"}
            answer = await running.client.post("/v1/realtime/calls", content=sdp, headers=kind)
        else:
            form = {"sdp": (None, sdp), "session": (None, json.dumps(session))}
            answer = await running.client.post("/v1/realtime/calls", files=form)
        assert answer.status_code == 201, answer.text
        assert answer.headers["content-type"] == "application/sdp"
        await self.connection.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
        return answer.headers["location"]

    async def until(self, kind: str) -> dict[str, Any]:
        async with asyncio.timeout(15):
            while not (found := [event for event in self.events if event["type"] == kind]):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return found[0]


def test_a_browser_talks_hears_and_clears_what_it_hears(tmp_path: Path) -> None:
    async def main() -> None:
        async with server(tmp_path, LONG) as running:
            browser = Browser()
            try:
                session = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
                place = await browser.dial(running, session)
                assert place.startswith("/v1/realtime/calls/")
                created = await browser.until("session.created")
                assert created["session"]["audio"]["input"]["turn_detection"] is None
                await asyncio.sleep(0.5)
                browser.channel.send(json.dumps({"type": "input_audio_buffer.commit"}))
                browser.channel.send(json.dumps({"type": "response.create"}))
                heard = await browser.until("conversation.item.input_audio_transcription.completed")
                assert heard["transcript"] == "hello"
                await browser.until("output_audio_buffer.started")
                await asyncio.sleep(0.5)
                browser.channel.send(json.dumps({"type": "output_audio_buffer.clear"}))
                done = await browser.until("response.done")
                assert done["response"]["status_details"]["reason"] == "client_cancelled"
                said = done["response"]["output"][0]["content"][0]["transcript"]
                assert said.startswith("River") and len(said.split()) < 30
                await browser.until("output_audio_buffer.cleared")
                assert not [event for event in browser.events if event["type"].endswith("audio.delta")]
                assert (await running.client.post(f"{place}/hangup")).status_code == 200
                await running.until_ended(place.rpartition("/")[2])
                assert (await running.client.post(f"{place}/hangup")).status_code == 404
            finally:
                await browser.connection.close()

    asyncio.run(main())


def test_offers_that_cannot_be_taken_are_refused_in_openais_form(tmp_path: Path) -> None:
    async def main() -> None:
        async with server(tmp_path) as running:
            post = running.client.post
            place = "/v1/realtime/calls"
            answers = [
                await post(place, content="v=0", headers={"content-type": "application/sdp"}),
                await post(place, json={"sdp": "v=0"}),
                await post(place, files={"session": (None, "{}")}),
                await post(place, files={"sdp": (None, "v=0"), "session": (None, "{")}),
                await post(place, files={"sdp": (None, "v=0"), "session": (None, '{"nonsense": 1}')}),
            ]
            assert [answer.status_code for answer in answers] == [400, 415, 400, 400, 400]
            assert [answer.json()["error"]["param"] for answer in answers][2:] == ["sdp", "session", "session.nonsense"]

    asyncio.run(main())
