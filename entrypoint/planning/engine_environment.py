"""The variables that the engine gets in addition to the current environment."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from entrypoint.openvino.weights import Weights
from entrypoint.planning.asked import Asked
from entrypoint.planning.defaults.defaults import Defaults
from entrypoint.planning.option import Origin, PlannedOption
from entrypoint.planning.remote_code import Code
from entrypoint.pod.pod import Pod
from entrypoint.secrets import MASK, is_secret_variable
from entrypoint.shared.handover import (
    CODE_VARIABLE,
    OPENVINO_MODEL_VARIABLE,
    TARBALL_INDEX,
    TARBALL_VARIABLE,
)
from entrypoint.store.model import Model

NO_TELEMETRY = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""What turns off the usage reports of the hub's client, vLLM and Ray."""


@dataclass(frozen=True, slots=True)
class EngineVariable:
    """A variable for the engine, and its reason."""

    value: str
    origin: Origin
    variable: str | None = None

    def planned(self, name: str) -> PlannedOption:
        """Return the variable for a plan."""
        value = MASK if is_secret_variable(name) else self.value
        return PlannedOption(name, value, self.origin, self.variable)


def engine_variables(
    asked: Asked,
    model: Model,
    pod: Pod,
    defaults: Defaults,
    code: Mapping[Path, Code],
    weights: Weights | None,
) -> Iterator[tuple[str, EngineVariable]]:
    """Yield the name of each variable and its value."""
    settings = asked.settings
    for name, value in asked.environ.changed.items():
        yield name, EngineVariable(value, "variable", name)
    for name, value in pod.environment.items():
        yield name, EngineVariable(value, "default")
    if model.packed is not None and model.path is not None:
        index = model.path.parent / TARBALL_INDEX
        yield TARBALL_VARIABLE, EngineVariable(str(index), "default")
    if settings.hf_hub_offline:
        yield "HF_HUB_OFFLINE", EngineVariable("1", "variable", asked.variable("hf_hub_offline"))
    if settings.hf_hub_disable_telemetry:
        for name, value in NO_TELEMETRY.items():
            yield name, EngineVariable(value, "variable", "HF_HUB_DISABLE_TELEMETRY")
    if settings.hf_token is not None:
        token = settings.hf_token.get_secret_value()
        yield "HF_TOKEN", EngineVariable(token, "variable", asked.variable("hf_token"))
    # the engine looks up tokenizers and adapters itself, in the same cache
    for field in ("hf_hub_cache", "huggingface_hub_cache"):
        root = getattr(settings, field)
        if root is not None:
            yield "HF_HUB_CACHE", EngineVariable(str(root), "variable", asked.variable(field))
            break
    users = {**settings.vllm_environment, **settings.library_environment}
    for name, value in defaults.environment.items():
        if name == "LD_PRELOAD" or not users.get(name):  # the user's libraries are already in it
            yield name, EngineVariable(value, "accelerator")
    if code:
        allowed = [str(place) for place in code] if asked.trust_remote_code else []
        yield CODE_VARIABLE, EngineVariable(json.dumps(allowed), "default")
    if weights is not None:
        yield OPENVINO_MODEL_VARIABLE, EngineVariable(str(weights.path), "accelerator")
