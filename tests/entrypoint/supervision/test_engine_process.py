"""The engine's process tree. The engines here are small scripts."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from entrypoint.shared.handover import RUN_DIRECTORY_VARIABLE, StartRequest
from entrypoint.supervision.engine_process import EngineProcess, adopt_orphans, engine_environment
from tests.support.processes import exists


def run_with(script: str, use: Callable[[EngineProcess], Awaitable[None]]) -> int:
    """Start a script as the engine, use it, and return how it ended."""

    async def run() -> int:
        adopt_orphans()
        loop = asyncio.get_running_loop()
        engine = EngineProcess(
            StartRequest(["model"], None, 1, 0.0), os.environ, None, (sys.executable, "-c", script)
        )
        loop.add_signal_handler(signal.SIGCHLD, engine.reap)
        engine.reap()
        await asyncio.wait_for(use(engine), 30)
        return await asyncio.wait_for(engine.exited, 30)

    return asyncio.run(run())


async def until(path: Path) -> str:
    """Wait for a script to have written a file."""
    while not (path.exists() and path.read_text().endswith("\n")):
        await asyncio.sleep(0.01)
    return path.read_text()


async def _nothing(engine: EngineProcess) -> None:
    await engine.exited
    await engine.end()


def test_its_exit_code_is_known() -> None:
    assert run_with("raise SystemExit(3)", _nothing) == 3


def test_the_signal_that_killed_it_is_known() -> None:
    script = "import os; os.kill(os.getpid(), 9)"
    assert run_with(script, _nothing) == -9


def test_the_start_request_arrives_on_standard_input(tmp_path: Path) -> None:
    script = f"import sys; open({str(tmp_path / 'o')!r}, 'w').write(sys.stdin.read())"
    assert run_with(script, _nothing) == 0
    assert StartRequest.load((tmp_path / "o").read_bytes()) == StartRequest(["model"], None, 1, 0.0)


def test_a_stop_sends_sigterm_first(tmp_path: Path) -> None:
    script = f"""
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
open({str(tmp_path / "up")!r}, "w").write("up\\n")
signal.pause()
"""

    async def use(engine: EngineProcess) -> None:
        await until(tmp_path / "up")
        await engine.stop(30)

    assert run_with(script, use) == 0


def test_an_engine_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    script = f"""
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open({str(tmp_path / "up")!r}, "w").write("up\\n")
while True: signal.pause()
"""

    async def use(engine: EngineProcess) -> None:
        await until(tmp_path / "up")
        await engine.stop(0.2)

    assert run_with(script, use) == -signal.SIGKILL


@pytest.mark.parametrize("drains", [True, False])
def test_a_drained_engine_gets_no_margin(tmp_path: Path, drains: bool) -> None:
    """The margin is for responses: it ends with the last one, or when it is over."""
    script = f"""
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open({str(tmp_path / "up")!r}, "w").write("up\\n")
while True: signal.pause()
"""
    seconds = 0.0

    async def use(engine: EngineProcess) -> None:
        nonlocal seconds
        await until(tmp_path / "up")
        drained = asyncio.Event()
        if drains:
            asyncio.get_running_loop().call_later(0.1, drained.set)
        began = time.monotonic()
        await engine.stop(0.3, drained=drained, margin=60 if drains else 0.5)
        seconds = time.monotonic() - began

    assert run_with(script, use) == -signal.SIGKILL
    assert 0.3 <= seconds < 60 if drains else seconds >= 0.8


def test_no_orphan_is_left(tmp_path: Path) -> None:
    """1. The engine starts a worker in its own session. 2. The engine dies. 3. The worker too."""
    script = f"""
import os, subprocess, sys
worker = subprocess.Popen(
    [sys.executable, "-c", "import signal; signal.signal(15, signal.SIG_IGN); signal.pause()"],
    start_new_session=True,
)
open({str(tmp_path / "pid")!r}, "w").write(f"{{worker.pid}}\\n")
os.kill(os.getpid(), 9)
"""
    run_with(script, _nothing)
    assert not exists(int((tmp_path / "pid").read_text()))


def test_the_environment_has_the_plans_changes_and_the_run_directory(tmp_path: Path) -> None:
    env = engine_environment({"A": "1", "B": "2", "C": "4"}, ["C"], {"B": "3"}, tmp_path)
    assert env == {
        "PYTHONUNBUFFERED": "1",
        "A": "1",
        "B": "3",
        RUN_DIRECTORY_VARIABLE: str(tmp_path),
        "HF_MODULES_CACHE": str(tmp_path / "modules"),
    }


def test_the_users_choice_of_buffering_is_kept(tmp_path: Path) -> None:
    env = engine_environment({"PYTHONUNBUFFERED": ""}, [], {}, tmp_path)
    assert env["PYTHONUNBUFFERED"] == ""
