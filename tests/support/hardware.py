"""The parts of /dev, /proc and /sys that are read, as machines with each accelerator have them.

Device nodes are plain files here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

MEMINFO = "MemTotal:       16000000 kB\nMemFree:  1 kB\nMemAvailable:    8000000 kB\n"

MACHINE = {
    "proc/meminfo": MEMINFO,
    "proc/cpuinfo": "processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512_vnni\n\nprocessor\t: 1\n",
    "proc/self/status": "Name:\tx\nCpus_allowed_list:\t0-3\nMems_allowed_list:\t0-1\n",
    "sys/devices/system/node/node0/cpulist": "0-1\n",
    "sys/devices/system/node/node1/cpulist": "2-3\n",
    "sys/devices/system/cpu/cpu0/topology/thread_siblings_list": "0,2\n",
    "sys/devices/system/cpu/cpu1/topology/thread_siblings_list": "1,3\n",
    "sys/devices/system/cpu/cpu2/topology/thread_siblings_list": "0,2\n",
    "sys/devices/system/cpu/cpu3/topology/thread_siblings_list": "1,3\n",
}

# two H100, as the container toolkit passes them
CUDA_NODES = {"dev/nvidia0": "", "dev/nvidia1": "", "dev/nvidiactl": "", "dev/nvidia-uvm": ""}
CUDA_BUS = {
    "sys/bus/pci/devices/0000:1b:00.0/vendor": "0x10de\n",
    "sys/bus/pci/devices/0000:1b:00.0/class": "0x030200\n",
    "sys/bus/pci/devices/0000:43:00.0/vendor": "0x10de\n",
    "sys/bus/pci/devices/0000:43:00.0/class": "0x030200\n",
    # the audio function of a graphics card does not count
    "sys/bus/pci/devices/0000:43:00.1/vendor": "0x10de\n",
    "sys/bus/pci/devices/0000:43:00.1/class": "0x040300\n",
}

# an EPYC with two MI300X, whose first two topology nodes are its sockets
ROCM_NODES = {"dev/kfd": "", "dev/dri/renderD128": "", "dev/dri/renderD136": ""}
_SOCKET = "cpu_cores_count 96\nsimd_count 0\nmem_banks_count 1\ndrm_render_minor 0\n"
_MI300X = "cpu_cores_count 0\nsimd_count 1216\nmem_banks_count 1\ngfx_target_version 90402\n"
_BANK = "heap_type 1\nsize_in_bytes 206141652992\nflags 0\nwidth 8192\nmem_clk_max 1300\n"
_KFD = "sys/class/kfd/kfd/topology/nodes"
ROCM_BUS = {
    f"{_KFD}/0/properties": _SOCKET,
    f"{_KFD}/0/mem_banks/0/properties": "heap_type 0\nsize_in_bytes 811748818944\n",
    f"{_KFD}/1/properties": _SOCKET,
    f"{_KFD}/2/properties": _MI300X + "drm_render_minor 128\n",
    f"{_KFD}/2/mem_banks/0/properties": _BANK,
    f"{_KFD}/10/properties": _MI300X + "drm_render_minor 136\n",
    f"{_KFD}/10/mem_banks/0/properties": _BANK,
    "sys/module/amdgpu/version": "6.12.12\n",
    "sys/bus/pci/devices/0000:05:00.0/vendor": "0x1002\n",
    "sys/bus/pci/devices/0000:05:00.0/class": "0x120000\n",
    "sys/bus/pci/devices/0000:26:00.0/vendor": "0x1002\n",
    "sys/bus/pci/devices/0000:26:00.0/class": "0x120000\n",
}

# two Gaudi 2 cards
HPU_NODES = {
    "dev/accel/accel0": "",
    "dev/accel/accel1": "",
    "dev/accel/accel_controlD0": "",
    "dev/accel/accel_controlD1": "",
}
HPU_BUS = {
    "sys/bus/pci/devices/0000:33:00.0/vendor": "0x1da3\n",
    "sys/bus/pci/devices/0000:33:00.0/class": "0x120000\n",
    "sys/bus/pci/devices/0000:34:00.0/vendor": "0x1da3\n",
    "sys/bus/pci/devices/0000:34:00.0/class": "0x120000\n",
}
HL_SMI = "0, 3, HL-225, 98304, 1.24.1-9a4f2c1\n1, 7, HL-225, 98304, 1.24.1-9a4f2c1\n"

# an Intel graphics card beside another vendor's display controller
INTEL_NODES = {"dev/dri/renderD128": "", "dev/dri/renderD129": ""}
INTEL_BUS = {
    "sys/class/drm/renderD128/device/vendor": "0x1a03\n",
    "sys/class/drm/renderD129/device/vendor": "0x8086\n",
}

CGROUP_2 = {
    "proc/self/mountinfo": "31 23 0:28 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw,nsdelegate\n",
    "proc/self/cgroup": "0::/\n",
}
CGROUP_2_ROOT = "sys/fs/cgroup"


def tree(root: Path, *parts: Mapping[str, str]) -> Path:
    """Write files below a root; later parts win."""
    for part in parts:
        for name, content in part.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
    return root
