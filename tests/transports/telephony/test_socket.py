"""The socket shell on virtual time, with a far side in memory."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest

from tests.transports.fakes import FakePort, FakeShortSocket, FakeSocket
from tests.transports.telephony.test_twilio import CONNECTED, DTMF, MARK, MEDIA, START, STOP, changed
from tests.virtual_time import run as run_virtual
from voicebot.core.audio import mulaw_encode
from voicebot.errors import ProtocolError
from voicebot.transports.telephony.socket import OUTBOX_LIMIT, SocketTransport
from voicebot.transports.telephony.twilio import TwilioWire
from voicebot.transports.telephony.wire import Wire

SECOND = np.full(8000, 1000, np.int16)


class Call:
    """A call that has started, and both of its ends."""

    def __init__(self, wire: Wire | None = None, socket: FakeSocket | None = None) -> None:
        self.socket = socket or FakeSocket()
        self.port = FakePort()
        self.transport = SocketTransport(self.socket, wire or TwilioWire())
        self.port.sound_ready = self.transport.sound_ready

    def media_times(self) -> list[float]:
        return [round(at, 6) for at, _ in self.socket.events("media")]

    def marks(self) -> list[str]:
        return [message["mark"]["name"] for _, message in self.socket.events("mark")]

    def speak(self, chunk: int, value: int, at_ms: int | None = None) -> None:
        payload = base64.b64encode(mulaw_encode(np.full(160, value, np.int16))).decode()
        message = changed(MEDIA, "media.payload", payload)
        message["media"] |= {"chunk": str(chunk), "timestamp": str(20 * chunk if at_ms is None else at_ms)}
        self.socket.put(message)

    def echo(self, mark: str) -> None:
        self.socket.put(changed(MARK, "mark.name", mark))


@asynccontextmanager
async def started(socket: FakeSocket | None = None) -> AsyncIterator[Call]:
    call = Call(socket=socket)
    call.socket.put(CONNECTED)
    call.socket.put(START)
    await call.transport.open()
    async with asyncio.TaskGroup() as group:
        group.create_task(call.transport.run(call.port))
        await asyncio.sleep(0.001)
        yield call
        call.transport.close("test over")


def now() -> float:
    return asyncio.get_running_loop().time()


def test_opening_tells_who_calls() -> None:
    async def main() -> None:
        call = Call()
        call.socket.put(CONNECTED)
        call.socket.put({"event": "tea"})
        call.socket.put(START)
        assert (await call.transport.open()).call_sid == "CA1"

    run_virtual(main())


def test_a_far_side_that_says_nothing_is_given_up_after_ten_seconds() -> None:
    async def main() -> None:
        call = Call()
        call.socket.put(CONNECTED)
        with pytest.raises(ProtocolError, match="within 10 s") as caught:
            await call.transport.open()
        assert caught.value.close_code == 1008
        assert now() == pytest.approx(10.0)

    run_virtual(main())


def test_anything_before_the_start_message_is_refused() -> None:
    async def main() -> None:
        call = Call()
        call.socket.put(MEDIA)
        with pytest.raises(ProtocolError, match="Media came before"):
            await call.transport.open()

    run_virtual(main())


def test_a_far_side_that_leaves_before_the_start_is_an_error_and_the_socket_is_left_alone() -> None:
    async def main() -> None:
        call = Call()
        call.socket.leave()
        with pytest.raises(ProtocolError):
            await call.transport.open()
        await call.transport.shut()
        assert call.socket.closed is None

    run_virtual(main())


def test_audio_goes_out_a_lead_at_once_and_then_every_20_ms() -> None:
    async def main() -> None:
        async with started() as call:
            call.port.play(SECOND)
            began = now()
            await asyncio.sleep(1.5)
            times = [at - began for at in call.media_times()]
        assert len(times) == 50
        assert times[5] - times[0] == pytest.approx(0.0, abs=1e-6)
        assert times[0] <= 0.02
        gaps = np.diff(times[6:])
        assert np.allclose(gaps, 0.02, atol=1e-5)

    run_virtual(main())


def test_an_answer_goes_out_when_its_sound_is_ready_and_who_has_nothing_to_say_seldom_looks() -> None:
    async def main() -> None:
        async with started() as call:
            await asyncio.sleep(1.013)
            assert call.port.pulls <= 12, "ten looks a second"
            call.port.play(SECOND[:480])
            await asyncio.sleep(0.2)
            assert call.media_times() == [pytest.approx(now() - 0.2)] * 3
            assert call.marks() == ["0:1"]

    run_virtual(main())


class SilentLine(TwilioWire):
    """One that is filled with silence between answers."""

    sends_silence = True
    lead_s = 0.0


def test_a_line_that_is_filled_with_silence_keeps_its_pace() -> None:
    async def main() -> None:
        call = Call(SilentLine())
        call.socket.put(START)
        await call.transport.open()
        running = asyncio.create_task(call.transport.run(call.port))
        await asyncio.sleep(1.013)
        call.port.play(SECOND)
        await asyncio.sleep(0.5)
        call.transport.close("test over")
        await running
        assert call.port.pulls == pytest.approx(1.5 / 0.02, abs=2)
        assert min(np.diff(call.media_times())) == pytest.approx(0.02, abs=1e-5)

    run_virtual(main())


def test_a_reply_is_followed_by_one_mark() -> None:
    async def main() -> None:
        async with started() as call:
            call.port.play(SECOND[:1600])
            await asyncio.sleep(1)
            call.port.play(SECOND[:1600])
            await asyncio.sleep(1)
            assert call.marks() == ["0:1", "0:2"]
            names = [message["event"] for _, message in call.socket.sent]
            assert names == (["media"] * 10 + ["mark"]) * 2

    run_virtual(main())


def test_what_is_unplayed_runs_down_by_the_clock_without_any_echo() -> None:
    async def main() -> None:
        async with started() as call:
            call.port.play(SECOND)
            await asyncio.sleep(0.5)
            assert 720 <= call.transport.unplayed_samples() <= 960
            await asyncio.sleep(1.0)
            assert call.transport.unplayed_samples() == 0

    run_virtual(main())


def test_the_echo_of_a_mark_proves_what_was_played_before_it() -> None:
    async def main() -> None:
        async with started() as call:
            call.port.play(SECOND[:480])
            await asyncio.sleep(0.021)
            assert call.transport.unplayed_samples() > 0
            call.echo("0:1")
            await asyncio.sleep(0.001)
            assert call.transport.unplayed_samples() == 0

    run_virtual(main())


def test_clear_leaves_at_once_ahead_of_any_later_audio_and_says_what_is_lost() -> None:
    async def main() -> None:
        async with started() as call:
            call.port.play(SECOND)
            await asyncio.sleep(0.3)
            sent = len(call.media_times())
            unplayed, before = call.transport.unplayed_samples(), now()
            assert call.transport.clear() == unplayed > 0
            assert call.transport.unplayed_samples() == 0
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            ((at, _),) = call.socket.events("clear")
            assert at == before
            assert call.socket.sent[sent][1]["event"] == "clear"

    run_virtual(main())


def test_a_mark_that_a_clear_gave_back_proves_nothing() -> None:
    async def main() -> None:
        async with started() as call:
            call.port.play(SECOND[:480])
            await asyncio.sleep(0.021)
            call.transport.clear()
            call.port.play(SECOND)
            await asyncio.sleep(0.021)
            unplayed = call.transport.unplayed_samples()
            call.echo("0:1")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert call.transport.unplayed_samples() == unplayed > 0
            await asyncio.sleep(2)
            assert call.marks() == ["0:1", "1:2"]

    run_virtual(main())


def test_audio_not_yet_written_when_a_clear_comes_is_never_sent_and_counts_as_lost() -> None:
    async def main() -> None:
        async with started() as call:
            call.socket.readable.clear()
            call.port.play(SECOND)
            await asyncio.sleep(0.3)
            pulled = 8000 - call.port.left
            assert call.transport.clear() >= pulled - 320 - 160
            call.socket.readable.set()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            names = [message["event"] for _, message in call.socket.sent]
            assert names[:2] == ["media", "clear"]

    run_virtual(main())


def test_a_clear_before_anything_was_sent_sends_nothing() -> None:
    async def main() -> None:
        async with started() as call:
            assert call.transport.clear() == 0
            await asyncio.sleep(0.1)
            assert call.socket.sent == []

    run_virtual(main())


def test_a_far_side_that_does_not_read_is_hung_up_on() -> None:
    async def main() -> None:
        call = Call()
        call.socket.put(START)
        await call.transport.open()
        call.socket.readable.clear()
        call.port.play(np.tile(SECOND, 10))
        await call.transport.run(call.port)
        assert call.port.hang_ups[0] == "the far end reads too slowly"
        assert now() < OUTBOX_LIMIT * 0.02 + 2.1

    run_virtual(main())


def test_the_callers_speech_arrives_at_16_khz_and_keeps_its_length() -> None:
    async def main() -> None:
        async with started() as call:
            for n in range(1, 51):
                call.speak(n, 4000)
            await asyncio.sleep(0.1)
            speech = call.port.heard_speech()
            assert len(speech) == 16_000
            assert np.abs(speech[400:] - 4000).max() < 200

    run_virtual(main())


def test_lost_chunks_become_silence_and_doubled_ones_are_dropped() -> None:
    async def main() -> None:
        async with started() as call:
            for n in [1, 2, 2, 5, 4, 6, 7, 8, 9, 10]:
                call.speak(n, 4000)
            await asyncio.sleep(0.1)
            speech = call.port.heard_speech()
            assert len(speech) == 3200
            assert np.abs(speech[2 * 320 + 60 : 3 * 320 - 60]).max() < 100

    run_virtual(main())


def test_digits_reach_the_call() -> None:
    async def main() -> None:
        async with started() as call:
            call.socket.put(DTMF)
            await asyncio.sleep(0.1)
            assert call.port.digits == ["5"]

    run_virtual(main())


def test_unknown_messages_are_counted_and_the_call_goes_on() -> None:
    async def main() -> None:
        async with started() as call:
            call.socket.put({"event": "tea"})
            call.socket.put(DTMF)
            await asyncio.sleep(0.1)
            assert call.transport.ignored_messages == 1
            assert call.port.digits == ["5"]

    run_virtual(main())


def test_stop_hangs_up_and_closes_the_socket() -> None:
    async def main() -> None:
        async with started() as call:
            call.socket.put(STOP)
            await asyncio.sleep(0.1)
            assert call.port.hang_ups[0] == "the caller hung up"
            assert call.socket.closed == (1000, "the caller hung up")
            assert not call.transport.ended_by_us

    run_virtual(main())


def test_a_killed_client_ends_the_call_without_a_goodbye() -> None:
    async def main() -> None:
        async with started() as call:
            call.port.play(SECOND)
            await asyncio.sleep(0.1)
            call.socket.leave()
            await asyncio.sleep(0.1)
            assert call.port.hang_ups
            assert call.socket.closed is None

    run_virtual(main())


@pytest.mark.parametrize(
    ("message", "code"),
    [("{", 1007), (changed(MEDIA, "media.payload", "%"), 1007), (START, 1002), ([], 1007)],
)
def test_bad_messages_end_the_call_with_a_close_code_and_words(message: object, code: int) -> None:
    async def main() -> None:
        async with started() as call:
            call.socket.put(message)  # type: ignore[arg-type]
            await asyncio.sleep(0.1)
            assert call.socket.closed is not None
            assert call.socket.closed[0] == code
            assert call.socket.closed[1] == call.port.hang_ups[0]

    run_virtual(main())


def test_a_binary_message_ends_the_call_as_unsupported() -> None:
    async def main() -> None:
        async with started() as call:
            call.socket.put_bytes(b"\x00\x01")
            await asyncio.sleep(0.1)
            assert call.socket.closed is not None
            assert call.socket.closed[0] == 1003

    run_virtual(main())


def test_a_close_reason_is_cut_to_what_a_close_frame_holds() -> None:
    async def main() -> None:
        async with started() as call:
            call.transport.close("ä" * 200)
            await asyncio.sleep(0.1)
            assert call.socket.closed == (1000, "ä" * 61)

    run_virtual(main())


def test_closing_from_our_side_sends_what_is_queued_first() -> None:
    async def main() -> None:
        async with started() as call:
            call.port.play(SECOND[:480])
            await asyncio.sleep(0.0205)
            call.transport.close("done")
            await asyncio.sleep(0.1)
            assert len(call.media_times()) == 3
            assert call.socket.closed == (1000, "done")
            assert call.transport.ended_by_us

    run_virtual(main())


def test_a_far_side_that_takes_no_goodbye_is_left_after_two_seconds() -> None:
    async def main() -> None:
        call = Call()
        call.socket.put(START)
        await call.transport.open()
        call.socket.readable.clear()
        call.transport.close("done")
        await call.transport.run(call.port)
        assert now() == pytest.approx(2.0, abs=0.01)

    run_virtual(main())


def test_cancelling_the_call_still_closes_the_socket() -> None:
    async def main() -> None:
        call = Call()
        call.socket.put(START)
        await call.transport.open()
        task = asyncio.get_running_loop().create_task(call.transport.run(call.port))
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.wait([task])
        assert call.socket.closed is not None
        assert call.port.hang_ups == ["the socket has closed"]

    run_virtual(main())


def test_a_short_socket_takes_no_step_of_the_loop_either_way() -> None:
    async def main() -> None:
        async with started(FakeShortSocket()) as call:
            call.speak(1, 4000)
            assert len(call.port.heard_speech()) == 320
            call.port.play(SECOND)
            await asyncio.sleep(0.1)
            call.transport.clear()
            assert [message["event"] for _, message in call.socket.sent][-1] == "clear"
            call.socket.put(STOP)
            assert call.port.hang_ups == ["the caller hung up"]

    run_virtual(main())


def test_what_a_short_socket_cannot_take_at_once_keeps_its_order() -> None:
    async def main() -> None:
        async with started(FakeShortSocket()) as call:
            call.port.play(SECOND[:320])
            call.socket.readable.clear()
            await asyncio.sleep(0.05)
            assert call.socket.sent == []
            call.socket.readable.set()
            call.transport.clear()
            await asyncio.sleep(0.05)
            assert [message["event"] for _, message in call.socket.sent] == ["media", "clear"]

    run_virtual(main())


def test_an_error_of_ours_over_a_short_socket_ends_the_call_and_not_the_reading_of_the_socket() -> None:
    async def main() -> None:
        call = Call(socket=FakeShortSocket())
        call.socket.put(START)
        await call.transport.open()

        def broken(_digit: str) -> None:
            raise AssertionError("a bug")

        call.port.push_digit = broken  # type: ignore[method-assign]
        running = asyncio.create_task(call.transport.run(call.port))
        await asyncio.sleep(0)
        call.socket.put(DTMF)
        with pytest.raises(AssertionError, match="a bug"):
            await running
        assert call.socket.closed == (1011, "internal error")

    run_virtual(main())


def test_what_breaks_the_protocol_over_a_short_socket_closes_it_with_the_code() -> None:
    async def main() -> None:
        async with started(FakeShortSocket()) as call:
            call.socket.put("{")
            await asyncio.sleep(0.01)
            assert call.socket.closed is not None
            assert call.socket.closed[0] == 1007

    run_virtual(main())
