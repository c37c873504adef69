"""What this pod, container or machine lets the engine do: where it may write, and how much."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from entrypoint.errors import MachineError
from entrypoint.hardware.hardware import Kind
from entrypoint.pod.caches import cache_environment
from entrypoint.pod.scratch import can_write, nearest_existing
from entrypoint.pod.service_links import injected_variables
from entrypoint.units import human_bytes

SHM = Path("/dev/shm")

QUEUE_BYTES = 240 << 20
"""What vLLM wants free in ``/dev/shm`` before it makes a worker's queue: ten chunks of 24 MiB
(``MessageQueue`` in vllm/distributed/device_communicators/shm_broadcast.py, vLLM 0.32)."""

RANK_BYTES = 8 << 20
"""What each rank has really filled by the time the next one asks: 4.5 MB were seen with two."""

SCRATCH_BYTES = 256 << 20
"""What compiled code may take: 150 MB were seen for a small model with one rank and with two."""

COMPILING: tuple[Kind, ...] = ("cuda", "rocm", "cpu")
"""Where the engine compiles code at its start, and loads it from the scratch directory."""


@dataclass(frozen=True, slots=True)
class Place:
    """A folder that the engine writes to.

    Attributes:
        path: The folder, which need not exist yet.
        free_bytes: Room in its file system for this user.
        writable: Whether this user may write there.
        executable: Whether code may be loaded from there: not from a ``noexec`` mount.
    """

    path: Path
    free_bytes: int
    writable: bool
    executable: bool


@dataclass(frozen=True, slots=True)
class Pod:
    """Where a launch runs, as far as it is not hardware.

    Attributes:
        scratch: Where everything is written.
        shm: Where the engine's processes share memory; None where there is no ``/dev/shm``.
        environment: Variables that send the engine's caches to the scratch directory.
        injected: Variables that Kubernetes set for a Service, and that the engine must not see.
    """

    scratch: Place
    shm: Place | None
    environment: Mapping[str, str]
    injected: tuple[str, ...]


def read_place(path: Path) -> Place:
    """Look at a folder, or at the nearest one above it that exists."""
    existing = nearest_existing(path)
    system = os.statvfs(existing)
    return Place(
        path=path,
        free_bytes=system.f_bavail * system.f_frsize,
        writable=can_write(path),
        executable=not system.f_flag & os.ST_NOEXEC,
    )


def read_pod(environ: Mapping[str, str], scratch: Path, shm: Path = SHM) -> Pod:
    """Look at what may be written, and change nothing.

    Raises:
        MachineError: A cache's variable names a place that cannot be written to.
    """
    return Pod(
        scratch=read_place(scratch),
        shm=read_place(shm) if shm.is_dir() else None,
        environment=cache_environment(environ, scratch),
        injected=injected_variables(environ),
    )


def shm_bytes(kind: Kind, ranks: int) -> int:
    """Return the bytes that must be free in ``/dev/shm``, 0 where the engine uses none.

    vLLM's workers are processes of their own on the CPU always, elsewhere from two ranks on.
    """
    if kind == "openvino" or (kind != "cpu" and ranks == 1):
        return 0
    return QUEUE_BYTES + ranks * RANK_BYTES


def check_pod(pod: Pod, kind: Kind, ranks: int) -> None:
    """Check that the engine will find what it needs.

    Args:
        pod: What is there.
        kind: The accelerator.
        ranks: The engine's workers on this machine.

    Raises:
        MachineError: ``/dev/shm`` or the scratch directory is too small, cannot be written to,
            or code cannot be loaded from the latter.
    """
    _check_shm(pod.shm, shm_bytes(kind, ranks))
    if kind in COMPILING:
        _check_scratch(pod.scratch)


def _check_shm(shm: Place | None, needed: int) -> None:
    if needed == 0:
        return
    size = f"{max(1, -(-needed // (1 << 30)))}g"
    hint = (
        f"docker: --shm-size {size}. Kubernetes: mount an emptyDir with medium: Memory and "
        f"sizeLimit: {size[:-1]}Gi on {SHM}."
    )
    if shm is None:
        raise MachineError(f"There is no {SHM}, which vLLM's processes share.", hint=hint)
    if not shm.writable:
        raise MachineError(f"{shm.path} cannot be written to by uid {os.getuid()}.", hint=hint)
    if shm.free_bytes < needed:
        raise MachineError(
            f"{shm.path} has {human_bytes(shm.free_bytes)} free, and vLLM's processes want "
            f"{human_bytes(needed)} there.",
            hint=hint,
        )


def _check_scratch(scratch: Place) -> None:
    if not scratch.executable:
        raise MachineError(
            f"The scratch directory {scratch.path} is on a file system that is mounted noexec: "
            "code that the engine compiles cannot be loaded from there.",
            variable="XDG_CACHE_HOME",
            hint="docker: --tmpfs /tmp:exec (its tmpfs is noexec unless told otherwise). "
            "Kubernetes: mount an emptyDir on /tmp. Or point XDG_CACHE_HOME at a folder where "
            "code may be run.",
        )
    if scratch.free_bytes < SCRATCH_BYTES:
        raise MachineError(
            f"The scratch directory {scratch.path} has {human_bytes(scratch.free_bytes)} free, "
            f"and the engine wants {human_bytes(SCRATCH_BYTES)} for what it compiles.",
            variable="XDG_CACHE_HOME",
            hint="docker: --tmpfs /tmp:exec,size=1g. Kubernetes: raise the sizeLimit of the "
            "emptyDir on /tmp. Or point XDG_CACHE_HOME at a folder with room.",
        )
