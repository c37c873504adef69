"""The processors that this process may use, their features, and main memory."""

from __future__ import annotations

import os
import re
from pathlib import Path

from entrypoint.hardware.cgroup import cpu_quota, memory_left, memory_limit
from entrypoint.hardware.hardware import Processor
from entrypoint.hardware.kernel_files import read_text
from entrypoint.hardware.nodes import numbered_entries


def read_processor(root: Path, cpus: tuple[int, ...]) -> Processor:
    """Return the processors' features and the limits on their use.

    Args:
        root: The folder that contains ``/proc`` and ``/sys``.
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
    nodes = parse_list(listed) if listed else numbered_entries(folder, "node")
    cpu_lists = (parse_list(read_text(folder / f"node{node}/cpulist")) for node in nodes)
    return max(1, sum(not set(cpus).isdisjoint(node_cpus) for node_cpus in cpu_lists))


def available_memory(root: Path) -> int | None:
    """Return the available main memory in bytes, within the cgroup's limit."""
    available = (_meminfo(root, "MemAvailable"), memory_left(root))
    return min((number for number in available if number is not None), default=None)


def parse_list(text: str) -> tuple[int, ...]:
    """Return the numbers in a list of the kernel: ``0-2,7`` is 0, 1, 2, 7."""
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
            for line in lines:  # stops early, because the file is slow on large machines
                name, _, value = line.partition(":")
                if name.strip() in ("flags", "Features"):
                    return frozenset(value.split())
    except OSError:
        pass
    return frozenset()


def _cores(root: Path, cpus: tuple[int, ...]) -> tuple[int, ...]:
    """Return one logical processor of each physical core: the last one, as vLLM does."""
    folder = root / "sys/devices/system/cpu"
    siblings = (read_text(folder / f"cpu{cpu}/topology/thread_siblings_list") for cpu in cpus)
    last = {shared or str(cpu): cpu for cpu, shared in zip(cpus, siblings, strict=True)}
    return tuple(sorted(last.values()))


def _status(root: Path, name: str) -> str | None:
    match = re.search(rf"^{name}:\s*(\S+)$", read_text(root / "proc/self/status"), re.MULTILINE)
    return match[1] if match else None


def _meminfo(root: Path, name: str) -> int | None:
    match = re.search(rf"^{name}:\s+(\d+) kB$", read_text(root / "proc/meminfo"), re.MULTILINE)
    return int(match[1]) * 1024 if match else None
