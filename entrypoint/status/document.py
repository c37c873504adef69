"""The document that ``/v1/status`` shows, before and after the hand-over."""

from __future__ import annotations

from typing import Any

from entrypoint.planning.plan import LaunchPlan
from entrypoint.status.timeline import Timeline

SHOWN = ("repository", "revision", "source", "bytes")


def status_document(timeline: Timeline, plan: LaunchPlan | None, now: float) -> dict[str, Any]:
    """Return where a launch is: its phase, seconds, bytes, and what it will serve.

    Args:
        timeline: The launch's phases.
        plan: The launch's plan, None while there is none.
        now: Seconds of the timeline's clock.
    """
    document = timeline.as_dict(now)
    model = plan.model_dict() if plan else None
    # no paths: the status may be read from outside
    document["model"] = {name: model[name] for name in SHOWN} if model else None
    document["served_model_names"] = list(plan.served_model_names) if plan else []
    return document
