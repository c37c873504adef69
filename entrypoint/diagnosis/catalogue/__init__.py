"""The kinds of failure that are known by name."""

from entrypoint.diagnosis.catalogue import (
    artifact,
    devices,
    killed,
    machine,
    memory,
    settings,
)
from entrypoint.diagnosis.catalogue.failure import ExitCode, Failure, Sign, Weight

FAILURES: tuple[Failure, ...] = (
    *memory.FAILURES,
    *devices.FAILURES,
    *machine.FAILURES,
    *artifact.FAILURES,
    *settings.FAILURES,
    *memory.LAST,
    *killed.FAILURES,
)
"""All of them. Of two that match the same words the one that stands first counts."""

__all__ = ["FAILURES", "ExitCode", "Failure", "Sign", "Weight"]
