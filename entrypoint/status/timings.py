"""What the phases of past launches took, kept in the scratch directory for the next estimate."""

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
"""Launches that are remembered; the oldest goes first."""


IRRELEVANT = frozenset({"--host", "--port", "--uds", "--served-model-name", "--api-key"})
"""Options that make no launch longer or shorter."""


def launch_key(plan: LaunchPlan) -> str:
    """Return what makes two launches alike: model, options and engine."""
    # options only: a variable may follow the memory that happens to be free
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
    """Return what each phase took at the last like launch, empty where there was none."""
    known = _read(scratch).get(key)
    if not isinstance(known, dict):
        return {}
    return {
        phase: float(known[phase.value])
        for phase in Phase
        if isinstance(known.get(phase.value), int | float)
    }


def remember(scratch: Path, key: str, seconds: Mapping[Phase, float]) -> None:
    """Keep a launch's seconds; a disk that cannot be written costs an estimate, no more."""
    known = _read(scratch)
    known.pop(key, None)
    known[key] = {phase.value: round(s, 3) for phase, s in seconds.items()}
    kept = dict(list(known.items())[-KEPT:])
    with contextlib.suppress(OSError):
        scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_text(scratch / FILE, json.dumps(kept), durable=False)
