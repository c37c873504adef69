"""What this pod, container or machine lets the engine write, and how much."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from entrypoint.errors import MachineError
from entrypoint.hardware.hardware import Kind
from entrypoint.note import Note
from entrypoint.pod.caches import cache_environment
from entrypoint.pod.scratch import (
    TEMPORARY,
    can_write,
    nearest_existing,
    temporary_directory,
)
from entrypoint.pod.service_links import injected_variables
from entrypoint.units import human_bytes

SHM = Path("/dev/shm")

QUEUE_BYTES = 240 << 20
"""How much of ``/dev/shm`` must be free for a worker's queue: ten chunks of 24 MiB
(``MessageQueue`` in vllm/distributed/device_communicators/shm_broadcast.py, vLLM 0.32)."""

RANK_BYTES = 8 << 20
"""How much a rank has filled when the next one starts; two ranks filled 4.5 MB."""

SCRATCH_BYTES = 256 << 20
"""How much space compiled code needs; a small model needed 150 MB with one rank and with two."""

COMPILING_KINDS: tuple[Kind, ...] = ("cuda", "rocm", "cpu")
"""Where the engine compiles code at startup and loads it from the scratch directory."""


@dataclass(frozen=True, slots=True)
class Place:
    """A folder that the engine writes to.

    Attributes:
        path: The folder, which need not exist.
        free_bytes: The free space in its file system for this user.
        writable: Whether this user may write to it.
        executable: Whether code can be loaded from it, which a ``noexec`` mount prevents.
    """

    path: Path
    free_bytes: int
    writable: bool
    executable: bool


@dataclass(frozen=True, slots=True)
class Pod:
    """The surroundings of a launch, except for the hardware.

    Attributes:
        scratch: The scratch directory.
        shm: The shared memory of the engine's processes, None without ``/dev/shm``.
        environment: Variables that redirect the engine's caches to the scratch directory.
        injected: Variables that Kubernetes set for a Service and that the engine must not see.
        temporary: The directory for files that end with the launch.
        notes: What is used instead of what the user set.
    """

    scratch: Place
    shm: Place | None
    environment: Mapping[str, str]
    injected: tuple[str, ...]
    temporary: Path = TEMPORARY
    notes: tuple[Note, ...] = ()


def read_place(path: Path) -> Place:
    """Return what can be written to a folder, or to its nearest existing parent."""
    existing = nearest_existing(path)
    system = os.statvfs(existing)
    return Place(
        path=path,
        free_bytes=system.f_bavail * system.f_frsize,
        writable=can_write(path),
        executable=not system.f_flag & os.ST_NOEXEC,
    )


def read_pod(environ: Mapping[str, str], scratch: Path, shm: Path = SHM) -> Pod:
    """Return what can be written, without writing anything.

    Raises:
        MachineError: The user set a cache to a folder that is not writable, or no directory for
            temporary files is.
    """
    temporary = temporary_directory(environ)
    environment = cache_environment(environ, scratch)
    notes: tuple[Note, ...] = ()
    if temporary.problem:
        environment["TMPDIR"] = str(temporary.path)
        message = f"{temporary.problem}. Using {temporary.path} for temporary files."
        notes = (Note("warning", "TMPDIR", message),)
    return Pod(
        scratch=read_place(scratch),
        shm=read_place(shm) if shm.is_dir() else None,
        environment=environment,
        injected=injected_variables(environ),
        temporary=temporary.path,
        notes=notes,
    )


def shm_bytes(kind: Kind, ranks: int) -> int:
    """Return the bytes that must be free in ``/dev/shm``, 0 if the engine uses none.

    vLLM's workers are separate processes on CPU, and elsewhere with two or more ranks.
    """
    if kind == "openvino" or (kind != "cpu" and ranks == 1):
        return 0
    return QUEUE_BYTES + ranks * RANK_BYTES


def check_pod(pod: Pod, kind: Kind, ranks: int) -> None:
    """Check that the pod has what the engine needs.

    Args:
        pod: What the pod has.
        kind: The accelerator.
        ranks: The number of the engine's workers on this machine.

    Raises:
        MachineError: ``/dev/shm`` is missing, too small or not writable, or the scratch directory
            is too small or mounted ``noexec``.
    """
    _check_shm(pod.shm, shm_bytes(kind, ranks))
    if kind in COMPILING_KINDS:
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
        raise MachineError(
            f"{SHM} is missing, which vLLM's processes use to share memory.", hint=hint
        )
    if not shm.writable:
        raise MachineError(f"{shm.path} is not writable for user {os.getuid()}.", hint=hint)
    if shm.free_bytes < needed:
        raise MachineError(
            f"{shm.path} has {human_bytes(shm.free_bytes)} free, and vLLM's processes need "
            f"{human_bytes(needed)}.",
            hint=hint,
        )


def _check_scratch(scratch: Place) -> None:
    if not scratch.executable:
        raise MachineError(
            f"The scratch directory {scratch.path} is mounted noexec, so the engine cannot load "
            "the code that it compiles.",
            variable="XDG_CACHE_HOME",
            hint="docker: --tmpfs /tmp:exec (by default, a tmpfs is noexec). Kubernetes: mount an "
            "emptyDir on /tmp. Or set XDG_CACHE_HOME to a folder that is not mounted noexec.",
        )
    if scratch.free_bytes < SCRATCH_BYTES:
        raise MachineError(
            f"The scratch directory {scratch.path} has {human_bytes(scratch.free_bytes)} free, "
            f"and the engine needs {human_bytes(SCRATCH_BYTES)} for compiled code.",
            variable="XDG_CACHE_HOME",
            hint="docker: --tmpfs /tmp:exec,size=1g. Kubernetes: raise the sizeLimit of the "
            "emptyDir on /tmp. Or set XDG_CACHE_HOME to a folder with more space.",
        )
