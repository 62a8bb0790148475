"""The call's mouth: what is pulled, what is taken back on a pause, and what counts as heard."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from tests.virtual_time import run
from voicebot.speaker import KEPT_S, MAX_QUEUED_S, Speaker
from voicebot.transports.base import Pcm

RATE_HZ = 8000
FRAME = 160


class FakeWire:
    """Holds what it is told to; `gives_back` says whether the far end can drop it."""

    kind = "fake"
    playout_rate_hz = RATE_HZ
    narrowband = False

    def __init__(self, gives_back: bool = True) -> None:
        self.unplayed = 0
        self.clears = 0
        self.told_ready = 0
        self._gives_back = gives_back

    def unplayed_samples(self) -> int:
        return self.unplayed

    def sound_ready(self) -> None:
        self.told_ready += 1

    def clear(self) -> int:
        self.clears += 1
        if not self._gives_back:
            return 0
        dropped, self.unplayed = self.unplayed, 0
        return dropped

    def send_event(self, event: dict[str, Any]) -> None:
        """It has no screen."""

    def close(self, reason: str) -> None:
        """It has no end."""


def ramp(start: int, stop: int) -> Pcm:
    """Samples whose values are their positions."""
    return np.arange(start, stop, dtype=np.int16)


def playing(wire: FakeWire, samples: int = 10 * FRAME) -> Speaker:
    speaker = Speaker(wire)
    speaker.queue(1, ramp(1, samples + 1))
    speaker.start(1)
    return speaker


def pulled(speaker: Speaker) -> list[int]:
    pcm = speaker.pull(FRAME)
    assert pcm is not None
    return [int(pcm[0]), int(pcm[-1])]


def test_a_held_reply_is_silent_until_it_starts() -> None:
    speaker = Speaker(FakeWire())
    speaker.queue(1, ramp(1, 500))
    assert speaker.pull(FRAME) is None
    speaker.start(1)
    assert pulled(speaker) == [1, 160]
    assert pulled(speaker) == [161, 320]


def test_late_sound_is_a_pause_and_not_a_torn_word() -> None:
    speaker = playing(FakeWire(), samples=FRAME + 10)
    assert pulled(speaker) == [1, 160]
    assert speaker.pull(FRAME) is None
    speaker.queue(1, ramp(171, 400))
    assert pulled(speaker) == [161, 320]


def test_the_last_frame_is_filled_with_silence() -> None:
    speaker = playing(FakeWire(), samples=FRAME + 10)
    speaker.complete(1)
    speaker.pull(FRAME)
    last = speaker.pull(FRAME)
    assert last is not None
    assert last[:11].tolist() == [*range(161, 171), 0] and not last[10:].any()
    assert speaker.pull(FRAME) is None


def test_a_resume_goes_on_at_the_first_sample_that_a_clearing_far_end_had_not_played() -> None:
    wire = FakeWire()
    speaker = playing(wire)
    for _ in range(4):
        speaker.pull(FRAME)
    wire.unplayed = 2 * FRAME + 40
    speaker.pause(1)
    assert wire.clears == 1
    assert speaker.pull(FRAME) is None
    assert speaker.heard_samples() == 2 * FRAME - 40
    speaker.resume(1)
    assert pulled(speaker)[0] == 2 * FRAME - 40 + 1


def test_a_resume_repeats_nothing_that_a_far_end_keeps_and_plays() -> None:
    wire = FakeWire(gives_back=False)
    speaker = playing(wire)
    for _ in range(4):
        speaker.pull(FRAME)
    wire.unplayed = 3 * FRAME
    speaker.pause(1)
    assert speaker.heard_samples() == 4 * FRAME
    speaker.resume(1)
    assert pulled(speaker)[0] == 4 * FRAME + 1


def test_a_pause_of_another_reply_or_a_second_one_changes_nothing() -> None:
    wire = FakeWire()
    speaker = playing(wire)
    speaker.pause(2)
    assert wire.clears == 0
    speaker.pause(1)
    speaker.pause(1)
    assert wire.clears == 1


def test_a_cleared_reply_is_gone_at_the_far_end_too() -> None:
    wire = FakeWire()
    speaker = playing(wire)
    speaker.pull(FRAME)
    speaker.clear(1)
    assert wire.clears == 1
    assert speaker.pull(FRAME) is None and speaker.live is None and speaker.heard_samples() == 0
    speaker.queue(2, ramp(1000, 1400))
    speaker.start(2)
    assert pulled(speaker)[0] == 1000


def test_clearing_a_paused_reply_clears_the_far_end_only_once() -> None:
    wire = FakeWire()
    speaker = playing(wire)
    speaker.pause(1)
    speaker.clear(1)
    assert wire.clears == 1


def test_dropping_a_held_reply_leaves_the_live_one_alone() -> None:
    speaker = playing(FakeWire())
    speaker.queue(2, ramp(1, 400))
    speaker.drop(2)
    assert pulled(speaker) == [1, 160]


def test_heard_never_runs_back() -> None:
    wire = FakeWire()
    speaker = playing(wire)
    speaker.pull(FRAME)
    assert speaker.heard_samples() == FRAME
    wire.unplayed = FRAME
    assert speaker.heard_samples() == FRAME


def test_the_first_pull_is_told_once() -> None:
    speaker = playing(FakeWire())
    assert speaker.begun() is None
    speaker.pull(FRAME)
    assert speaker.begun() == 1
    assert speaker.begun() is None


def test_a_reply_is_finished_when_all_of_a_complete_one_was_heard() -> None:
    wire = FakeWire()
    speaker = playing(wire, samples=FRAME)
    speaker.pull(FRAME)
    assert speaker.finished() is None
    speaker.complete(1)
    wire.unplayed = 1
    assert speaker.finished() is None
    wire.unplayed = 0
    assert speaker.finished() == 1


def test_a_paused_reply_and_one_without_sound_do_not_finish() -> None:
    speaker = playing(FakeWire(), samples=FRAME)
    speaker.complete(1)
    speaker.pull(FRAME)
    speaker.pause(1)
    assert speaker.finished() is None
    silent = Speaker(FakeWire())
    silent.start(7)
    silent.complete(7)
    assert silent.finished() is None


def test_a_long_reply_is_heard_whole_with_pauses_that_go_back_and_its_far_past_is_forgotten() -> None:
    wire = FakeWire()
    speaker = Speaker(wire)
    speaker.start(1)
    heard: list[int] = []
    for n in range(150):
        speaker.queue(1, ramp(n * 200, (n + 1) * 200))
        sound = speaker.pull(FRAME)
        assert sound is not None
        heard += sound.tolist()
        if n % 40 == 39:
            back = min(len(heard), KEPT_S * RATE_HZ)
            wire.unplayed = int(back)
            speaker.pause(1)
            del heard[len(heard) - int(back) :]
            speaker.resume(1)
    while (rest := speaker.pull(FRAME)) is not None:
        heard += rest.tolist()
    assert heard == list(range(150 * 200 - 150 * 200 % FRAME))
    assert len(speaker._tracks[1].sound) <= 6 * KEPT_S * RATE_HZ


@pytest.mark.parametrize("release", ["pull", "drop"])
def test_the_maker_of_a_long_reply_waits_until_there_is_room(release: str) -> None:
    async def body() -> None:
        speaker = Speaker(FakeWire())
        speaker.start(1)
        speaker.queue(1, np.zeros(int(MAX_QUEUED_S * RATE_HZ), np.int16))
        await speaker.room(1)
        speaker.queue(1, np.zeros(FRAME, np.int16))
        waiting = asyncio.create_task(speaker.room(1))
        await asyncio.sleep(1)
        assert not waiting.done()
        if release == "pull":
            speaker.pull(FRAME)
        else:
            speaker.drop(1)
        await asyncio.sleep(0)
        await asyncio.wait_for(waiting, 1)

    run(body())


def test_the_wire_is_told_of_sound_where_there_was_none_and_not_of_sound_behind_sound() -> None:
    wire = FakeWire()
    speaker = Speaker(wire)
    speaker.queue(1, ramp(0, FRAME))
    assert wire.told_ready == 0, "it is held"
    speaker.start(1)
    assert wire.told_ready == 1
    speaker.queue(1, ramp(0, FRAME))
    assert wire.told_ready == 1
    assert speaker.pull(FRAME) is not None and speaker.pull(FRAME) is not None
    speaker.queue(1, ramp(0, FRAME // 2))
    speaker.queue(1, ramp(0, FRAME // 2))
    assert wire.told_ready == 3, "half a frame is not yet one"
    speaker.pause(1)
    speaker.complete(1)
    assert wire.told_ready == 3
    speaker.resume(1)
    assert wire.told_ready == 4
    speaker.complete(1)
    assert wire.told_ready == 5, "the last frame may be a short one"
