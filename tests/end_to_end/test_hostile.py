"""Hostile requests of all kinds; a hundred thousand are ``python -m benchmarks.hostile``."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks.hostile.__main__ import report_text
from benchmarks.hostile.run import run
from benchmarks.report import print_progress
from tests.support.launch import KEY, Launch


@pytest.mark.alone
def test_the_server_survives_hostile_requests_and_lets_none_pass(server: Launch) -> None:
    report = asyncio.run(
        run(
            server,
            KEY,
            requests=1_500,
            seed=5,
            on_progress=print_progress,
            connections=100,
            hold_seconds=15,
        )
    )
    assert not report.findings.faults, report_text(report)
    assert report.findings.sent == 1_500
    assert report.good == 2
    assert {"smuggling", "mutated", "strain on the engine", "schema, negative"} <= set(
        report.findings.counts
    )
