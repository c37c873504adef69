"""The defaults for NVIDIA's GPUs."""

from __future__ import annotations

from entrypoint.hardware.hardware import Hardware
from entrypoint.planning.defaults.defaults import Defaults
from entrypoint.settings import Settings
from entrypoint.store.model import Model


def cuda_defaults(settings: Settings, model: Model, hardware: Hardware, ranks: int) -> Defaults:
    """Return the order of the devices, where they differ.

    CUDA puts the fastest first unless told otherwise, and the driver counts by bus: vLLM asks the
    driver about a device by the number that it computes on. Everything else vLLM chooses itself.
    """
    if len({device.name for device in hardware.devices}) > 1:
        return Defaults(environment={"CUDA_DEVICE_ORDER": "PCI_BUS_ID"})
    return Defaults()
