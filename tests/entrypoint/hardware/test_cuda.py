"""NVIDIA's devices are found by their nodes and described by NVML."""

from pathlib import Path

from entrypoint.hardware.cuda import cuda_devices, cuda_driver, load_nvml
from entrypoint.hardware.hardware import Device
from tests.support.hardware import CUDA_NODES, tree
from tests.support.nvml_stand_in import Nvml


def test_nvml_describes_the_devices(tmp_path: Path) -> None:
    first, second = cuda_devices(tree(tmp_path, CUDA_NODES), Nvml())
    assert first == Device(0, "NVIDIA H100 80GB HBM3", 80 << 30, "9.0", "GPU-0aaaa-bbbb")
    assert second.memory_bytes == (80 << 30) - 1
    assert cuda_driver(Nvml()) == "580.95.05"


def test_only_devices_with_a_node_count(tmp_path: Path) -> None:
    """NVML numbers devices by bus, nodes by minor number. A container can have one of four."""
    devices = cuda_devices(tree(tmp_path, {"dev/nvidia3": ""}), Nvml(minors=(2, 3, 0, 1)))
    assert [(device.index, device.identity) for device in devices] == [(0, "GPU-3aaaa-bbbb")]


def test_without_nvml_the_nodes_are_counted(tmp_path: Path) -> None:
    devices = cuda_devices(tree(tmp_path, CUDA_NODES), None)
    assert [(d.index, d.memory_bytes) for d in devices] == [(0, None), (1, None)]
    assert cuda_driver(None) is None


def test_a_failed_device_does_not_stop_the_launch(tmp_path: Path) -> None:
    devices = cuda_devices(tree(tmp_path, CUDA_NODES), Nvml(has_failed=True))
    assert [d.name for d in devices] == ["NVIDIA GPU", "NVIDIA GPU"]


def test_a_device_without_dedicated_memory_has_no_size(tmp_path: Path) -> None:
    devices = cuda_devices(tree(tmp_path, CUDA_NODES), Nvml(has_memory=False))
    assert [d.memory_bytes for d in devices] == [None, None]


def test_loading_nvml_never_raises() -> None:
    nvml = load_nvml()
    assert nvml is None or nvml.nvmlDeviceGetCount() >= 0
