"""A Realtime session over WebRTC: sound by RTP, events on the data channel `oai-events`. The protocol is the same one.

Here nothing is a guess: the browser plays what it gets, and a clear takes effect at the next packet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from aiortc import RTCIceServer

from voicebot.core import events as ev
from voicebot.core.composed import Piece
from voicebot.transports.base import CallPort, Pcm
from voicebot.transports.realtime.protocol import RealtimeProtocol
from voicebot.transports.realtime.socket import ClientPort, carry_out
from voicebot.transports.webrtc import WebRtcTransport


class RealtimeWebRtcTransport(WebRtcTransport):
    """One browser's session: `answer_with()` makes it, `run()` carries it to its end."""

    kind = "realtime_webrtc"
    channel_label = "oai-events"
    _protocol: RealtimeProtocol
    _given: dict[str, Any]
    _begun: bool = False

    @classmethod
    async def answer_with(
        cls, offer_sdp: str, protocol: RealtimeProtocol, session: dict[str, Any], ice_servers: Sequence[RTCIceServer]
    ) -> RealtimeWebRtcTransport:
        """As `answer`. `session`: settings that came with the offer, valid ones. Raises: ProtocolError."""
        transport = cast(RealtimeWebRtcTransport, await cls.answer(offer_sdp, ice_servers))
        transport._protocol, transport._given = protocol, session
        return transport

    async def run(self, port: CallPort) -> None:
        self._port = port
        self._settle()  # What the session was told before there was a port.
        await super().run(port)

    def happened(self, command: ev.Command) -> None:
        """Told of every command; the first says that the call has begun."""
        if not self._begun:
            self._begun = True
            self._protocol.begin(self._given)
        self._protocol.happened(command)
        self._settle()

    def composed(self, ref: str, piece: Piece) -> None:
        self._protocol.composed(ref, piece)
        self._settle()

    def send_event(self, event: dict[str, Any]) -> None:
        """What the page is told; this protocol has events of its own."""

    def _settle(self) -> None:
        if self._port is not None:
            carry_out(self._protocol, cast(ClientPort, self._port))
        for event in self._protocol.outgoing:
            super().send_event(event)
        self._protocol.outgoing.clear()

    def _hear(self, pcm: Pcm) -> None:
        if self._begun:
            super()._hear(pcm)
            self._protocol.heard(len(pcm))

    def _take_message(self, message: str | bytes) -> None:
        self._protocol.receive(message)
        self._settle()
