"""The variables that hide devices from a process, such as ``CUDA_VISIBLE_DEVICES``."""

from __future__ import annotations

from collections.abc import Mapping

from entrypoint.errors import SettingError
from entrypoint.hardware.hardware import Device, Kind
from entrypoint.hardware.kinds import devices_text

HIP_VARIABLES = ("HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")
"""Two names of one variable for HIP."""

VARIABLES: Mapping[Kind, tuple[str, ...]] = {
    "cuda": ("CUDA_VISIBLE_DEVICES",),
    # the driver's library hides devices first, and HIP numbers the remaining ones
    "rocm": ("ROCR_VISIBLE_DEVICES", *HIP_VARIABLES),
    "hpu": ("HABANA_VISIBLE_DEVICES", "HABANA_VISIBLE_MODULES"),
}


def visible_devices(
    kind: Kind, devices: tuple[Device, ...], environ: Mapping[str, str]
) -> tuple[Device, ...]:
    """Return the devices that the variables select, in the variables' order.

    Raises:
        SettingError: A variable names a device that does not exist or hides every device, or
            HIP_VISIBLE_DEVICES and CUDA_VISIBLE_DEVICES differ, which vLLM rejects.
    """
    names = [name for name in VARIABLES.get(kind, ()) if environ.get(name)]
    if kind == "rocm" and set(HIP_VARIABLES) <= set(names):
        hip, cuda = (environ[name] for name in HIP_VARIABLES)
        if hip != cuda:
            raise SettingError(
                f"HIP_VISIBLE_DEVICES={hip} and CUDA_VISIBLE_DEVICES={cuda} differ, but ROCm "
                "treats them as the same variable.",
                variable="HIP_VISIBLE_DEVICES",
                hint="Set only one of them.",
            )
        names.remove("CUDA_VISIBLE_DEVICES")
    for name in names:
        devices = _select(kind, devices, name, environ[name])
    return devices


def _select(
    kind: Kind, devices: tuple[Device, ...], variable: str, value: str
) -> tuple[Device, ...]:
    words = [word.strip() for word in value.split(",")]
    if words == ["all"]:
        return devices
    if variable == "HABANA_VISIBLE_DEVICES":
        # the container runtime has applied it already, and may have renumbered the devices
        return devices[: len(words)]
    found = [_find(devices, variable, word) for word in words]
    if None in found:
        missing = words[found.index(None)]
        modules = variable == "HABANA_VISIBLE_MODULES"
        available = [d.identity if modules else str(n) for n, d in enumerate(devices)]
        raise SettingError(
            f"{variable}={value}: device {missing!r} does not exist. Available: "
            f"{', '.join(name for name in available if name)} "
            f"({devices_text(kind, len(devices))}).",
            variable=variable,
            hint=f"Fix {variable}, or remove it to use all devices.",
        )
    return tuple(device for device in found if device is not None)


def _find(devices: tuple[Device, ...], variable: str, word: str) -> Device | None:
    """Return the device with a number, or with an identity that starts with ``word``."""
    if variable == "HABANA_VISIBLE_MODULES":
        if all(device.identity is None for device in devices):
            return devices[int(word)] if word.isdigit() and int(word) < len(devices) else None
        return next((device for device in devices if device.identity == word), None)
    if word.isdigit():
        return devices[int(word)] if int(word) < len(devices) else None
    for device in devices:
        if device.identity is not None and word and device.identity.startswith(word):
            return device
    # a slice of a device (MIG), or a UUID while NVML is not available
    return Device(0, word) if word.startswith(("MIG-", "GPU-")) else None
