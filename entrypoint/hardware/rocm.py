"""AMD's devices, found by ``/dev/kfd`` and the kernel driver's topology.

Linux defines the topology's files in ``drivers/gpu/drm/amd/amdkfd/kfd_topology.c``.
"""

from __future__ import annotations

from pathlib import Path

from entrypoint.hardware.hardware import Device
from entrypoint.hardware.kernel_files import read_table, read_text

TOPOLOGY = "sys/class/kfd/kfd/topology/nodes"
DRIVER = "sys/module/amdgpu/version"

HEAP_LOCAL = {1, 2}
"""The heaps in the device's own memory: HSA_MEM_HEAP_TYPE_FB_PUBLIC and _FB_PRIVATE."""


def rocm_nodes(root: Path) -> list[Path]:
    """Return the device nodes that a process needs: the compute driver's and each device's."""
    devices = [root / f"dev/dri/renderD{minor}" for minor, _ in _topology(root)]
    return [node for node in (root / "dev/kfd", *devices) if node.exists()]


def rocm_devices(root: Path) -> tuple[Device, ...]:
    """Return the devices that have a node, in the topology's order, which HIP uses too."""
    if not (root / "dev/kfd").exists():
        return ()
    found: list[Device] = []
    for minor, folder in _topology(root):
        if (root / f"dev/dri/renderD{minor}").exists():
            target = target_name(read_table(folder / "properties").get("gfx_target_version", 0))
            found.append(
                Device(len(found), f"AMD GPU {target}", _memory(folder), target, f"renderD{minor}")
            )
    return tuple(found)


def rocm_driver(root: Path) -> str | None:
    """Return the driver's version, None if the driver is the kernel's own."""
    return read_text(root / DRIVER) or None


def target_name(version: int) -> str:
    """Return AMD's name of a target: 90402 is gfx942, 90010 gfx90a, 110000 gfx1100.

    The version has two decimal digits each for major, minor and stepping. The name has the last
    two in hexadecimal.
    """
    major, minor, stepping = version // 10000, version // 100 % 100, version % 100
    return f"gfx{major}{minor:x}{stepping:x}"


def _topology(root: Path) -> list[tuple[int, Path]]:
    """Return the render minor and the folder of each GPU in the topology.

    A device that the cgroup denies has an unreadable file and is left out.
    """
    found = []
    for folder in sorted((root / TOPOLOGY).glob("*"), key=lambda path: path.name.zfill(4)):
        properties = read_table(folder / "properties")
        if properties.get("simd_count") and properties.get("drm_render_minor", 0) > 0:
            found.append((properties["drm_render_minor"], folder))
    return found


def _memory(folder: Path) -> int | None:
    banks = [read_table(path) for path in folder.glob("mem_banks/*/properties")]
    sizes = [b["size_in_bytes"] for b in banks if b.get("heap_type") in HEAP_LOCAL]
    return sum(sizes) or None
