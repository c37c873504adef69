"""The run directory: its reports, its status, and what prevents it."""

import asyncio
import json
import subprocess
import sys
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
    directory = RunDirectory(tmp_path)
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
    assert "No such file" in str(directory.write_status({"phase": "import"}))
    assert read_status() is None


ON_A_SMALL_DISK = """
import json, pathlib, sys
from entrypoint.errors import MachineError
from entrypoint.supervision.run_directory import RunDirectory

disk = pathlib.Path(sys.argv[1])
status = {"phase": "import", "seconds": 5.0, "seconds_in_phase": 1.0, "phases": {}}

def fill():
    try:
        (disk / "others").write_bytes(bytes(1 << 20))
    except OSError:
        pass

directory = RunDirectory(disk)
directory.write_first_status(status)
fill()
problem = directory.write_status({**status, "phase": "weights"})
shown = json.loads((directory.path / "status.json").read_bytes())
(disk / "others").unlink()
free_again = directory.write_status({**status, "phase": "ready"})
fill()
try:
    RunDirectory(disk).write_first_status(status)
except MachineError as error:
    refused = error.in_words()
print(json.dumps([problem, shown["phase"], free_again, refused]))
"""


def test_a_full_disk_is_noticed_and_still_takes_the_status(tmp_path: Path) -> None:
    """On a real file system of 64 KiB."""
    script = f'mount -t tmpfs -o size=64k small {tmp_path}\nexec "$@"'
    words = ["unshare", "--mount", "sh", "-ec", script, "sh"]
    done = subprocess.run(
        [*words, sys.executable, "-c", ON_A_SMALL_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    problem, shown, free_again, refused = json.loads(done.stdout)
    assert f"Cannot write to {tmp_path}" in problem
    assert "No space left on device" in problem
    assert shown == "weights"
    assert free_again is None
    assert "No space left on device" in refused
    assert "TMPDIR" in refused


def test_a_removed_directory_leaves_nothing(directory: RunDirectory, tmp_path: Path) -> None:
    directory.write_status({"phase": "import"})
    directory.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("folder", "words"), [("missing", "Cannot write to"), ("x" * 120, "is too long")]
)
def test_an_unusable_tmpdir_is_named(tmp_path: Path, folder: str, words: str) -> None:
    if folder != "missing":
        (tmp_path / folder).mkdir()
    with pytest.raises(MachineError, match=words) as raised:
        RunDirectory(tmp_path / folder)
    assert raised.value.variable == "TMPDIR"
    assert folder == "missing" or list((tmp_path / folder).iterdir()) == []
