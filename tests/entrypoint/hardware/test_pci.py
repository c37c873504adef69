"""What the bus shows of devices that a container did not get."""

from pathlib import Path

from entrypoint.hardware.pci import installed_devices
from tests.support.hardware import CUDA_BUS, HPU_BUS, ROCM_BUS, tree


def test_each_maker(tmp_path: Path) -> None:
    root = tree(tmp_path, CUDA_BUS, ROCM_BUS, HPU_BUS)
    assert installed_devices(root) == {"cuda": 2, "rocm": 2, "hpu": 2}


def test_none(tmp_path: Path) -> None:
    assert installed_devices(tmp_path) == {}
