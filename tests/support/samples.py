"""Sample values: requests, models, machines, pods, and the plans made from them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from entrypoint.hardware.hardware import Hardware
from entrypoint.openvino.weights import Weights
from entrypoint.planning.asked import Asked, read_asked
from entrypoint.planning.listen import Listen
from entrypoint.planning.plan import LaunchPlan, make_plan
from entrypoint.planning.remote_code import Code
from entrypoint.pod.pod import Place, Pod
from entrypoint.store.model import Model

ROOMY = Place(Path("/scratch"), free_bytes=64 << 30, writable=True, executable=True)
POD = Pod(scratch=ROOMY, shm=ROOMY, environment={}, injected=())
CPU = Hardware("cpu", 1, 24 << 30, (0, 1, 2, 3), "0.32.0")
CUDA = Hardware("cuda", 4, None, (0, 1), "0.32.0")
GAUDI = Hardware("hpu", 8, None, (0, 1), "0.26.0+gaudi1241")
SNAPSHOT = Path("/cache/models--Meta--Llama/snapshots/abc")
MODEL = Model("cache", SNAPSHOT, "Meta/Llama", "abc", None, 6 << 30, ())


def asked(**variables: str) -> Asked:
    """Return what an environment of MODEL_ID and these variables asks for."""
    return read_asked({"MODEL_ID": "Meta/Llama", **variables})


def plan_of(
    model: Model,
    hardware: Hardware = CUDA,
    pod: Pod = POD,
    code: Mapping[Path, Code] | None = None,
    weights: Weights | None = None,
    /,
    **variables: str,
) -> LaunchPlan:
    """Return the plan for a model on a machine."""
    return make_plan(asked(**variables), model, hardware, pod, code or {}, weights)


def plan(**variables: str) -> LaunchPlan:
    """Return the plan for a cached model on a machine with four GPUs."""
    return plan_of(MODEL, CUDA, POD, **variables)


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


def option_of(plan: LaunchPlan, option: str) -> dict[str, Any]:
    """Return an option as ``plan --json`` shows it."""
    return next(o for o in plan.as_dict()["options"] if o["option"] == option)
