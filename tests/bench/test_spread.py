from __future__ import annotations

import math

from voicebot.bench.spread import percentile, spread


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(value) for value in range(1, 101)]
    assert (percentile(values, 0.5), percentile(values, 0.95), percentile(values, 1.0)) == (50.0, 95.0, 100.0)
    assert percentile([7.0], 0.99) == 7.0


def test_of_nothing_nothing_is_known() -> None:
    assert spread([]).n == 0
    assert math.isnan(spread([]).p50)
