"""The bot's packets: their clock in virtual time, and what is heard of them."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError

from tests.transports.fakes import FakePort
from tests.virtual_time import run
from voicebot.core.audio import dbfs
from voicebot.transports.opus import OpusDecoder
from voicebot.transports.webrtc_media import EARLY_S, FRAME_SAMPLES, LATE_FRAMES, RATE_HZ, STEADY_S, BotTrack

TONE = (8000 * np.sin(2 * np.pi * 450 * np.arange(RATE_HZ) / RATE_HZ)).astype(np.int16)


def talking() -> tuple[BotTrack, FakePort]:
    track, port = BotTrack(), FakePort()
    track.port = port
    return track, port


async def packets(track: BotTrack, count: int, busy_s: float = 0.0) -> list[tuple[float, int, bytes]]:
    """When each came, its RTP time stamp and its bytes. `busy_s`: what aiortc takes between two."""
    out = []
    for _ in range(count):
        packet = await track.recv()
        assert packet.pts is not None
        out.append((asyncio.get_running_loop().time(), packet.pts, bytes(packet)))
        await asyncio.sleep(busy_s)
    return out


def test_the_clock_is_twenty_milliseconds_and_does_not_drift_in_a_minute() -> None:
    async def main() -> None:
        sent = await packets(talking()[0], 3001, busy_s=0.003)
        assert [stamp for _, stamp, _ in sent] == [n * 960 for n in range(3001)]
        assert sent[-1][0] - sent[0][0] == pytest.approx(60.0)
        assert max(abs(at - sent[0][0] - n * 0.02) for n, (at, _, _) in enumerate(sent)) < 1e-6

    run(main())


def test_after_a_stall_a_few_frames_are_made_up_for_and_the_rest_is_skipped_on_the_stamps_too() -> None:
    async def main() -> None:
        track, _ = talking()
        await packets(track, 10)
        await asyncio.sleep(2 * LATE_FRAMES * 0.02)
        late = await packets(track, 1)
        assert late[0][1] == 960 * round(late[0][0] / 0.02)
        await asyncio.sleep((LATE_FRAMES - 1) * 0.02)
        caught_up = await packets(track, LATE_FRAMES)
        assert [stamp - late[0][1] for _, stamp, _ in caught_up] == [960 * n for n in range(1, LATE_FRAMES + 1)]

    run(main())


def test_a_silent_bot_sends_one_packet_over_and_over_which_is_silence_and_its_next_word_is_whole() -> None:
    async def main() -> None:
        track, port = talking()
        port.play(TONE)
        spoken = await packets(track, RATE_HZ // FRAME_SAMPLES)
        quiet = await packets(track, 100)
        port.play(TONE)
        again = await packets(track, 25)
        assert len({data for _, _, data in quiet[20:]}) == 1
        decoder = OpusDecoder(16_000)
        heard = [decoder.decode(data) for _, _, data in (*spoken, *quiet, *again)]
        assert max(dbfs(pcm) for pcm in heard[50 + 12 : 150]) < -80
        assert min(dbfs(pcm) for pcm in heard[151:]) == pytest.approx(dbfs(TONE), abs=1.5)

    run(main())


def test_a_stopped_track_yields_its_end_and_pulls_nothing_more() -> None:
    async def main() -> None:
        track, port = talking()
        await packets(track, 3)
        track.stop()
        with pytest.raises(MediaStreamError):
            await track.recv()
        assert port.pulls == 3

    run(main())


def test_a_voice_that_is_stopped_and_goes_on_in_the_middle_of_a_sound_does_not_click() -> None:
    track, port = talking()
    heard = []
    for start in (13, 21):
        port.play(TONE[start : start + 5 * FRAME_SAMPLES])
        frames = [track.next_frame(0.0) for _ in range(8)]
        assert [frame is None for frame in frames] == [False] * 6 + [True] * 2
        heard += [frame if frame is not None else np.zeros(FRAME_SAMPLES, np.int16) for frame in frames]
    steps = np.abs(np.diff(np.concatenate(heard).astype(np.int32)))
    assert abs(int(TONE[12 + 5 * FRAME_SAMPLES])) > 6000, "it was stopped at the height of a wave"
    assert steps.max() <= 1.1 * np.abs(np.diff(TONE.astype(np.int32))).max()
    assert np.array_equal(heard[2], TONE[13 + 2 * FRAME_SAMPLES : 13 + 3 * FRAME_SAMPLES])


async def followed(track: BotTrack, arrivals: list[float], last_s: float) -> tuple[list[float], list[int]]:
    """When packets went out, and their stamps, where the caller's came at `arrivals`."""
    loop = asyncio.get_running_loop()
    for at in arrivals:
        loop.call_at(at, track.follow)
    out, stamps = [], []
    while loop.time() < last_s:
        packet = await track.recv()
        assert packet.pts is not None
        out.append(loop.time())
        stamps.append(packet.pts)
    return out, stamps


@pytest.mark.parametrize("phase_s", [0.001, 0.008, 0.013, 0.019])
def test_its_packets_soon_go_out_with_the_callers_and_none_is_left_out(phase_s: float) -> None:
    async def main() -> None:
        arrivals = [phase_s + 0.02 * n for n in range(100)]
        out, stamps = await followed(talking()[0], arrivals, 2.0)
        assert set(arrivals[12:]) <= set(out[12:])
        assert max(np.diff(out)) < 0.02 + EARLY_S, "nobody's buffer runs dry"
        assert stamps == [960 * n for n in range(len(stamps))]

    run(main())


def test_a_caller_whose_packets_come_unevenly_is_followed_by_the_median_and_a_burst_by_one_packet() -> None:
    async def main() -> None:
        jitter = [0.0, 0.002, 0.001, 0.009, 0.0, 0.001, 0.002, 0.014]
        arrivals = [0.011 + 0.02 * n + jitter[n % 8] for n in range(200)]
        out, _ = await followed(talking()[0], [*arrivals, *[4.2] * 5], 4.6)
        steps = np.diff(out[20:])
        assert min(steps) > EARLY_S and max(steps) < 0.02 + EARLY_S
        assert np.mean(steps) == pytest.approx(0.02, abs=1e-4)
        waited = [min(at for at in out if at >= came - 1e-9) - came for came in arrivals[20:-1]]
        assert np.mean(np.less(waited, 1e-6)) > 0.7, "all but those behind the late quarter go out at once"

    run(main())


def test_the_clock_stands_while_the_bot_speaks() -> None:
    """Steps that nobody hears in silence would be heard in a word."""

    async def main() -> None:
        track, port = talking()
        port.play(np.tile(TONE, 2))
        out, _ = await followed(track, [0.0095 + 0.02 * n for n in range(95)], 1.9)
        assert np.allclose(np.diff(out), 0.02)

    run(main())


def test_without_the_callers_packets_it_keeps_its_own_time() -> None:
    async def main() -> None:
        arrivals = [0.004 + 0.02 * n for n in range(50)]
        out, _ = await followed(talking()[0], arrivals, 3.0)
        alone = [at for at in out if at > 1.05]
        assert np.allclose(np.diff(alone), 0.02, atol=1e-6)
        assert (alone[0] - 0.004 - STEADY_S) % 0.02 == pytest.approx(0, abs=2e-3)

    run(main())


def test_copies_against_loss_come_at_once_and_go_slowly() -> None:
    track, _ = talking()
    seen = []
    for percent in (0, 12, 3, 0, 0, 90):
        track.note_loss(percent)
        seen.append(track.loss_percent)
    assert seen == [0, 12, 6, 3, 1, 30]
