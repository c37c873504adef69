"""The run directory: its reports, its status, and what prevents it."""

import asyncio
from pathlib import Path

import pytest

from entrypoint.errors import MachineError
from entrypoint.shared.handover import (
    RUN_DIRECTORY_VARIABLE,
    Phase,
    read_status,
    report_drained,
    report_phase,
)
from entrypoint.supervision.run_directory import RunDirectory


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    """A run directory in ``tmp_path``, as a process of the engine sees it."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    directory = RunDirectory()
    monkeypatch.setenv(RUN_DIRECTORY_VARIABLE, str(directory.path))
    return directory


async def received(directory: RunDirectory, count: int) -> list[str]:
    """Return this number of reports that the engine's processes have sent."""
    reports: list[str] = []
    done = asyncio.Event()

    def on_report(report: str) -> None:
        reports.append(report)
        if len(reports) == count:
            done.set()

    with directory.reports(on_report):
        await asyncio.to_thread(report_phase, Phase.WEIGHTS)
        await asyncio.to_thread(report_drained)
        await asyncio.wait_for(done.wait(), 10)
    return reports


def test_reports_arrive_in_order(directory: RunDirectory) -> None:
    assert asyncio.run(received(directory, 2)) == ["weights", "drained"]


def test_the_engine_reads_the_status_that_was_written_last(directory: RunDirectory) -> None:
    for phase in ("import", "weights"):
        directory.write_status(
            {"phase": phase, "seconds": 5.0, "seconds_in_phase": 1.0, "phases": {}}
        )
    status = read_status()
    assert status is not None
    assert status["phase"] == "weights"
    assert 1.0 <= status["seconds_in_phase"] < 60


def test_a_status_that_cannot_be_written_is_not_an_error(directory: RunDirectory) -> None:
    directory.remove()
    directory.write_status({"phase": "import"})
    assert read_status() is None


def test_a_removed_directory_leaves_nothing(directory: RunDirectory, tmp_path: Path) -> None:
    directory.write_status({"phase": "import"})
    directory.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("folder", "words"), [("missing", "Cannot create"), ("x" * 120, "is too long")]
)
def test_an_unusable_tmpdir_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, words: str
) -> None:
    if folder != "missing":
        (tmp_path / folder).mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / folder))
    with pytest.raises(MachineError, match=words) as raised:
        RunDirectory()
    assert raised.value.variable == "TMPDIR"
    assert folder == "missing" or list((tmp_path / folder).iterdir()) == []
