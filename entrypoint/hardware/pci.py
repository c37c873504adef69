"""The accelerators on the PCI bus, whether or not the container has their device nodes."""

from __future__ import annotations

from pathlib import Path

from entrypoint.hardware.hardware import Kind
from entrypoint.hardware.kernel_files import read_text

VENDORS: dict[str, Kind] = {
    "0x10de": "cuda",  # NVIDIA
    "0x1002": "rocm",  # AMD
    "0x1da3": "hpu",  # Habana
}
INTEL = "0x8086"

# display controllers and processing accelerators, by the upper byte of the class
CLASSES = ("0x03", "0x12")


def installed_devices(root: Path) -> dict[Kind, int]:
    """Return the number of accelerators of each kind on the PCI bus."""
    found: dict[Kind, int] = {}
    for device in (root / "sys/bus/pci/devices").glob("*"):
        kind = VENDORS.get(read_text(device / "vendor"))
        if kind and read_text(device / "class").startswith(CLASSES):
            found[kind] = found.get(kind, 0) + 1
    return found
