"""How long the phases of earlier launches took: the basis of the next estimate."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from entrypoint.planning.plan import LaunchPlan
from entrypoint.shared.handover import Phase
from entrypoint.store.writing.complete_file import write_text

FILE = "timings.json"
KEPT = 100
"""How many launches are kept; the oldest are dropped."""


IRRELEVANT = frozenset({"--host", "--port", "--uds", "--served-model-name", "--api-key"})
"""Options that do not change how long a launch takes."""


def launch_key(plan: LaunchPlan) -> str:
    """Return a key that is equal for launches with the same model, options and engine."""
    # options only: a variable may depend on the memory that is free at present
    options = [
        (o.option, o.value)
        for o in plan.options
        if o.option.startswith("--") and o.option not in IRRELEVANT
    ]
    model = plan.model.repository or str(plan.model.path)
    shape = [model, plan.model.revision, options, plan.accelerator.vllm_version]
    return hashlib.sha256(json.dumps(shape).encode()).hexdigest()[:16]


def _read(scratch: Path) -> dict[str, dict[str, float]]:
    try:
        known = json.loads((scratch / FILE).read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def expected_seconds(scratch: Path, key: str) -> dict[Phase, float]:
    """Return how long each phase took at the last launch with this key; empty without one."""
    known = _read(scratch).get(key)
    if not isinstance(known, dict):
        return {}
    return {
        phase: float(known[phase.value])
        for phase in Phase
        if isinstance(known.get(phase.value), int | float)
    }


def remember(scratch: Path, key: str, seconds: Mapping[Phase, float]) -> None:
    """Save how long a launch's phases took; without a writable disk there is just no estimate."""
    known = _read(scratch)
    known.pop(key, None)
    known[key] = {phase.value: round(s, 3) for phase, s in seconds.items()}
    kept = dict(list(known.items())[-KEPT:])
    with contextlib.suppress(OSError):
        scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_text(scratch / FILE, json.dumps(kept), durable=False)
