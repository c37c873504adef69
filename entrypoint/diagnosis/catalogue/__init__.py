"""The known kinds of engine failure."""

from entrypoint.diagnosis.catalogue import (
    artifact,
    devices,
    machine,
    memory,
    settings,
    signals,
)
from entrypoint.diagnosis.catalogue.failure import ExitCode, Failure, Role, Rule

FAILURES: tuple[Failure, ...] = (
    *memory.FAILURES,
    *devices.FAILURES,
    *machine.FAILURES,
    *artifact.FAILURES,
    *settings.FAILURES,
    *memory.LAST,
    *signals.FAILURES,
)
"""All kinds. If several match the same words, the first one counts."""

__all__ = ["FAILURES", "ExitCode", "Failure", "Role", "Rule"]
