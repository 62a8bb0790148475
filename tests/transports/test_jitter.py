from __future__ import annotations

import numpy as np

from voicebot.transports.jitter import ChunkOrder, SampleClock


def chunk(value: int) -> np.ndarray:
    return np.full(160, value, np.int16)


def flat(pieces: list[np.ndarray]) -> list[int]:
    """The value of each 20 ms of the pieces."""
    pcm = np.concatenate(pieces) if pieces else np.zeros(0, np.int16)
    assert len(pcm) % 160 == 0
    return [int(value) for value in pcm[::160]]


def test_chunks_in_order_go_on_at_once() -> None:
    order = ChunkOrder(8000)
    assert [flat(order.push(n, 20 * n, chunk(n))) for n in (5, 6, 7)] == [[5], [6], [7]]
    assert order.lost_samples == order.dropped_chunks == 0


def test_a_doubled_chunk_is_dropped() -> None:
    order = ChunkOrder(8000)
    order.push(1, 0, chunk(1))
    assert order.push(1, 0, chunk(1)) == []
    assert order.dropped_chunks == 1


def test_reordered_chunks_are_put_in_order() -> None:
    order = ChunkOrder(8000)
    order.push(1, 0, chunk(1))
    assert order.push(3, 40, chunk(3)) == []
    assert flat(order.push(2, 20, chunk(2))) == [2, 3]
    assert order.lost_samples == 0


def test_a_lost_chunk_becomes_silence_once_four_later_ones_are_there() -> None:
    order = ChunkOrder(8000)
    order.push(1, 0, chunk(1))
    assert [order.push(n, 20 * (n - 1), chunk(n)) for n in (3, 4, 5)] == [[], [], []]
    assert flat(order.push(6, 100, chunk(6))) == [0, 3, 4, 5, 6]
    assert order.lost_samples == 160
    assert order.push(2, 20, chunk(2)) == []
    assert flat(order.push(7, 120, chunk(7))) == [7]


def test_a_jump_of_the_time_stamps_without_a_missing_chunk_becomes_silence() -> None:
    order = ChunkOrder(8000)
    order.push(1, 0, chunk(1))
    assert flat(order.push(2, 220, chunk(2))) == [0] * 10 + [2]


def test_stamps_that_wander_a_little_change_nothing() -> None:
    order = ChunkOrder(8000)
    stamps = [0, 25, 38, 62, 110, 100, 121]
    assert [flat(order.push(n, at, chunk(n))) for n, at in enumerate(stamps)] == [[n] for n in range(7)]


def test_silence_for_one_hole_is_at_most_two_seconds_and_the_clock_is_then_set_anew() -> None:
    clock = SampleClock(8000)
    assert clock.gap(0, 160, 40) == 0
    assert clock.gap(10**9, 160, 40) == 16_000
    assert clock.gap(10**9 + 160, 160, 40) == 0


def test_a_stamp_that_runs_back_sets_the_clock_anew() -> None:
    clock = SampleClock(48_000)
    clock.gap(96_000, 960, 240)
    assert clock.gap(0, 960, 240) == 0
    assert clock.gap(1920, 960, 240) == 960


def test_it_holds_back_no_more_than_three_chunks_whatever_the_numbers() -> None:
    order = ChunkOrder(8000)
    order.push(1, 0, chunk(1))
    came = sum(len(order.push(n * 1000, 0, chunk(1))) > 0 for n in range(2, 50))
    assert came >= 45
