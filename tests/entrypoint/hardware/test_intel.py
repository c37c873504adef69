"""Intel's GPUs are found among the render nodes of all vendors."""

from pathlib import Path

from entrypoint.hardware.hardware import Device
from entrypoint.hardware.intel import intel_devices, intel_nodes
from tests.support.hardware import INTEL_BUS, INTEL_NODES, tree


def test_render_nodes_of_other_vendors_do_not_count(tmp_path: Path) -> None:
    root = tree(tmp_path, INTEL_NODES, INTEL_BUS)
    assert intel_devices(root) == (Device(0, "Intel GPU", identity="renderD129"),)
    assert [node.name for node in intel_nodes(root)] == ["renderD129"]


def test_a_gpu_without_a_node_does_not_count(tmp_path: Path) -> None:
    assert intel_devices(tree(tmp_path, INTEL_BUS)) == ()
