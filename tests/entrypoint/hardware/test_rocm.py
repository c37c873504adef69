"""AMD's devices are found in the topology and by their render nodes."""

from pathlib import Path

import pytest

from entrypoint.hardware.hardware import Device
from entrypoint.hardware.rocm import rocm_devices, rocm_driver, rocm_nodes, target_name
from tests.support.hardware import ROCM_BUS, ROCM_NODES, tree


@pytest.mark.parametrize(
    ("version", "name"),
    [
        (90010, "gfx90a"),
        (90402, "gfx942"),
        (90500, "gfx950"),
        (90006, "gfx906"),
        (110000, "gfx1100"),
        (120001, "gfx1201"),
    ],
)
def test_a_target_version_has_amds_name(version: int, name: str) -> None:
    assert target_name(version) == name


def test_gpus_are_found_and_sockets_are_skipped(tmp_path: Path) -> None:
    root = tree(tmp_path, ROCM_NODES, ROCM_BUS)
    assert rocm_devices(root) == (
        Device(0, "AMD GPU gfx942", 206141652992, "gfx942", "renderD128"),
        Device(1, "AMD GPU gfx942", 206141652992, "gfx942", "renderD136"),
    )
    assert rocm_driver(root) == "6.12.12"
    assert [node.name for node in rocm_nodes(root)] == ["kfd", "renderD128", "renderD136"]


def test_a_device_without_a_render_node_does_not_count(tmp_path: Path) -> None:
    root = tree(tmp_path, {"dev/kfd": "", "dev/dri/renderD136": ""}, ROCM_BUS)
    assert [device.identity for device in rocm_devices(root)] == ["renderD136"]


def test_no_device_counts_without_the_compute_driver(tmp_path: Path) -> None:
    assert rocm_devices(tree(tmp_path, {"dev/dri/renderD128": ""}, ROCM_BUS)) == ()


def test_a_machine_without_amd_devices_has_none(tmp_path: Path) -> None:
    assert (rocm_devices(tmp_path), rocm_driver(tmp_path)) == ((), None)
