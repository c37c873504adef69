"""Connections of random framing, in pieces: a short run of the benchmark."""

from __future__ import annotations

import random

from benchmarks.framing import random_cases, random_cuts, run
from tests.support.framing import MARKER


def test_no_connection_is_desynchronized() -> None:
    lines: list[str] = []
    report = run(500, 7, lines.append)
    assert report.connections == 500
    assert report.requests > 1000
    assert report.ends[200] > 250
    assert report.ends[400] > 25
    assert not report.faults
    assert report.text().endswith("0 desynchronized")
    assert lines[-1] == "500 of 500 connections, 0 desynchronized"


def test_a_seed_makes_the_same_connections() -> None:
    first, second = ([random_cases(random.Random(5)) for _ in range(3)] for _ in range(2))
    assert first == second


def test_cuts_are_inside_of_what_is_sent() -> None:
    rng = random.Random(3)
    for _ in range(100):
        cases = random_cases(rng)
        cuts = random_cuts(rng, cases)
        assert cuts == sorted(set(cuts))
        assert all(0 < cut < sum(len(case.data) for case in cases) + len(MARKER) for cut in cuts)
