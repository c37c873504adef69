"""The defaults of OpenVINO's engine."""

from __future__ import annotations

from entrypoint.errors import MachineError
from entrypoint.hardware.hardware import Hardware
from entrypoint.hardware.kinds import KINDS
from entrypoint.options.openvino import check_options
from entrypoint.planning.defaults.defaults import Defaults
from entrypoint.planning.sizing import sequence_bytes
from entrypoint.settings import Settings
from entrypoint.store.model import Model

GIB = 1 << 30
CACHED_SEQUENCES = 64
"""Sequences of full length that the key-value cache holds, memory permitting. It takes memory only
as it fills."""


def openvino_defaults(settings: Settings, model: Model, hardware: Hardware, ranks: int) -> Defaults:
    """Return the device, and the size and type of the key-value cache.

    Raises:
        SettingError: An option is given that this engine cannot follow.
        MachineError: The device is a GPU, and this machine shows none.
    """
    notes = check_options(settings)
    device = settings.openvino_device
    if device != "CPU" and not hardware.devices:
        facts = KINDS["openvino"]
        raise MachineError(
            f"VLLM_OPENVINO_DEVICE={device}, and this machine shows no {facts.name}.",
            variable="VLLM_OPENVINO_DEVICE",
            hint=f"{facts.passing} Without one, leave VLLM_OPENVINO_DEVICE out.",
        )
    space = settings.openvino_kvcache_space
    if space is None:
        space = cache_space(model, hardware) if device == "CPU" else 0
    environment = {
        "VLLM_OPENVINO_DEVICE": device,
        "VLLM_OPENVINO_KVCACHE_SPACE": str(space),
    }
    if settings.openvino_kv_cache_precision is not None:
        environment["VLLM_OPENVINO_KV_CACHE_PRECISION"] = settings.openvino_kv_cache_precision
    return Defaults(environment=environment, notes=notes)


def cache_space(model: Model, hardware: Hardware) -> int:
    """Return the size of the key-value cache in GiB.

    Half of what the weights leave of the memory, and not more than many long requests fill; 0,
    which lets it grow, where the memory is not known.
    """
    if hardware.memory_bytes is None:
        return 0
    space = (hardware.memory_bytes - model.bytes) // 2
    sequence = sequence_bytes(model.config)
    if sequence is not None:
        space = min(space, CACHED_SEQUENCES * sequence)
    return max(1, -(-space // GIB))
