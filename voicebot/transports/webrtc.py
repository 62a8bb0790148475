"""A call from a browser: WebRTC by aiortc, Opus both ways, JSON events on a data channel named `events`.

We answer; the page offers. aiortc's default STUN server is never used: it delays every answer by seconds where it
cannot be reached. Nothing sent can be called back: `clear` drops nothing, and what the browser has not played yet is
taken to be what was sent in the last `FAR_DELAY_S`.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Sequence
from typing import Any

from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.exceptions import InvalidStateError, OperationError
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from voicebot.errors import ProtocolError
from voicebot.transports import page
from voicebot.transports.base import CallPort, Pcm
from voicebot.transports.webrtc_consent import keep_consent
from voicebot.transports.webrtc_media import RATE_HZ, BotTrack
from voicebot.transports.webrtc_offer import ask_for_speech, check_offer
from voicebot.transports.webrtc_receive import Reception, tap

CONNECT_TIMEOUT_S = 15.0
MEDIA_TIMEOUT_S = 10.0
"""Browsers send audio all the time, also when muted: none for this long means that the caller is gone."""
CLOSE_TIMEOUT_S = 2.0
LOSS_EVERY_S = 2.0
"""Receiver reports come every second or so."""
EVENTS_WAITING = 64
"""Events kept until the data channel opens; the newest beyond are dropped."""
AFTER_SOUND_S = 0.005
"""Events go out so late: what is said must not wait behind what is shown, and at a commit that is 3 ms of SCTP."""
BUFFERED_LIMIT = 256 * 1024
"""Bytes that may wait in the data channel; events beyond are dropped: captions are not worth memory."""


class WebRtcTransport:
    """One browser's call: `answer()` makes it, `run()` carries it to its end."""

    kind = "webrtc"
    channel_label = "events"
    playout_rate_hz = RATE_HZ
    narrowband = False

    def __init__(self, connection: RTCPeerConnection) -> None:
        """Use `answer`."""
        self.answer_sdp = ""
        self._connection = connection
        self._reception = Reception(self._hear)
        self._track = BotTrack()
        self._port: CallPort | None = None
        self._channel: RTCDataChannel | None = None
        self._waiting: deque[str] = deque()
        self._sending: asyncio.TimerHandle | None = None
        self._allowance = page.Allowance(per_s=10, burst=20)
        self._connected = asyncio.Event()
        self._over = asyncio.Event()
        self._shut = False
        connection.on("connectionstatechange", self._state_changed)
        connection.on("datachannel", self._channel_opened)

    @classmethod
    async def answer(cls, offer_sdp: str, ice_servers: Sequence[RTCIceServer] = ()) -> WebRtcTransport:
        """Answer an offer; the answer is in `answer_sdp`. Every transport made must be `run` or `shut`.

        Raises: ProtocolError for an offer that is malformed or that we cannot take, ConfigError without libopus.
        """
        offer = check_offer(offer_sdp)
        transport = cls(RTCPeerConnection(RTCConfiguration(iceServers=list(ice_servers))))
        try:
            await transport._negotiate(offer)
        except (
            ValueError,
            KeyError,
            AttributeError,
            TypeError,
            OperationError,
            InvalidStateError,
        ) as error:
            await transport.shut()
            raise ProtocolError(f"the SDP offer cannot be answered: {type(error).__name__}: {error}") from error
        except BaseException:
            await transport.shut()
            raise
        return transport

    async def _negotiate(self, offer_sdp: str) -> None:
        connection = self._connection
        transceiver = connection.addTransceiver(self._track, direction="sendrecv")
        opus = [codec for codec in RTCRtpSender.getCapabilities("audio").codecs if codec.mimeType == "audio/opus"]
        transceiver.setCodecPreferences(opus)
        await connection.setRemoteDescription(RTCSessionDescription(offer_sdp, "offer"))
        tap(transceiver.receiver, self._reception.take)
        keep_consent(transceiver.receiver.transport.transport._connection)
        await connection.setLocalDescription(await connection.createAnswer())
        self.answer_sdp = ask_for_speech(connection.localDescription.sdp)

    async def run(self, port: CallPort) -> None:
        """Carry the call until either side ends it; the connection is closed when this returns.

        Cancellation: the connection is still closed, within 2 s.
        """
        self._port = port
        self._track.port = port
        try:
            async with asyncio.TaskGroup() as group:
                listening = group.create_task(self._listen(port), name=f"listen {port.call_id}")
                following = group.create_task(self._follow_loss(), name=f"loss {port.call_id}")
                await self._over.wait()
                listening.cancel()
                following.cancel()
        finally:
            port.hang_up("the connection has closed")
            await self.shut()

    async def shut(self) -> None:
        """Let queued events leave and close the connection, together within 2 s. Idempotent."""
        if self._shut:
            return
        self._shut = True
        self._reception.close()
        self._track.stop()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S / 2):
                await self._drain_events()
        except TimeoutError:
            pass  # The page is not reading any more.
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S / 2):
                await self._connection.close()
        except TimeoutError:
            pass  # Its sockets close with the last reference to it.

    def unplayed_samples(self) -> int:
        return self._track.unplayed_samples(_now())

    def sound_ready(self) -> None:
        """Packets keep their pace, which is that of the caller's."""

    def clear(self) -> int:
        """Nothing: what is not with the browser already has not been pulled yet."""
        return 0

    def send_event(self, event: dict[str, Any]) -> None:
        if self._channel is None and len(self._waiting) >= EVENTS_WAITING:
            return
        self._waiting.append(json.dumps(event, separators=(",", ":")))
        if self._channel is not None and self._sending is None:
            self._sending = asyncio.get_running_loop().call_later(AFTER_SOUND_S, self._send_waiting)

    def close(self, reason: str) -> None:
        self._over.set()

    @property
    def lost_samples(self) -> int:
        """Of the caller's audio, at 48 kHz: never came, and was made up."""
        return self._reception.lost_samples

    def _hear(self, pcm: Pcm) -> None:
        if self._port is not None:
            self._port.push_audio(pcm, then=self._track.follow)

    def _end(self, reason: str) -> None:
        if self._port is not None:
            self._port.hang_up(reason)
        self._over.set()

    def _state_changed(self) -> None:
        state = self._connection.connectionState
        if state == "connected":
            self._connected.set()
        elif state == "failed":
            self._end("the network connection was lost")
        elif state == "closed":
            self._end("the caller hung up")

    def _channel_opened(self, channel: RTCDataChannel) -> None:
        if channel.label != self.channel_label or self._channel is not None:
            channel.close()
            return
        self._channel = channel
        channel.on("message", self._take_message)
        self._send_waiting()

    def _send_waiting(self) -> None:
        self._sending = None
        channel = self._channel
        while channel is not None and self._waiting:
            text = self._waiting.popleft()
            if channel.readyState == "open" and channel.bufferedAmount < BUFFERED_LIMIT:
                channel.send(text)

    def _take_message(self, message: str | bytes) -> None:
        if self._port is None or not self._allowance.take(_now()):
            return
        try:
            said = page.parse(message)
        except ProtocolError as error:
            self.send_event({"type": "error", "message": str(error)})
            return
        if isinstance(said, page.Typed):
            self._port.push_text(said.text)
        elif isinstance(said, page.Key):
            self._port.push_digit(said.digit)
        elif isinstance(said, page.CancelErrand):
            self._port.cancel_errand(said.errand)
        else:
            self._end("the caller hung up")

    async def _drain_events(self) -> None:
        channel = self._channel
        if channel is None or self._connection.connectionState != "connected":
            return
        self._send_waiting()
        sent = asyncio.Event()
        channel.on("bufferedamountlow", sent.set)
        if channel.bufferedAmount:
            await sent.wait()

    async def _listen(self, port: CallPort) -> None:
        """End the call when the caller's audio does, or does not begin."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._connected.wait()
        except TimeoutError:
            self._end(f"the browser's media did not connect within {CONNECT_TIMEOUT_S:g} s; is UDP blocked?")
            return
        transceiver = self._connection.getTransceivers()[0]
        if transceiver.currentDirection not in ("sendrecv", "recvonly"):
            return  # A caller without a microphone, who types.
        try:
            await self._wait_quiet(transceiver.receiver.track)
            self._end(f"no audio from the browser for {MEDIA_TIMEOUT_S:g} s")
        except MediaStreamError:
            self._end("the caller hung up")

    async def _follow_loss(self) -> None:
        """Tell the bot's track what the browser's receiver reports say is lost."""
        (sender,) = self._connection.getSenders()
        while True:
            await asyncio.sleep(LOSS_EVERY_S)
            for report in (await sender.getStats()).values():
                if report.type == "remote-inbound-rtp":
                    self._track.note_loss(report.fractionLost * 100 // 256)

    async def _wait_quiet(self, track: MediaStreamTrack) -> None:
        """Return when no packet has come for too long. Raises: MediaStreamError when the track ends before."""
        since = _now()
        while (left := max(since, self._reception.came_s or 0.0) + MEDIA_TIMEOUT_S - _now()) > 0:
            try:
                async with asyncio.timeout(left):
                    await track.recv()
            except TimeoutError:
                pass  # What the track yields is not sound: packets go to the reception.


def _now() -> float:
    return asyncio.get_running_loop().time()
