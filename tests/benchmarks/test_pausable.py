"""A process and its descendants are paused, resumed and ended together."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.pausable import PausableProcess
from tests.support.launch import descendants

PAUSED = "T"


def states(pids: dict[int, str]) -> set[str]:
    """Return the states of processes, as in ``/proc/<pid>/stat``."""
    return {Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] for pid in pids}


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    """A shell that has started another process."""
    words = ["sh", "-c", "sleep 600 & echo started; wait"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        started.stdout.readline()
        tree = PausableProcess(started)
        yield started
        if started.poll() is None:
            tree.kill()


def test_the_processes_run_only_during_the_block(process: subprocess.Popen[str]) -> None:
    tree = PausableProcess(process)
    pids = descendants(process.pid)
    assert len(pids) == 2
    tree.pause()
    assert states(pids) == {PAUSED}
    with tree.running():
        assert PAUSED not in states(pids)
    assert states(pids) == {PAUSED}
    tree.resume()
    assert PAUSED not in states(pids)


def test_a_paused_process_can_be_terminated(process: subprocess.Popen[str]) -> None:
    tree = PausableProcess(process)
    sleeping = next(pid for pid in descendants(process.pid) if pid != process.pid)
    tree.pause()
    tree.terminate()
    assert process.returncode == -signal.SIGTERM
    subprocess.run(["kill", str(sleeping)], check=True)


def test_kill_ends_the_descendants_too(process: subprocess.Popen[str]) -> None:
    pids = descendants(process.pid)
    PausableProcess(process).kill()
    assert process.returncode == -signal.SIGKILL
    left = [Path(f"/proc/{pid}/stat") for pid in pids]
    assert all(not stat.exists() or stat.read_text().split()[2] == "Z" for stat in left)
