"""A process and its descendants are paused, resumed and ended together."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from benchmarks.pausable import PausableProcess
from tests.support.launch import descendants
from tests.support.processes import wait_until_ended

PAUSED = "T"


def paused(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == PAUSED


def wait_until_paused(pids: Collection[int]) -> None:
    """Wait for the effect of SIGSTOP, which the kernel delays on a busy machine."""
    deadline = time.monotonic() + 10
    while not all(map(paused, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


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
    wait_until_paused(pids)
    with tree.running():
        assert not any(map(paused, pids))
    wait_until_paused(pids)
    tree.resume()
    assert not any(map(paused, pids))


def test_a_paused_process_can_be_terminated(process: subprocess.Popen[str]) -> None:
    tree = PausableProcess(process)
    sleeping = next(pid for pid in descendants(process.pid) if pid != process.pid)
    tree.pause()
    tree.terminate()
    assert process.returncode == -signal.SIGTERM
    os.kill(sleeping, signal.SIGKILL)


def test_kill_ends_the_descendants_too(process: subprocess.Popen[str]) -> None:
    pids = descendants(process.pid)
    PausableProcess(process).kill()
    assert process.returncode == -signal.SIGKILL
    for pid in pids:
        wait_until_ended(pid)
