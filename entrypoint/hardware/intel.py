"""Intel's GPUs, found by their render nodes and the PCI vendor."""

from __future__ import annotations

from pathlib import Path

from entrypoint.hardware.hardware import Device
from entrypoint.hardware.kernel_files import read_text
from entrypoint.hardware.nodes import numbered_entries
from entrypoint.hardware.pci import INTEL


def intel_nodes(root: Path) -> list[Path]:
    """Return the render nodes of Intel's GPUs."""
    return [
        root / f"dev/dri/renderD{minor}"
        for minor in numbered_entries(root / "dev/dri", "renderD")
        if read_text(root / f"sys/class/drm/renderD{minor}/device/vendor") == INTEL
    ]


def intel_devices(root: Path) -> tuple[Device, ...]:
    """Return Intel's GPUs that have a node, numbered as in OpenVINO (``GPU.0``)."""
    nodes = intel_nodes(root)
    return tuple(Device(index, "Intel GPU", identity=node.name) for index, node in enumerate(nodes))
