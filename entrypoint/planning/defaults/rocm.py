"""The defaults for AMD's GPUs."""

from __future__ import annotations

from entrypoint.hardware.hardware import Hardware
from entrypoint.hardware.visible import SYNONYMS
from entrypoint.planning.defaults.defaults import Defaults
from entrypoint.settings import Settings
from entrypoint.store.model import Model

AITER = frozenset({"gfx942", "gfx950"})
"""The targets that AMD's kernel library AITER is written for, by vLLM's ``on_mi3xx``."""


def rocm_defaults(settings: Settings, model: Model, hardware: Hardware, ranks: int) -> Defaults:
    """Return AMD's kernels where they run, and the visible devices under both of their names."""
    environment: dict[str, str] = {}
    mine = settings.library_environment
    # vLLM reads the one, HIP the other
    visible = next((mine[name] for name in SYNONYMS if mine.get(name)), None)
    if visible is not None:
        environment |= dict.fromkeys(SYNONYMS, visible)
    if hardware.devices and all(device.architecture in AITER for device in hardware.devices):
        environment["VLLM_ROCM_USE_AITER"] = "1"
    return Defaults(environment=environment)
