"""The status of a launch, as the log and ``/v1/status`` show it."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from entrypoint.planning.plan import LaunchPlan
from entrypoint.shared.handover import Phase
from entrypoint.status.timeline import Timeline
from entrypoint.status.timings import expected_seconds, launch_key, remember
from entrypoint.units import human_bytes

log = logging.getLogger("inference-server")

MODEL_FIELDS = ("repository", "revision", "source", "bytes")
"""What the status shows of the model. No paths: clients can read the status."""

TRANSFERS = (Phase.DOWNLOAD, Phase.UNPACK, Phase.VERIFY)
"""The phases that process the model's bytes."""


class LaunchStatus:
    """The phases of a launch, and the model that it will serve.

    Args:
        scratch: The directory with the timings of earlier launches.

    Attributes:
        timeline: The phases.
        warnings: What is wrong with the launch although it continues.
    """

    def __init__(self, scratch: Path):
        self.timeline = Timeline(started=time.monotonic())
        self._scratch = scratch
        self.warnings: list[str] = []
        self._plan: LaunchPlan | None = None

    def expect(self, plan: LaunchPlan) -> None:
        """Show a plan, and estimate the phases from the last launch like it."""
        self._plan = plan
        self.timeline.expected = expected_seconds(self._scratch, launch_key(plan))

    def enter(self, phase: Phase, processed: int = 0) -> bool:
        """Enter a phase and log it, unless it is past; return whether it is new.

        Args:
            phase: The phase.
            processed: How many bytes of the model the previous phase processed.
        """
        now = time.monotonic()
        previous, seconds = self.timeline.phase, self.timeline.seconds(now)
        if not self.timeline.enter(phase, now):
            return False
        if previous in TRANSFERS and processed and seconds[previous]:
            size, rate = human_bytes(processed), human_bytes(processed / seconds[previous])
            log.info("phase %s took %.1f s: %s, %s/s", previous, seconds[previous], size, rate)
        if phase is Phase.READY:
            phases = ", ".join(f"{name} {s:.1f} s" for name, s in seconds.items())
            log.info("ready after %.1f s: %s", sum(seconds.values()), phases)
            if self._plan is not None:
                remember(self._scratch, launch_key(self._plan), seconds)
        else:
            log.info("phase %s", phase)
        return True

    def document(self) -> dict[str, Any]:
        """Return the document of ``/v1/status``."""
        document = self.timeline.as_dict(time.monotonic())
        model = self._plan.model_dict() if self._plan else None
        document["model"] = {name: model[name] for name in MODEL_FIELDS} if model else None
        document["served_model_names"] = list(self._plan.served_model_names) if self._plan else []
        document["warnings"] = list(self.warnings)
        return document
