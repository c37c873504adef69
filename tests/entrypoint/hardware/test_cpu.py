"""The memory that a CPU engine may use."""

from pathlib import Path

import pytest

from entrypoint.hardware.cpu import available_memory
from tests.entrypoint.hardware.samples import MEMINFO, tree


class TestMemory:
    def test_the_machines(self, tmp_path: Path) -> None:
        assert available_memory(tree(tmp_path, {"proc/meminfo": MEMINFO})) == 8_000_000 * 1024

    @pytest.mark.parametrize(
        "files",
        [
            {"sys/fs/cgroup/memory.max": "3000", "sys/fs/cgroup/memory.current": "1000"},
            {
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "3000",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": "1000",
            },
        ],
    )
    def test_the_cgroups_where_it_is_less(self, tmp_path: Path, files: dict[str, str]) -> None:
        assert available_memory(tree(tmp_path, {"proc/meminfo": MEMINFO, **files})) == 2000

    def test_a_cgroup_without_a_limit(self, tmp_path: Path) -> None:
        files = {"proc/meminfo": MEMINFO, "sys/fs/cgroup/memory.max": "max\n"}
        assert available_memory(tree(tmp_path, files)) == 8_000_000 * 1024

    def test_unknown(self, tmp_path: Path) -> None:
        assert available_memory(tmp_path) is None
