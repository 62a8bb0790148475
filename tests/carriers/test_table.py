"""The table of docs/telephony/table.md, filled anew: what it promises must hold."""

from __future__ import annotations

import asyncio

import pytest

from tests.carriers.table import fill, table
from tests.carriers.vendors import VENDORS

CLEAR_MS = 600
"""Bound on a machine that does other things too; the table in the docs has the figures of a quiet one."""


@pytest.mark.realtime
def test_every_vendor_talks_presses_interrupts_hangs_up_and_refuses() -> None:
    rows = asyncio.run(fill(VENDORS, at_once=4))
    shown = table(rows)
    assert [row.faults for row in rows] == [[]] * len(VENDORS), shown
    for row in rows:
        assert row.talk_ms is not None and row.clear_ms is not None and row.word_error is not None, shown
        assert row.clear_ms <= CLEAR_MS, shown
        assert abs(row.word_error) <= 1, shown
        assert row.digits is not False, shown
        assert row.hang_up and row.refused in ("403", "closed") and row.survived == "yes", shown
