"""Measures the entrypoint: the time of ``plan``, of finding the hardware and of the first answer,
and the peak memory. Compares ``plan`` with importing pydantic-settings.

Run as ``python -m benchmarks.light``. Both sides of the comparison run in turn.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.report import spread
from tests.support.launch import COMMAND, DEMO, DEMO_CACHE, Launch, environment

IMPORT = (sys.executable, "-c", "import pydantic_settings")
PLAN = (str(COMMAND), "plan")
DETECT = (
    "import os, time\n"
    "from entrypoint.hardware.detect import detect_hardware\n"
    "started = time.perf_counter()\n"
    "detect_hardware('auto', os.environ)\n"
    "print(time.perf_counter() - started)\n"
)


def seconds(command: Sequence[str], environ: dict[str, str]) -> float:
    """Return the wall-clock seconds of a process, from start to end."""
    started = time.perf_counter()
    subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def detection(environ: dict[str, str]) -> float:
    """Return the seconds in which a new process finds the hardware, without its imports."""
    command = [sys.executable, "-c", DETECT]
    done = subprocess.run(command, env=environ, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout)


def first_answer(environ: dict[str, str], log: Path) -> tuple[float, int]:
    """Start a launch; return the seconds to the first answer and the peak memory in bytes."""
    launch = Launch(environ, log)
    try:
        answered = launch.until_listening()
        launch.until_phase("import")
        text = Path(f"/proc/{launch.process.pid}/status").read_text()
    finally:
        launch.stop()
    peak = re.search(r"^VmHWM:\s+(\d+) kB$", text, re.MULTILINE)
    assert peak is not None
    return answered, int(peak[1]) * 1024


def main() -> None:
    """Measure, and print the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.light", description=__doc__)
    parser.add_argument("--runs", type=int, default=15, help="number of measured runs of each side")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        environ = environment(home, MODEL_ID=DEMO, HF_HUB_CACHE=str(DEMO_CACHE))
        for command in (IMPORT, PLAN):  # warm the page cache
            seconds(command, environ)
        pairs = [(seconds(IMPORT, environ), seconds(PLAN, environ)) for _ in range(runs)]
        found = [detection(environ) for _ in range(runs)]
        starts = [first_answer(environ, home / "log") for _ in range(5)]
    print(f"cores: {os.cpu_count()}, runs: {runs} pairs, 5 starts")
    print(f"import pydantic_settings, s:   {spread([a for a, _ in pairs])}")
    print(f"inference-server plan, s:      {spread([b for _, b in pairs])}")
    print(f"ratio, pair by pair:           {spread([b / a for a, b in pairs], 2)}")
    print(f"finding the hardware, s:       {spread(found)}")
    print(f"start to first answer, s:      {spread([s for s, _ in starts])}")
    print(f"entrypoint's peak memory, MB:  {spread([m / 1e6 for _, m in starts], 1)}")


if __name__ == "__main__":
    main()
