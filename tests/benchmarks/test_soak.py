"""The windows in which a soak compares the memory."""

from __future__ import annotations

from benchmarks.soak import windows


def test_two_hours_are_judged_by_five_minutes() -> None:
    assert windows(7200) == ((600, 900), (6900, 7200))


def test_a_minute_is_judged_by_ten_seconds() -> None:
    assert windows(60) == ((20, 30), (50, 60))
