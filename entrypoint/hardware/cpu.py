"""The CPU: which processors this process may run on, what they can do, and its memory."""

from __future__ import annotations

import os
import re
from pathlib import Path

from entrypoint.hardware.cgroup import cpu_quota, memory_left, memory_limit
from entrypoint.hardware.hardware import Processor
from entrypoint.hardware.nodes import numbered


def read_processor(root: Path, cpus: tuple[int, ...]) -> Processor:
    """Return what the processors can do and how much of them may be used.

    Args:
        root: Where ``/proc`` and ``/sys`` are.
        cpus: The logical processors that this process may run on.
    """
    machine, limit = _meminfo(root, "MemTotal"), memory_limit(root)
    limited = limit is not None and (machine is None or limit < machine)
    return Processor(
        flags=_flags(root),
        cores=_cores(root, cpus),
        quota=cpu_quota(root),
        memory_limit=limit if limited else machine,
        memory_limited=limited,
    )


def allowed_cpus(root: Path) -> tuple[int, ...]:
    """Return the logical processors that this process may run on."""
    listed = _status(root, "Cpus_allowed_list")
    return parse_list(listed) if listed else tuple(sorted(os.sched_getaffinity(0)))


def numa_nodes(root: Path, cpus: tuple[int, ...]) -> int:
    """Return the number of NUMA nodes whose memory and processors may be used, at least 1."""
    folder = root / "sys/devices/system/node"
    listed = _status(root, "Mems_allowed_list")
    nodes = parse_list(listed) if listed else numbered(folder, "node")
    mine = set(cpus)
    usable = [n for n in nodes if mine & set(parse_list(_text(folder / f"node{n}/cpulist")))]
    return max(1, len(usable))


def available_memory(root: Path) -> int | None:
    """Return the bytes of main memory that can be used now, under the cgroup's limit."""
    left = (_meminfo(root, "MemAvailable"), memory_left(root))
    return min((number for number in left if number is not None), default=None)


def parse_list(text: str) -> tuple[int, ...]:
    """Return the numbers of a kernel list: ``0-2,7`` is 0, 1, 2, 7."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if first.isdigit():
            found += range(int(first), int(last or first) + 1)
    return tuple(found)


def _flags(root: Path) -> frozenset[str]:
    """Return the flags of the first processor: ``flags`` on x86, ``Features`` on Arm."""
    try:
        with (root / "proc/cpuinfo").open() as lines:
            for line in lines:  # no more than needed: a large machine's list takes long to make
                name, _, value = line.partition(":")
                if name.strip() in ("flags", "Features"):
                    return frozenset(value.split())
    except OSError:
        pass
    return frozenset()


def _cores(root: Path, cpus: tuple[int, ...]) -> tuple[int, ...]:
    """Return one logical processor of each physical core, the last as vLLM takes it."""
    folder = root / "sys/devices/system/cpu"
    siblings = (_text(folder / f"cpu{cpu}/topology/thread_siblings_list") for cpu in cpus)
    last = {shared or str(cpu): cpu for cpu, shared in zip(cpus, siblings, strict=True)}
    return tuple(sorted(last.values()))


def _status(root: Path, name: str) -> str | None:
    match = re.search(rf"^{name}:\s*(\S+)$", _text(root / "proc/self/status"), re.MULTILINE)
    return match[1] if match else None


def _meminfo(root: Path, name: str) -> int | None:
    match = re.search(rf"^{name}:\s+(\d+) kB$", _text(root / "proc/meminfo"), re.MULTILINE)
    return int(match[1]) * 1024 if match else None


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
