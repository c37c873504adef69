"""Processors, NUMA nodes and memory are read from the kernel's files."""

from pathlib import Path

import pytest

from entrypoint.hardware.cpu import (
    allowed_cpus,
    available_memory,
    numa_nodes,
    parse_list,
    read_processor,
)
from tests.support.hardware import CGROUP_2, CGROUP_2_ROOT, MACHINE, tree


@pytest.mark.parametrize(
    ("text", "numbers"), [("0-2,7", (0, 1, 2, 7)), ("3", (3,)), ("", ()), ("0-1\n", (0, 1))]
)
def test_a_list_of_the_kernel_is_parsed(text: str, numbers: tuple[int, ...]) -> None:
    assert parse_list(text) == numbers


class TestProcessors:
    def test_only_allowed_processors_are_listed(self, tmp_path: Path) -> None:
        assert allowed_cpus(tree(tmp_path, MACHINE)) == (0, 1, 2, 3)

    def test_two_threads_are_one_core(self, tmp_path: Path) -> None:
        root = tree(tmp_path, MACHINE)
        assert read_processor(root, (0, 1, 2, 3)).cores == (2, 3)
        assert read_processor(root, (0, 1)).cores == (0, 1)
        assert read_processor(root, (0, 2)).cores == (2,)

    def test_without_a_topology_each_processor_is_a_core(self, tmp_path: Path) -> None:
        assert read_processor(tmp_path, (0, 1)).cores == (0, 1)

    @pytest.mark.parametrize(
        "text",
        [
            "processor\t: 0\nflags\t\t: avx2 avx512_bf16\n",
            "processor\t: 0\nFeatures\t: asimd bf16 avx2 avx512_bf16\n",
        ],
        ids=["x86", "Arm"],
    )
    def test_flags_are_read_on_x86_and_on_arm(self, tmp_path: Path, text: str) -> None:
        flags = read_processor(tree(tmp_path, {"proc/cpuinfo": text}), (0,)).flags
        assert {"avx2", "avx512_bf16"} <= flags


class TestNodes:
    def test_nodes_with_an_allowed_processor_count(self, tmp_path: Path) -> None:
        root = tree(tmp_path, MACHINE)
        assert numa_nodes(root, (0, 1, 2, 3)) == 2
        assert numa_nodes(root, (2, 3)) == 1

    def test_nodes_whose_memory_is_not_allowed_do_not_count(self, tmp_path: Path) -> None:
        status = "Cpus_allowed_list:\t0-3\nMems_allowed_list:\t1\n"
        assert numa_nodes(tree(tmp_path, MACHINE, {"proc/self/status": status}), (0, 3)) == 1

    def test_there_is_at_least_one_node(self, tmp_path: Path) -> None:
        assert numa_nodes(tmp_path, (0,)) == 1


class TestMemory:
    def test_without_a_cgroup_limit_the_machines_memory_counts(self, tmp_path: Path) -> None:
        root = tree(tmp_path, MACHINE)
        assert available_memory(root) == 8_000_000 * 1024
        processor = read_processor(root, (0,))
        assert (processor.memory_limit, processor.memory_limited) == (16_000_000 * 1024, False)

    def test_a_lower_cgroup_limit_counts(self, tmp_path: Path) -> None:
        files = {f"{CGROUP_2_ROOT}/memory.max": "3000", f"{CGROUP_2_ROOT}/memory.current": "1000"}
        root = tree(tmp_path, MACHINE, CGROUP_2, files)
        assert available_memory(root) == 2000
        processor = read_processor(root, (0,))
        assert (processor.memory_limit, processor.memory_limited) == (3000, True)

    def test_a_cgroup_limit_above_the_machines_memory_does_not_count(self, tmp_path: Path) -> None:
        root = tree(tmp_path, MACHINE, CGROUP_2, {f"{CGROUP_2_ROOT}/memory.max": str(1 << 40)})
        assert read_processor(root, (0,)).memory_limited is False

    def test_available_memory_is_unknown_without_meminfo(self, tmp_path: Path) -> None:
        assert available_memory(tmp_path) is None
