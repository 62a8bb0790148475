"""The shell of a Realtime session on virtual time: pacing, what was heard, big appends, slow readers, endings."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np

from tests.transports.fakes import FakePort, FakeSocket
from tests.transports.realtime.talk import self_settings
from tests.virtual_time import run
from voicebot.core import events as ev
from voicebot.core.composed import WroteText
from voicebot.core.history import Line
from voicebot.core.wishes import Wishes
from voicebot.transports.realtime.protocol import RealtimeProtocol
from voicebot.transports.realtime.session_object import About
from voicebot.transports.realtime.socket import LEAD_S, OUTBOX_BYTES, RealtimeTransport

RATE_HZ = 24_000
APPEND = "input_audio_buffer.append"


class ClientPort(FakePort):
    """A call that also keeps what its client tells it."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[ev.Event] = []
        self.wishes: list[tuple[Wishes, bool]] = []
        self.composing: list[str] = []

    def tell(self, event: ev.Event) -> None:
        self.told.append(event)

    def wish(self, wishes: Wishes, once: bool) -> None:
        self.wishes.append((wishes, once))

    def compose(self, ref: str, lines: tuple[Line, ...] | None, wishes: Wishes) -> None:
        self.composing.append(ref)

    def stop_composing(self, ref: str) -> None:
        self.composing.remove(ref)


class Session:
    """A running session; `act` is what happens in it."""

    def __init__(self) -> None:
        self.port = ClientPort()
        self.socket = FakeSocket()
        protocol = RealtimeProtocol(About(), self_settings(), "ab", 99)
        self.transport = RealtimeTransport(self.socket, protocol)
        self.port.sound_ready = self.transport.sound_ready

    def play(self, act: Callable[[Session], Awaitable[None]]) -> Session:
        async def main() -> None:
            running = asyncio.create_task(self.transport.run(self.port))
            self.transport.happened(ev.PublishState("listening"))
            await asyncio.sleep(0.01)
            await act(self)
            self.transport.close("over")
            await running

        run(main())
        return self

    def sent(self, kind: str) -> list[tuple[float, dict[str, Any]]]:
        return [(at, event) for at, event in self.socket.sent if event.get("type") == kind]

    def sound_s(self, until: float = 1e9) -> float:
        """Of sound sent by that time."""
        deltas = [event["delta"] for at, event in self.sent("response.output_audio.delta") if at <= until]
        return sum(len(base64.b64decode(delta)) for delta in deltas) / 2 / RATE_HZ


def speak(session: Session, seconds: float) -> None:
    """A reply begins, and its sound is all there."""
    session.transport.happened(ev.StartPlayout(1))
    session.port.play(np.ones(round(RATE_HZ * seconds), np.int16))


def test_a_session_begins_with_its_first_events_and_the_operators_turns() -> None:
    async def act(_session: Session) -> None: ...

    session = Session().play(act)
    assert [event["type"] for _, event in session.socket.sent] == ["session.created", "conversation.created"]
    assert isinstance(session.port.told[0], ev.TurnsSet) and session.port.wishes == [(Wishes(), False)]
    assert session.socket.closed == (1000, "over")


def test_sound_goes_out_a_lead_ahead_of_its_playback_and_the_clock_tells_what_was_heard() -> None:
    unplayed: list[float] = []

    async def act(session: Session) -> None:
        speak(session, 3)
        await asyncio.sleep(1.0)
        unplayed.append(session.transport.unplayed_samples() / RATE_HZ)
        await asyncio.sleep(3.0)
        unplayed.append(session.transport.unplayed_samples() / RATE_HZ)

    session = Session().play(act)
    began = session.sent("response.output_audio.delta")[0][0]
    assert abs(session.sound_s(until=began + 0.001) - LEAD_S) <= 0.1, "the lead at once"
    assert abs(session.sound_s(until=began + 1.0) - 1 - LEAD_S) <= 0.12
    assert abs(unplayed[0] - LEAD_S) < 0.05 and unplayed[1] == 0
    assert session.sound_s() == 3.0


def test_after_a_cut_nothing_counts_as_unplayed() -> None:
    async def act(session: Session) -> None:
        speak(session, 3)
        await asyncio.sleep(0.5)
        assert session.transport.unplayed_samples() > 0 and session.transport.clear() == 0
        session.transport.happened(ev.ClearPlayout(1))
        assert session.transport.unplayed_samples() == 0

    Session().play(act)


def test_a_big_append_reaches_the_call_in_slices_and_in_order() -> None:
    async def act(session: Session) -> None:
        ramp = np.repeat(np.arange(10, dtype=np.int16) * 1_000, RATE_HZ)
        session.socket.put({"type": APPEND, "audio": base64.b64encode(ramp.tobytes()).decode()})
        await asyncio.sleep(0.1)

    session = Session().play(act)
    speech = session.port.heard_speech()
    assert len(session.port.speech) >= 99 and abs(len(speech) - 160_000) < 16
    assert [round(int(speech[at * 16_000 + 8_000]), -2) for at in range(10)] == [at * 1_000 for at in range(10)]


def test_a_reader_that_is_too_slow_is_let_go_and_memory_stays_bounded() -> None:
    async def act(session: Session) -> None:
        session.socket.readable.clear()
        session.transport.happened(ev.StartPlayout(1))
        for _ in range(OUTBOX_BYTES // 50_000 + 50):
            session.socket.put({"type": "x" * 70})
            session.transport.happened(ev.PublishError("x" * 50_000))
        await asyncio.sleep(0.1)
        assert session.port.hang_ups[0] == "the client reads too slowly"

    session = Session().play(act)
    assert session.socket.closed is None, "it takes no goodbye; the connection is dropped"


def test_a_client_that_leaves_hangs_up() -> None:
    async def act(session: Session) -> None:
        session.socket.leave()
        await asyncio.sleep(0.1)

    session = Session().play(act)
    assert session.port.hang_ups[0] == "the client has left"


def test_a_refused_message_is_answered_and_a_written_answer_told() -> None:
    async def act(session: Session) -> None:
        session.socket.put("no json")
        session.socket.put({"type": "response.create", "response": {"output_modalities": ["text"]}})
        await asyncio.sleep(0.1)
        session.transport.composed(session.port.composing[0], WroteText("Hello."))
        session.socket.put({"type": "response.cancel"})
        await asyncio.sleep(0.1)

    session = Session().play(act)
    assert session.sent("error")[0][1]["error"]["code"] == "invalid_json"
    assert session.sent("response.output_text.delta")[0][1]["delta"] == "Hello."
    assert session.port.composing == []
