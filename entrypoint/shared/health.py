"""The health of a server, as both sides of the hand-over show it."""

from __future__ import annotations

from enum import StrEnum

from entrypoint.shared.handover import Phase


class HealthState(StrEnum):
    """Whether a server can answer requests, and if not, why."""

    STARTING = "starting"
    HEALTHY = "healthy"
    STALLED = "stalled"
    NO_TOKEN = "no-token"
    STOPPING = "stopping"
    DEAD = "dead"

    @classmethod
    def in_phase(cls, phase: Phase) -> HealthState:
        """Return the health of a launch in a phase, as far as the phase shows it."""
        if phase is Phase.STOPPING:
            return cls.STOPPING
        return cls.HEALTHY if phase is Phase.READY else cls.STARTING
