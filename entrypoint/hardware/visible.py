"""The variables that hide devices from a process: ``CUDA_VISIBLE_DEVICES`` and its like."""

from __future__ import annotations

from collections.abc import Mapping

from entrypoint.errors import SettingError
from entrypoint.hardware.hardware import Device, Kind
from entrypoint.hardware.kinds import counted

HIDING: Mapping[Kind, tuple[str, ...]] = {
    "cuda": ("CUDA_VISIBLE_DEVICES",),
    # the driver's library hides first; HIP counts what that left, by either of its two names
    "rocm": ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"),
    "hpu": ("HABANA_VISIBLE_DEVICES", "HABANA_VISIBLE_MODULES"),
}
SYNONYMS = ("HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")


def visible_devices(
    kind: Kind, devices: tuple[Device, ...], environ: Mapping[str, str]
) -> tuple[Device, ...]:
    """Return the devices that the variables leave, in the variables' order.

    Raises:
        SettingError: A variable names a device that is not there or hides every one, or
            HIP_VISIBLE_DEVICES and CUDA_VISIBLE_DEVICES differ, which vLLM refuses.
    """
    names = [name for name in HIDING.get(kind, ()) if environ.get(name)]
    if kind == "rocm" and set(SYNONYMS) <= set(names):
        hip, cuda = (environ[name] for name in SYNONYMS)
        if hip != cuda:
            raise SettingError(
                f"HIP_VISIBLE_DEVICES={hip} and CUDA_VISIBLE_DEVICES={cuda} differ, and mean the "
                "same devices to ROCm.",
                variable="HIP_VISIBLE_DEVICES",
                hint="Set one of them.",
            )
        names.remove("CUDA_VISIBLE_DEVICES")
    for name in names:
        devices = _left(kind, devices, name, environ[name])
    return devices


def _left(kind: Kind, devices: tuple[Device, ...], variable: str, value: str) -> tuple[Device, ...]:
    words = [word.strip() for word in value.split(",")]
    if words == ["all"]:
        return devices
    if variable == "HABANA_VISIBLE_DEVICES":
        # the container runtime has read it already, and may have counted the devices anew
        return devices[: len(words)]
    found = [_named(devices, variable, word) for word in words]
    if None in found:
        missing = words[found.index(None)]
        modules = variable == "HABANA_VISIBLE_MODULES"
        there = [d.identity if modules else str(n) for n, d in enumerate(devices)]
        raise SettingError(
            f"{variable}={value} names {missing!r}, and there is no such device. "
            f"There is: {', '.join(name for name in there if name)} "
            f"({counted(kind, len(devices))}).",
            variable=variable,
            hint=f"Take {variable} out to use every device.",
        )
    return tuple(device for device in found if device is not None)


def _named(devices: tuple[Device, ...], variable: str, word: str) -> Device | None:
    """Return the device that a word names: by number, or by the start of its identity."""
    if variable == "HABANA_VISIBLE_MODULES":
        if all(device.identity is None for device in devices):
            return devices[int(word)] if word.isdigit() and int(word) < len(devices) else None
        return next((device for device in devices if device.identity == word), None)
    if word.isdigit():
        return devices[int(word)] if int(word) < len(devices) else None
    for device in devices:
        if device.identity is not None and word and device.identity.startswith(word):
            return device
    # a slice of a device (MIG), or a driver's own name where the driver was not asked
    return Device(0, word) if word.startswith(("MIG-", "GPU-")) else None
