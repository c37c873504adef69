"""Limits and counters of both cgroup versions, on each level that a container sees."""

from pathlib import Path

import pytest

from entrypoint.hardware.cgroup import cpu_quota, memory_left, memory_limit, oom_kills
from tests.support.hardware import CGROUP_2, CGROUP_2_ROOT, tree

# Docker without a cgroup namespace: the paths are the host's, the mounts show this part of them
V1 = {
    "proc/self/mountinfo": (
        "28 23 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs rw,mode=755\n"
        "35 28 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
        "36 28 0:33 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n"
        "41 28 0:38 / /sys/fs/cgroup/unified ro - cgroup2 cgroup2 rw\n"
    ),
    "proc/self/cgroup": "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n0::/docker/abc\n",
}
MEMORY_1, CPU_1 = "sys/fs/cgroup/memory", "sys/fs/cgroup/cpu,cpuacct"
STAT = "anon 1\ninactive_file 400\ntotal_inactive_file 400\n"
NO_LIMIT_1 = "9223372036854771712\n"


class TestMemory:
    def test_the_limit_and_the_rest_in_version_2(self, tmp_path: Path) -> None:
        files = {
            f"{CGROUP_2_ROOT}/memory.max": "3000\n",
            f"{CGROUP_2_ROOT}/memory.current": "1000\n",
        }
        root = tree(tmp_path, CGROUP_2, files)
        assert (memory_limit(root), memory_left(root)) == (3000, 2000)

    def test_the_limit_and_the_rest_in_version_1(self, tmp_path: Path) -> None:
        files = {
            f"{MEMORY_1}/memory.limit_in_bytes": "3000\n",
            f"{MEMORY_1}/memory.usage_in_bytes": "1000\n",
        }
        root = tree(tmp_path, V1, files)
        assert (memory_limit(root), memory_left(root)) == (3000, 2000)

    @pytest.mark.parametrize(
        "files",
        [
            {
                **CGROUP_2,
                f"{CGROUP_2_ROOT}/memory.max": "max\n",
                f"{CGROUP_2_ROOT}/memory.current": "1000\n",
            },
            {**V1, f"{MEMORY_1}/memory.limit_in_bytes": NO_LIMIT_1},
            {},
        ],
        ids=["version 2", "version 1", "no cgroup"],
    )
    def test_without_a_limit_nothing_is_left_to_report(
        self, tmp_path: Path, files: dict[str, str]
    ) -> None:
        root = tree(tmp_path, files)
        assert (memory_limit(root), memory_left(root)) == (None, None)

    @pytest.mark.parametrize(
        ("base", "folder", "limit", "usage"),
        [
            (CGROUP_2, CGROUP_2_ROOT, "memory.max", "memory.current"),
            (V1, MEMORY_1, "memory.limit_in_bytes", "memory.usage_in_bytes"),
        ],
        ids=["version 2", "version 1"],
    )
    def test_cached_files_count_as_free(
        self, tmp_path: Path, base: dict[str, str], folder: str, limit: str, usage: str
    ) -> None:
        """Reading a model fills the cache, but the engine can still use that memory."""
        files = {
            f"{folder}/{limit}": "3000\n",
            f"{folder}/{usage}": "1000\n",
            f"{folder}/memory.stat": STAT,
        }
        assert memory_left(tree(tmp_path, base, files)) == 2400

    def test_the_lowest_limit_of_all_levels_counts(self, tmp_path: Path) -> None:
        """A systemd service, or a pod with a limit above its container's cgroup."""
        files = {
            "proc/self/cgroup": "0::/pod/box\n",
            f"{CGROUP_2_ROOT}/pod/box/memory.max": "max\n",
            f"{CGROUP_2_ROOT}/pod/memory.max": "2000\n",
            f"{CGROUP_2_ROOT}/pod/memory.current": "500\n",
            f"{CGROUP_2_ROOT}/memory.max": "9000\n",
        }
        root = tree(tmp_path, CGROUP_2, files)
        assert (memory_limit(root), memory_left(root)) == (2000, 1500)

    def test_the_rest_is_never_negative(self, tmp_path: Path) -> None:
        files = {
            f"{CGROUP_2_ROOT}/memory.max": "1000\n",
            f"{CGROUP_2_ROOT}/memory.current": "1500\n",
        }
        assert memory_left(tree(tmp_path, CGROUP_2, files)) == 0


class TestQuota:
    @pytest.mark.parametrize(("text", "quota"), [("250000 100000", 2.5), ("max 100000", None)])
    def test_the_quota_in_version_2(self, tmp_path: Path, text: str, quota: float | None) -> None:
        assert cpu_quota(tree(tmp_path, CGROUP_2, {f"{CGROUP_2_ROOT}/cpu.max": text})) == quota

    @pytest.mark.parametrize(("text", "quota"), [("50000", 0.5), ("-1", None)])
    def test_the_quota_in_version_1(self, tmp_path: Path, text: str, quota: float | None) -> None:
        files = {f"{CPU_1}/cpu.cfs_quota_us": text, f"{CPU_1}/cpu.cfs_period_us": "100000\n"}
        assert cpu_quota(tree(tmp_path, V1, files)) == quota


class TestOomKills:
    def test_kills_are_counted_in_version_2(self, tmp_path: Path) -> None:
        events = {f"{CGROUP_2_ROOT}/memory.events": "low 0\nhigh 0\nmax 9\noom 3\noom_kill 2\n"}
        assert oom_kills(tree(tmp_path, CGROUP_2, events)) == 2

    def test_kills_are_counted_in_version_1(self, tmp_path: Path) -> None:
        events = {f"{MEMORY_1}/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n"}
        assert oom_kills(tree(tmp_path, V1, events)) == 4

    def test_the_number_is_unknown_without_a_cgroup(self, tmp_path: Path) -> None:
        assert oom_kills(tmp_path) is None


def test_the_limits_of_this_machine_are_consistent() -> None:
    root = Path("/")
    limit, left = memory_limit(root), memory_left(root)
    assert (limit is None) == (left is None)
    assert limit is None or left is None or left <= limit
    assert (cpu_quota(root) or 1) > 0
