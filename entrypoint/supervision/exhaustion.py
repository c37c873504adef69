"""Errors of the kernel that mean an exhausted limit of the process, the pod or the machine."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from entrypoint.errors import MachineError

PROCESSES = (
    "Cannot start another thread or process: the limit is reached.",
    "Raise the limit on processes (docker: --pids-limit; Kubernetes: the kubelet's podPidsLimit; "
    "ulimit -u).",
)
FILES = (
    "Cannot open another file or connection: the limit is reached.",
    "Raise the limit on open files (docker: --ulimit nofile=65536; systemd: LimitNOFILE; "
    "ulimit -n).",
)
MEMORY = (
    "Out of memory.",
    "Raise the memory limit (docker: --memory; Kubernetes: resources.limits.memory).",
)
BY_NUMBER = {
    errno.EAGAIN: PROCESSES,
    errno.EMFILE: FILES,
    errno.ENFILE: FILES,
    errno.ENOMEM: MEMORY,
}
NO_THREAD = "can't start new thread"
"""Python's message, in a RuntimeError without an errno."""


NEEDED_FILES = 96
"""How many open files the engine needs at least. With 64, vLLM's CPU engine fails while it loads
the weights. With 96, it serves."""

RAISED_FILES = 1 << 16
"""The limit on open files that a launch sets for itself, as vLLM does; each client needs one."""


def raise_file_limit() -> None:
    """Raise the soft limit on open files as far as the hard limit allows.

    Raises:
        MachineError: The hard limit is too low for the engine.
    """
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = RAISED_FILES if hard == resource.RLIM_INFINITY else min(hard, RAISED_FILES)
    if allowed < NEEDED_FILES:
        raise MachineError(
            f"The limit on open files is {allowed}, and the engine needs at least {NEEDED_FILES}.",
            hint=FILES[1],
        )
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def exhaustion(error: BaseException) -> MachineError | None:
    """Return an error that names the limit an exception is due to, None if it is due to none."""
    found = None
    if isinstance(error, MemoryError):
        found = MEMORY
    elif isinstance(error, OSError):
        found = BY_NUMBER.get(error.errno or 0)
    elif isinstance(error, RuntimeError) and NO_THREAD in str(error):
        found = PROCESSES
    return MachineError(found[0], hint=found[1]) if found else None


@contextlib.contextmanager
def named_limits() -> Iterator[None]:
    """Raise an error that names the limit instead of an exception that is due to one.

    Raises:
        MachineError: A limit is exhausted.
    """
    try:
        yield
    except (OSError, RuntimeError, MemoryError) as error:
        if limit := exhaustion(error):
            raise limit from error
        raise
