"""A minute of the soak's mixed load; the hours are ``python -m benchmarks.soak``."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from benchmarks.mixed_load import KINDS
from benchmarks.soak import report_text, soak
from tests.support.launch import KEY, Launch


@pytest.mark.alone
def test_a_minute_of_mixed_load(server: Launch, tmp_path: Path) -> None:
    """Every request of every kind gets what it must; every process lives and is read."""
    out = tmp_path / "soak.csv"
    report = asyncio.run(soak(server, KEY, seconds=60, rate=6, seed=5, out=out))
    assert not report.faults, report_text(report)
    assert set(report.counts) == set(KINDS)
    assert {"entrypoint", "API server", "engine core"} <= {one.process for one in report.grown}
    readings = out.read_text().splitlines()
    assert readings[0].startswith("seconds,process,pid,held,")
    assert len(readings) > 6 * len(report.grown)
