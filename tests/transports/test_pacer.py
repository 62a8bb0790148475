from __future__ import annotations

import pytest

from voicebot.transports.pacer import Pacer


def send_until_full(pacer: Pacer, now: float) -> int:
    sent = 0
    while pacer.due(now):
        pacer.sent(now)
        sent += 1
    return sent


def test_the_first_frames_go_at_once_up_to_the_lead() -> None:
    assert send_until_full(Pacer(lead_s=0.1), now=7.0) == 6


def test_then_one_frame_goes_every_20_ms_without_drift() -> None:
    pacer, now, sent = Pacer(lead_s=0.1), 5.0, 0
    while now < 65.0:
        sent += send_until_full(pacer, now)
        now = max(pacer.next_at, now + 0.003)
    assert sent == pytest.approx(60 / 0.02 + 6, abs=1)


def test_on_a_clock_of_whole_milliseconds_a_frame_is_due_on_one() -> None:
    pacer, now = Pacer(lead_s=0.1), 5499.702
    for _ in range(500):
        send_until_full(pacer, now)
        assert pacer.next_at == round(pacer.next_at, 3) > now
        now = pacer.next_at


def test_after_a_stall_no_more_than_the_lead_goes_at_once() -> None:
    pacer = Pacer(lead_s=0.1)
    send_until_full(pacer, 0.0)
    assert send_until_full(pacer, 3.0) == 6


def test_when_there_is_nothing_to_send_it_looks_again_in_20_ms() -> None:
    pacer = Pacer()
    pacer.idle(2.0)
    assert not pacer.due(2.019)
    assert pacer.due(2.02)


def test_who_is_told_of_sound_looks_less_often_but_not_while_the_far_end_still_plays() -> None:
    pacer = Pacer(lead_s=0.1)
    pacer.idle(2.0, look_s=0.5)
    assert pacer.next_at == 2.5
    pacer.wanted()
    assert pacer.due(2.0)
    pacer.sent(2.0)
    pacer.idle(2.01, look_s=0.5)
    assert pacer.next_at == pytest.approx(2.03)


def test_what_the_far_end_still_has_runs_down_with_the_clock_and_never_below_nothing() -> None:
    pacer = Pacer(lead_s=0.1)
    send_until_full(pacer, 1.0)
    assert pacer.unplayed_s(1.0) == pytest.approx(0.12)
    assert pacer.unplayed_s(1.05) == pytest.approx(0.07)
    assert pacer.unplayed_s(9.0) == 0.0


def test_a_confirmation_can_only_shorten_what_is_left() -> None:
    pacer = Pacer(lead_s=0.1)
    send_until_full(pacer, 1.0)
    pacer.confirm(1.02, after_s=5.0)
    assert pacer.unplayed_s(1.02) == pytest.approx(0.1)
    pacer.confirm(1.02, after_s=0.04)
    assert pacer.unplayed_s(1.02) == pytest.approx(0.04)


def test_after_a_clear_the_far_end_has_nothing_and_gets_a_full_lead_again() -> None:
    pacer = Pacer(lead_s=0.1)
    send_until_full(pacer, 1.0)
    pacer.cleared(1.03)
    assert pacer.unplayed_s(1.03) == 0.0
    assert send_until_full(pacer, 1.03) == 6
