from __future__ import annotations

import pytest

from tests.carriers.fuzz import fuzz
from tests.carriers.vendors import VENDORS, Vendor


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.name)
def test_mutated_messages_bring_nothing_but_protocol_errors(vendor: Vendor) -> None:
    report = fuzz(vendor, 6_000, seed=7)
    assert report.faults == []
    assert report.refused > 500 and report.understood > 500, "the mutator has lost its bite"
    assert report.slowest_s < 2.0
