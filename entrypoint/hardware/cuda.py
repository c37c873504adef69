"""NVIDIA's devices, found by their device nodes and by NVML, the driver's management library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from entrypoint.hardware.hardware import Device
from entrypoint.hardware.nodes import numbered_entries


def load_nvml() -> Any:
    """Return the initialized module ``pynvml``, None without a driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


def cuda_nodes(root: Path) -> list[Path]:
    """Return the nodes of the devices."""
    return [root / f"dev/nvidia{number}" for number in numbered_entries(root / "dev", "nvidia")]


def cuda_devices(root: Path, nvml: Any) -> tuple[Device, ...]:
    """Return the devices that have a node, described by NVML.

    Args:
        root: The folder that contains ``/dev``.
        nvml: The module ``pynvml``, None if the library is missing.
    """
    numbers = numbered_entries(root / "dev", "nvidia")
    if nvml is not None:
        try:
            return _describe(numbers, nvml)
        except nvml.NVMLError:  # a failed device, or a driver update in progress
            pass
    return tuple(Device(index, "NVIDIA GPU") for index in range(len(numbers)))


def cuda_driver(nvml: Any) -> str | None:
    """Return the driver's version."""
    return str(nvml.nvmlSystemGetDriverVersion()) if nvml is not None else None


def _describe(numbers: tuple[int, ...], nvml: Any) -> tuple[Device, ...]:
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
    except nvml.NVMLError:  # the device shares the machine's memory
        return None
