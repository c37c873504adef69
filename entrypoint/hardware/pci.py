"""What the PCI bus shows of a machine, whether or not a container got the device."""

from __future__ import annotations

from pathlib import Path

from entrypoint.hardware.hardware import Kind

VENDORS: dict[str, Kind] = {
    "0x10de": "cuda",  # NVIDIA
    "0x1002": "rocm",  # AMD
    "0x1da3": "hpu",  # Habana
}
INTEL = "0x8086"

# display controllers, and processing accelerators: the upper byte of the class
CLASSES = ("0x03", "0x12")


def installed_devices(root: Path) -> dict[Kind, int]:
    """Return how many accelerators of each kind are on the PCI bus."""
    found: dict[Kind, int] = {}
    for device in (root / "sys/bus/pci/devices").glob("*"):
        try:
            vendor = (device / "vendor").read_text().strip()
            kind = VENDORS.get(vendor)
            if kind and (device / "class").read_text().startswith(CLASSES):
                found[kind] = found.get(kind, 0) + 1
        except OSError:
            continue
    return found
