"""The defaults for NVIDIA's GPUs."""

from __future__ import annotations

from entrypoint.hardware.hardware import Hardware
from entrypoint.planning.asked import Asked
from entrypoint.planning.defaults.defaults import Defaults
from entrypoint.store.model import Model


def cuda_defaults(asked: Asked, model: Model, hardware: Hardware, ranks: int) -> Defaults:
    """Return the order of the devices, if they differ.

    CUDA numbers the fastest device 0, the driver numbers devices by bus, and vLLM asks the driver
    by CUDA's number. vLLM chooses everything else itself.
    """
    if len({device.name for device in hardware.devices}) > 1:
        return Defaults(environment={"CUDA_DEVICE_ORDER": "PCI_BUS_ID"})
    return Defaults()
