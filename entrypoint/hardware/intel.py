"""Intel's GPUs, by their render nodes and the vendor that the kernel names."""

from __future__ import annotations

from pathlib import Path

from entrypoint.hardware.hardware import Device
from entrypoint.hardware.nodes import numbered
from entrypoint.hardware.pci import INTEL


def intel_nodes(root: Path) -> list[Path]:
    """Return the render nodes of Intel's GPUs."""
    found = []
    for minor in numbered(root / "dev/dri", "renderD"):
        try:
            vendor = (root / f"sys/class/drm/renderD{minor}/device/vendor").read_text().strip()
        except OSError:
            continue
        if vendor == INTEL:
            found.append(root / f"dev/dri/renderD{minor}")
    return found


def intel_devices(root: Path) -> tuple[Device, ...]:
    """Return Intel's GPUs that have a node, counted from 0 as OpenVINO does (``GPU.0``)."""
    nodes = intel_nodes(root)
    return tuple(Device(index, "Intel GPU", identity=node.name) for index, node in enumerate(nodes))
