"""The defaults for AMD's GPUs."""

from __future__ import annotations

from entrypoint.hardware.hardware import Hardware
from entrypoint.hardware.visible import HIP_VARIABLES
from entrypoint.planning.asked import Asked
from entrypoint.planning.defaults.defaults import Defaults
from entrypoint.store.model import Model

AITER = frozenset({"gfx942", "gfx950"})
"""The targets that AMD's kernel library AITER supports, by vLLM's ``on_mi3xx``."""


def rocm_defaults(asked: Asked, model: Model, hardware: Hardware, ranks: int) -> Defaults:
    """Return AMD's kernels, if they run here, and the visible devices under both variable names."""
    environment: dict[str, str] = {}
    users = asked.settings.library_environment
    # vLLM reads one, HIP the other
    visible = next((users[name] for name in HIP_VARIABLES if users.get(name)), None)
    if visible is not None:
        environment |= dict.fromkeys(HIP_VARIABLES, visible)
    if hardware.devices and all(device.architecture in AITER for device in hardware.devices):
        environment["VLLM_ROCM_USE_AITER"] = "1"
    return Defaults(environment=environment)
