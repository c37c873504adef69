"""The numbers that benchmarks print."""

from __future__ import annotations

import pytest

from benchmarks.report import print_progress, rates_table, spread


def test_a_spread_has_median_minimum_and_maximum() -> None:
    assert spread([3.0, 1.0, 2.0]) == "median 2.000 (min 1.000, max 3.000)"
    assert spread([1.25, 1.75], 1) == "median 1.5 (min 1.2, max 1.8)"


def test_rates_are_compared_within_each_round() -> None:
    """The ratio is the median of the rounds' ratios, not the ratio of the medians."""
    rounds = [{"ours": 10.0, "theirs": 20.0}, {"ours": 1.0, "theirs": 4.0}]
    assert rates_table("tokens/s", rounds).splitlines() == [
        "tokens/s:",
        "  ours   median 5.5 (min 1.0, max 10.0), ratio 1.00",
        "  theirs median 12.0 (min 4.0, max 20.0), ratio 3.00",
    ]


def test_progress_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    print_progress("half done")
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "half done\n")
