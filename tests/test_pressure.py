from __future__ import annotations

from voicebot.pressure import OFF_AFTER, ON_AFTER, Pressure


def test_three_looks_in_a_row_are_pressure_and_fewer_are_chance() -> None:
    pressure = Pressure()
    for _ in range(5):
        assert not any(pressure.look(0.2, 0) for _ in range(ON_AFTER - 1))
        assert not pressure.look(0.0, 1)
    assert [pressure.look(0.0, 2) for _ in range(ON_AFTER)] == [False] * (ON_AFTER - 1) + [True]
    assert pressure.pressed


def test_it_ends_only_after_a_long_calm() -> None:
    pressure = Pressure(pressed=True)
    assert not any(pressure.look(0.0, 0) for _ in range(OFF_AFTER - 1))
    assert not pressure.look(0.2, 0)
    assert not any(pressure.look(0.0, 0) for _ in range(OFF_AFTER - 1))
    assert pressure.look(0.0, 0)
    assert not pressure.pressed
