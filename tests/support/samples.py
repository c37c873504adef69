"""Sample values: a plan, a pod with room, a machine with four GPUs."""

from __future__ import annotations

from pathlib import Path

from entrypoint.hardware.hardware import Hardware
from entrypoint.planning.listen import Listen
from entrypoint.planning.plan import LaunchPlan
from entrypoint.pod.pod import Place, Pod
from entrypoint.store.model import Model

ROOMY = Place(Path("/scratch"), free_bytes=64 << 30, writable=True, executable=True)
POD = Pod(scratch=ROOMY, shm=ROOMY, environment={}, injected=())
CUDA = Hardware("cuda", 4, None, (0, 1), "0.32.0")


def a_plan(listen: Listen, shutdown_timeout: int = 5) -> LaunchPlan:
    """Return a plan with nothing special about it."""
    return LaunchPlan(
        argv=("/m",),
        env={},
        served_model_names=("m",),
        model=Model("directory", Path("/m"), None, None, None, 1000, ()),
        accelerator=Hardware("cpu", 1, None, (0,), "0"),
        options=(),
        notes=(),
        listen=listen,
        shutdown_timeout=shutdown_timeout,
        engine_binds=False,
    )


def value_of(plan: LaunchPlan, option: str) -> list[str]:
    """Return the words that follow an option in a plan's argv."""
    rest = list(plan.argv[plan.argv.index(option) + 1 :])
    ends = [i for i, word in enumerate(rest) if word.startswith("--")]
    return rest[: ends[0]] if ends else rest
