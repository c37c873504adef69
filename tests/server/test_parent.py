"""Processes that end with their parents. They are small scripts here."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from server.parent import die_with
from tests.support.processes import END_SECONDS, running, wait_until_ended


def test_it_does_not_start_without_its_parent() -> None:
    with pytest.raises(SystemExit):
        die_with(parent=os.getpid(), grace=0)


@pytest.mark.parametrize("how", ["spawn", "fork"])
def test_a_child_of_multiprocessing_ends_after_its_parent(how: str, tmp_path: Path) -> None:
    """1. A process starts another, and that a third. 2. The first is killed. 3. All end.

    A spawned process starts with the main module, like vLLM's; a forked one loads the plugin.
    """
    script = tmp_path / "parent.py"
    script.write_text(f"""
import multiprocessing, os, runpy, sys, time

def below(depth):
    if {how == "fork"}:
        from server import plugin
        plugin.load()
    open({str(tmp_path)!r} + f"/{{depth}}", "w").write(str(os.getpid()) + "\\n")
    if depth:
        multiprocessing.get_context({how!r}).Process(target=below, args=[depth - 1]).start()
    time.sleep(600)

if __name__ == "__main__":
    below(2)
elif __name__ == "__mp_main__":
    import server.engine
    runpy.run_module("server.engine", run_name="__mp_main__")
""")
    parent = subprocess.Popen([sys.executable, str(script)])
    try:
        pids = [int(_wait_for(tmp_path / str(depth))) for depth in (2, 1, 0)]
        assert pids[0] == parent.pid
        assert all(map(running, pids))
    finally:
        parent.kill()
        parent.wait(END_SECONDS)
    for pid in pids[1:]:
        wait_until_ended(pid)


def _wait_for(path: Path) -> str:
    deadline = time.monotonic() + END_SECONDS
    while not (path.exists() and path.read_text().endswith("\n")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return path.read_text()
