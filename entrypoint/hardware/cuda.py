"""NVIDIA's devices, by their nodes and by NVML, the management library of the driver."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from entrypoint.hardware.hardware import Device
from entrypoint.hardware.nodes import numbered


def load_nvml() -> Any:
    """Return the module ``pynvml``, ready, or None where there is no driver to ask."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


def cuda_nodes(root: Path) -> list[Path]:
    """Return the nodes of the devices themselves."""
    return [root / f"dev/nvidia{number}" for number in numbered(root / "dev", "nvidia")]


def cuda_devices(root: Path, nvml: Any) -> tuple[Device, ...]:
    """Return the devices that have a node, with what NVML says of them.

    Args:
        root: Where ``/dev`` is.
        nvml: The module ``pynvml``, None where the library is not there.
    """
    numbers = numbered(root / "dev", "nvidia")
    if nvml is not None:
        try:
            return _asked(numbers, nvml)
        except nvml.NVMLError:  # a device that has failed, or a driver in the midst of an update
            pass
    return tuple(Device(index, "NVIDIA GPU") for index in range(len(numbers)))


def cuda_driver(nvml: Any) -> str | None:
    """Return the driver's version."""
    return str(nvml.nvmlSystemGetDriverVersion()) if nvml is not None else None


def _asked(numbers: tuple[int, ...], nvml: Any) -> tuple[Device, ...]:
    found: list[Device] = []
    for position in range(nvml.nvmlDeviceGetCount()):
        handle = nvml.nvmlDeviceGetHandleByIndex(position)
        if nvml.nvmlDeviceGetMinorNumber(handle) not in numbers:
            continue
        major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
        found.append(
            Device(
                index=len(found),
                name=nvml.nvmlDeviceGetName(handle),
                memory_bytes=_memory(handle, nvml),
                architecture=f"{major}.{minor}",
                identity=nvml.nvmlDeviceGetUUID(handle),
            )
        )
    return tuple(found)


def _memory(handle: Any, nvml: Any) -> int | None:
    try:
        return int(nvml.nvmlDeviceGetMemoryInfo(handle).total)
    except nvml.NVMLError:  # devices that share the machine's memory have none of their own
        return None
