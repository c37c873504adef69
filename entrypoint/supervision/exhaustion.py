"""What the kernel refuses where a limit of the process, the pod or the machine is reached."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from entrypoint.errors import MachineError

PROCESSES = (
    "No further thread or process may be started.",
    "Raise the limit of processes (docker: --pids-limit; Kubernetes: the kubelet's podPidsLimit; "
    "ulimit -u).",
)
FILES = (
    "No further file or connection may be opened.",
    "Raise the limit of open files (docker: --ulimit nofile=65536; systemd: LimitNOFILE; "
    "ulimit -n).",
)
MEMORY = (
    "There is no memory left.",
    "Raise the limit (docker: --memory; Kubernetes: resources.limits.memory).",
)
BY_NUMBER = {
    errno.EAGAIN: PROCESSES,
    errno.EMFILE: FILES,
    errno.ENFILE: FILES,
    errno.ENOMEM: MEMORY,
}
NO_THREAD = "can't start new thread"
"""What Python says of it: an exception of its own, without a number."""


def exhaustion(error: BaseException) -> MachineError | None:
    """Return the limit that an exception tells of, None where it tells of none."""
    found = None
    if isinstance(error, MemoryError):
        found = MEMORY
    elif isinstance(error, OSError):
        found = BY_NUMBER.get(error.errno or 0)
    elif isinstance(error, RuntimeError) and NO_THREAD in str(error):
        found = PROCESSES
    return MachineError(found[0], hint=found[1]) if found else None


@contextlib.contextmanager
def limits_named() -> Iterator[None]:
    """Name the limit that is reached within.

    Raises:
        MachineError: One was, in place of the exception that tells of it.
    """
    try:
        yield
    except (OSError, RuntimeError, MemoryError) as error:
        if limit := exhaustion(error):
            raise limit from error
        raise
