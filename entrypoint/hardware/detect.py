"""Finds what to run on: reads files and package metadata, and loads no driver."""

from __future__ import annotations

import os
import re
from pathlib import Path

from entrypoint.errors import MachineError
from entrypoint.hardware.build import installed_vllm
from entrypoint.hardware.cpu import available_memory
from entrypoint.hardware.hardware import Hardware, Kind


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
