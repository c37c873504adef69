"""AMD's devices, by ``/dev/kfd`` and the topology that its kernel driver shows.

The topology's files: ``drivers/gpu/drm/amd/amdkfd/kfd_topology.c`` in Linux.
"""

from __future__ import annotations

from pathlib import Path

from entrypoint.hardware.hardware import Device

TOPOLOGY = "sys/class/kfd/kfd/topology/nodes"
DRIVER = "sys/module/amdgpu/version"

HEAP_LOCAL = {1, 2}
"""The heaps that are the device's own memory: HSA_MEM_HEAP_TYPE_FB_PUBLIC and _FB_PRIVATE."""


def rocm_nodes(root: Path) -> list[Path]:
    """Return the nodes that a process needs: the compute driver's, and each device's."""
    devices = [root / f"dev/dri/renderD{minor}" for minor, _ in _topology(root)]
    return [node for node in (root / "dev/kfd", *devices) if node.exists()]


def rocm_devices(root: Path) -> tuple[Device, ...]:
    """Return the devices that have a node, in the topology's order, as HIP counts them."""
    if not (root / "dev/kfd").exists():
        return ()
    found: list[Device] = []
    for minor, folder in _topology(root):
        if (root / f"dev/dri/renderD{minor}").exists():
            target = target_name(_properties(folder / "properties").get("gfx_target_version", 0))
            found.append(
                Device(len(found), f"AMD GPU {target}", _memory(folder), target, f"renderD{minor}")
            )
    return tuple(found)


def rocm_driver(root: Path) -> str | None:
    """Return the version of the driver, where it is not the kernel's own."""
    try:
        return (root / DRIVER).read_text().strip()
    except OSError:
        return None


def target_name(version: int) -> str:
    """Return AMD's name of a target: 90402 is gfx942, 90010 gfx90a, 110000 gfx1100.

    Major, minor and stepping are two decimal digits each; the name writes the last two in
    hexadecimal.
    """
    major, minor, stepping = version // 10000, version // 100 % 100, version % 100
    return f"gfx{major}{minor:x}{stepping:x}"


def _topology(root: Path) -> list[tuple[int, Path]]:
    """Return the render minor and the folder of each node that is a GPU."""
    found = []
    for folder in sorted((root / TOPOLOGY).glob("*"), key=lambda path: path.name.zfill(4)):
        properties = _properties(folder / "properties")
        if properties.get("simd_count") and properties.get("drm_render_minor", 0) > 0:
            found.append((properties["drm_render_minor"], folder))
    return found


def _properties(path: Path) -> dict[str, int]:
    """Return ``{name: number}``; nothing of a device that the cgroup forbids."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.split() for line in lines)
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _memory(folder: Path) -> int | None:
    banks = [_properties(path) for path in folder.glob("mem_banks/*/properties")]
    sizes = [b["size_in_bytes"] for b in banks if b.get("heap_type") in HEAP_LOCAL]
    return sum(sizes) or None
