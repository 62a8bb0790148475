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
from voicebot.transports.webrtc_media import FRAME_SAMPLES, LATE_FRAMES, RATE_HZ, BotTrack

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


def test_copies_against_loss_come_at_once_and_go_slowly() -> None:
    track, _ = talking()
    seen = []
    for percent in (0, 12, 3, 0, 0, 90):
        track.note_loss(percent)
        seen.append(track.loss_percent)
    assert seen == [0, 12, 6, 3, 1, 30]
