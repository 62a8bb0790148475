"""A caller over WebRTC: aiortc as the browser's side, with an own 20 ms clock for what it says.

What `heard` times include: everything up to the arrival of the RTP packet that carries the sample, and up to 30 ms
of waiting behind one that is lost; a browser's own buffer is not counted.
Sent times are when a frame is handed to the encoder, about 1 ms before it is on the wire.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError

from voicebot.cli.caller import Caller, CallFailed, Mouth, background
from voicebot.cli.recording import Recording
from voicebot.core.audio import SPEECH_RATE_HZ, Pcm
from voicebot.transports.webrtc_media import RATE_HZ, OpusTrack
from voicebot.transports.webrtc_receive import Reception, tap

_EVENTS_LIMIT = 100_000


class _MouthTrack(OpusTrack):
    """The microphone: a frame every 20 ms of an absolute clock."""

    def __init__(self, mouth: Mouth) -> None:
        super().__init__()
        self._mouth = mouth

    def next_frame(self, now: float) -> Pcm | None:
        return None if self._mouth.silent else self._mouth.pull(now)


class WebRtcCaller(Caller):
    """An open peer connection and its `events` channel."""

    transport = "webrtc"

    def __init__(self) -> None:
        super().__init__()
        self.mouth = Mouth(RATE_HZ)
        self.heard = Recording(SPEECH_RATE_HZ)
        self.track: MediaStreamTrack | None = None
        self._reception = Reception(self._hear)
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._channel = self._peer.createDataChannel("events")
        self._peer.addTrack(_MouthTrack(self.mouth))
        self._channel.on("message", self._on_message)
        self._peer.on("track", self._on_track)
        self._peer.on("connectionstatechange", self._on_state)

    async def connect(self, root: str, timeout_s: float) -> None:
        """Offer, take the answer, and wait until both audio and events can flow. Raises: CallFailed."""
        await self._peer.setLocalDescription(await self._peer.createOffer())
        answer = await _post_offer(root, self._peer.localDescription.sdp, timeout_s)
        self.call_id = str(answer.get("call_id", ""))
        try:
            description = RTCSessionDescription(sdp=answer["sdp"], type=answer["type"])
            await self._peer.setRemoteDescription(description)
        except (KeyError, TypeError, ValueError) as error:
            raise CallFailed(f"{root}/api/offer gave an answer that is no SDP answer: {error!r}") from None
        await self.until(lambda: self._up(), timeout_s, f"no WebRTC connection to {root} within {timeout_s:g} s")

    async def hang_up(self) -> None:
        if not self.gone:
            self.gone = "we hung up"
            if self._channel.readyState == "open":
                self._channel.send(json.dumps({"type": "hang_up"}))
        self._reception.close()
        await self._peer.close()

    async def drop(self) -> None:
        self.gone = self.gone or "we dropped it"
        self._reception.close()
        for sender in self._peer.getSenders():
            await sender.transport.transport.stop()
        await self._peer.close()

    def send(self, event: dict[str, Any]) -> None:
        """Send one event to the server on the data channel."""
        self._channel.send(json.dumps(event))

    def reply_finished(self, after_s: float) -> bool:
        """Every reply that was told of after `after_s` is final, and there is one."""
        latest = {event.get("reply"): event for at, event in self.events if at > after_s and event["type"] == "reply"}
        return bool(latest) and all(event.get("final") for event in latest.values())

    async def listen(self) -> None:
        """Wait until the server's audio ends."""
        assert self.track, "connected"
        try:
            while True:
                await self.track.recv()
        except MediaStreamError:
            self.gone = self.gone or "the server's audio ended"

    def _hear(self, pcm: Pcm) -> None:
        self.heard.add(asyncio.get_running_loop().time(), pcm)

    def _up(self) -> bool:
        return self._peer.connectionState == "connected" and self._channel.readyState == "open" and bool(self.track)

    def _on_track(self, track: MediaStreamTrack) -> None:
        if track.kind == "audio":
            self.track = track
            tap(self._peer.getReceivers()[0], self._reception.take)

    def _on_state(self) -> None:
        if self._peer.connectionState in ("failed", "closed"):
            self.gone = self.gone or f"the WebRTC connection is {self._peer.connectionState}"

    def _on_message(self, text: str | bytes) -> None:
        try:
            event = json.loads(text)
        except ValueError:
            event = None
        if not isinstance(event, dict) or "type" not in event or len(self.events) >= _EVENTS_LIMIT:
            self.gone = self.gone or f"the server sent an event that is none: {text[:80]!r}"
            return
        self.events.append((asyncio.get_running_loop().time(), event))
        if event["type"] == "state" and event.get("state") == "ended":
            self.gone = self.gone or "the server ended the call"


async def _post_offer(root: str, sdp: str, timeout_s: float) -> dict[str, Any]:
    try:
        async with httpx.AsyncClient(timeout=timeout_s) as client:
            response = await client.post(f"{root}/api/offer", json={"sdp": sdp, "type": "offer"})
        answer = response.json()
    except (httpx.HTTPError, ValueError) as error:
        raise CallFailed(f"cannot call {root}: {error or type(error).__name__}; is the server running?") from None
    if response.status_code != 200 or not isinstance(answer, dict):
        said = answer.get("error", answer) if isinstance(answer, dict) else answer
        raise CallFailed(f"{root} refused the call ({response.status_code}): {said}")
    return answer


@asynccontextmanager
async def webrtc_call(root: str, timeout_s: float = 10.0) -> AsyncIterator[WebRtcCaller]:
    """A call to the server at `root`, e.g. "http://127.0.0.1:8080".

    Raises: CallFailed when the server cannot be reached or refuses.
    """
    caller = WebRtcCaller()
    try:
        await caller.connect(root, timeout_s)
        async with background(caller.listen()):
            yield caller
    finally:
        await caller.hang_up()
