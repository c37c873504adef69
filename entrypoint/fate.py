"""Why an engine ended unasked, and the exit code for it."""

from __future__ import annotations

import logging
import signal
from pathlib import Path

from entrypoint.errors import EngineFailed
from entrypoint.handover import Phase
from entrypoint.hardware.cgroup import memory_limit, oom_kills
from entrypoint.table import human_bytes

log = logging.getLogger("inference-server")

MORE_MEMORY = (
    "Give it more (docker: --memory; Kubernetes: resources.limits.memory), or have it take less: "
    "VLLM_CPU_KVCACHE_SPACE for the key-value cache in main memory, ARG=--max-model-len for the "
    "context, DTYPE=bfloat16 or a quantized model for the weights."
)


class MemoryWatch:
    """Whether a process was killed for want of memory since the watch began.

    The counter is the cgroup's, so that it tells too where only a helper of the engine was killed
    and the engine itself ended in good order.
    """

    def __init__(self, root: Path = Path("/")):
        self._root = root
        self._before = oom_kills(root)

    def cause(self) -> str | None:
        """Return the cause in words, None where no process was killed."""
        now = oom_kills(self._root)
        if now is None or now <= (self._before or 0):
            return None
        limit = memory_limit(self._root)
        if limit is None:
            return "the machine ran out of memory"
        return f"the memory limit of {human_bytes(limit)} was reached"


def engine_fate(code: int, phase: Phase, watch: MemoryWatch) -> int:
    """Return the exit code for an engine that ended unasked.

    Args:
        code: What it ended with, as ``subprocess`` has it: negative after a signal.
        phase: The phase that it was in.
        watch: Knows whether memory was the cause.

    Raises:
        EngineFailed: It ended by itself, with whatever code.
    """
    cause = watch.cause()
    if code < 0:
        name = signal.Signals(-code).name
        if cause:
            log.error("the engine was killed in phase %s: %s. %s", phase, cause, MORE_MEMORY)
        else:
            log.error("the engine was killed by %s in phase %s", name, phase)
        return 128 - code
    if cause:
        raise EngineFailed(
            f"The engine ended in phase {phase}, with exit code {code}, because {cause} and one of "
            "its processes was killed.",
            hint=MORE_MEMORY,
        )
    raise EngineFailed(
        f"The engine ended by itself in phase {phase}, with exit code {code}.",
        hint="Its own messages are above, the first error first.",
    )
