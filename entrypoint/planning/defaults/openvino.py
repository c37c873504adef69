"""The defaults of OpenVINO's engine."""

from __future__ import annotations

from entrypoint.errors import MachineError
from entrypoint.hardware.hardware import Hardware
from entrypoint.hardware.kinds import KINDS
from entrypoint.options.openvino import check_options
from entrypoint.planning.asked import Asked
from entrypoint.planning.defaults.defaults import Defaults
from entrypoint.planning.sizing import sequence_bytes
from entrypoint.store.model import Model

GIB = 1 << 30
CACHED_SEQUENCES = 64
"""Sequences of full length that the KV cache holds, memory permitting. It takes memory
only as it fills."""


def openvino_defaults(asked: Asked, model: Model, hardware: Hardware, ranks: int) -> Defaults:
    """Return the device, and the size and type of the KV cache.

    Raises:
        SettingError: ARG has an option that this engine does not support.
        MachineError: The device is a GPU, and none is visible.
    """
    settings = asked.settings
    notes = check_options(asked.arguments.arguments)
    device = settings.openvino_device
    if device != "CPU" and not hardware.devices:
        facts = KINDS["openvino"]
        raise MachineError(
            f"VLLM_OPENVINO_DEVICE={device}, but no {facts.name} is visible.",
            variable="VLLM_OPENVINO_DEVICE",
            hint=f"{facts.pass_devices} Without a GPU, unset VLLM_OPENVINO_DEVICE.",
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
    """Return the size of the KV cache in GiB.

    Half of the memory that the weights leave, up to :data:`CACHED_SEQUENCES`. 0, which lets
    the cache grow, if the memory is unknown.
    """
    if hardware.memory_bytes is None:
        return 0
    space = (hardware.memory_bytes - model.bytes) // 2
    sequence = sequence_bytes(model.config)
    if sequence is not None:
        space = min(space, CACHED_SEQUENCES * sequence)
    return max(1, -(-space // GIB))
