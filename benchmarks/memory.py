"""The memory, open files and threads of a launch's processes, over time."""

from __future__ import annotations

import contextlib
import csv
import os
import statistics
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from tests.support.launch import descendants

NAMES = (
    ("VLLM::EngineCore", "engine core"),
    ("VLLM::Worker", "worker"),
    ("VLLM::ApiServer", "API server"),
    ("server.engine", "API server"),
    ("resource_tracker", "resource tracker"),
)
"""A part of the command line of each process of the engine, and the process's name here."""

ROOT_NAME = "entrypoint"


class Reading(NamedTuple):
    """One process at one moment; sizes in bytes.

    ``held`` is what the process itself keeps: its anonymous and shared memory, each page divided
    by the processes that share it. Unlike ``pss`` and ``rss``, it excludes files, whose part
    changes when another process maps the same libraries.
    """

    seconds: float
    process: str
    pid: int
    held: int
    rss: int
    pss: int
    private: int
    files: int
    threads: int


class Growth(NamedTuple):
    """How one process's ``held`` memory changed; sizes in bytes, ratios to ``before``."""

    process: str
    before: float
    """The median of the first window."""
    after: float
    """The median of the last window."""
    peak: int
    final: int
    ratio: float
    """``after`` divided by ``before``, minus 1."""
    fitted: float
    """The same, on a line fitted through all readings from the first window on."""
    files: tuple[int, int]
    """Open files in the first reading of the first window and in the last reading."""
    threads: tuple[int, int]


def name_processes(lines: Mapping[int, str], root: int) -> dict[int, str]:
    """Return ``{process id: name}``. Repeated names are numbered."""
    named: dict[int, str] = {}
    for pid in sorted(lines):
        words = lines[pid].split()
        if pid == root:
            name = ROOT_NAME
        else:
            known = [name for mark, name in NAMES if mark in lines[pid]]
            name = known[0] if known else Path(words[0]).name if words else "unknown"
        taken = sum(each == name or each.startswith(f"{name} #") for each in named.values())
        named[pid] = f"{name} #{taken + 1}" if taken else name
    return named


def read_tree(root: int, seconds: float) -> list[Reading]:
    """Return a reading of every process of a tree, except those that end meanwhile."""
    readings = []
    for pid, name in name_processes(descendants(root), root).items():
        with contextlib.suppress(OSError):
            readings.append(_read(pid, name, seconds))
    return readings


def _read(pid: int, name: str, seconds: float) -> Reading:
    folder = Path(f"/proc/{pid}")
    sizes = {}
    for line in (folder / "smaps_rollup").read_text().splitlines()[1:]:
        key, _, value = line.partition(":")
        sizes[key] = int(value.split()[0]) * 1024
    return Reading(
        seconds=round(seconds, 1),
        process=name,
        pid=pid,
        held=sizes["Pss_Anon"] + sizes["Pss_Shmem"],
        rss=sizes["Rss"],
        pss=sizes["Pss"],
        private=sizes["Private_Clean"] + sizes["Private_Dirty"],
        files=len(os.listdir(folder / "fd")),
        threads=len(os.listdir(folder / "task")),
    )


class MemoryLog:
    """Keeps the readings of a process tree, and appends them to a CSV file if one is given.

    Reading waits for a process that changes its memory map, so read in a separate thread.
    """

    def __init__(self, root: int, file: IO[str] | None = None):
        self.readings: list[Reading] = []
        self._root = root
        self._file = file
        self._lock = threading.Lock()
        if file is not None:
            csv.writer(file).writerow(Reading._fields)

    def read(self, seconds: float) -> list[Reading]:
        """Read each process once."""
        with self._lock:
            readings = read_tree(self._root, seconds)
            if self._file is not None:
                csv.writer(self._file).writerows(readings)
                self._file.flush()
            self.readings += readings
        return readings


def growth(
    readings: Sequence[Reading], first: tuple[float, float], last: tuple[float, float]
) -> list[Growth]:
    """Compare two windows of time, each ``(from, to)`` in seconds, for every process.

    Skips a process without a reading in both windows, because it did not run all the time.
    """
    grown = []
    for name in dict.fromkeys(reading.process for reading in readings):
        own = [reading for reading in readings if reading.process == name]
        before = [r for r in own if first[0] <= r.seconds <= first[1]]
        after = [r for r in own if last[0] <= r.seconds <= last[1]]
        if not before or not after:
            continue
        start = statistics.median(r.held for r in before)
        end = statistics.median(r.held for r in after)
        since = [r for r in own if r.seconds >= first[0]]
        grown.append(
            Growth(
                process=name,
                before=start,
                after=end,
                peak=max(r.held for r in own),
                final=own[-1].held,
                ratio=end / start - 1,
                fitted=_fitted(since),
                files=(before[0].files, own[-1].files),
                threads=(before[0].threads, own[-1].threads),
            )
        )
    return grown


def _fitted(readings: Sequence[Reading]) -> float:
    """Return the growth from the first to the last reading on the line fitted through all."""
    if len({reading.seconds for reading in readings}) < 2:
        return 0.0
    slope, intercept = statistics.linear_regression(
        [r.seconds for r in readings], [float(r.held) for r in readings]
    )
    begin, end = readings[0].seconds, readings[-1].seconds
    return slope * (end - begin) / (intercept + slope * begin)


def growth_table(grown: Sequence[Growth]) -> str:
    """Return a table of the growth of each process, with sizes in MB."""
    lines = [
        f"{'process':<18} {'before':>9} {'after':>9} {'peak':>9} {'final':>9}"
        f" {'growth':>8} {'fitted':>8}  {'files':>9}  {'threads':>9}"
    ]
    for one in grown:
        sizes = " ".join(
            f"{size / 1e6:>9.2f}" for size in (one.before, one.after, one.peak, one.final)
        )
        files = f"{one.files[0]}→{one.files[1]}"
        threads = f"{one.threads[0]}→{one.threads[1]}"
        lines.append(
            f"{one.process:<18} {sizes} {one.ratio:>+8.2%} {one.fitted:>+8.2%}"
            f"  {files:>9}  {threads:>9}"
        )
    return "\n".join(lines)
