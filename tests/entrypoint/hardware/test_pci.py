"""The PCI bus shows devices that the container does not have."""

from pathlib import Path

from entrypoint.hardware.pci import installed_devices
from tests.support.hardware import CUDA_BUS, HPU_BUS, ROCM_BUS, tree


def test_devices_are_counted_by_vendor(tmp_path: Path) -> None:
    root = tree(tmp_path, CUDA_BUS, ROCM_BUS, HPU_BUS)
    assert installed_devices(root) == {"cuda": 2, "rocm": 2, "hpu": 2}


def test_a_machine_without_a_bus_has_none(tmp_path: Path) -> None:
    assert installed_devices(tmp_path) == {}
