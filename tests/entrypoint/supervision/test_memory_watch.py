"""Whether the kernel has killed a process for memory."""

from pathlib import Path

from entrypoint.supervision.memory_watch import MemoryWatch
from tests.support.hardware import CGROUP_2, CGROUP_2_ROOT, tree


def machine(root: Path, kills: int, limit: str = "max") -> Path:
    events = {
        f"{CGROUP_2_ROOT}/memory.events": f"oom_kill {kills}\n",
        f"{CGROUP_2_ROOT}/memory.max": limit,
    }
    return tree(root, CGROUP_2, events)


class TestWatch:
    def test_without_a_killed_process_there_is_no_cause(self, tmp_path: Path) -> None:
        assert MemoryWatch(machine(tmp_path, 3)).cause() is None

    def test_a_killed_process_names_the_limit(self, tmp_path: Path) -> None:
        watch = MemoryWatch(machine(tmp_path, 3, str(6 << 30)))
        machine(tmp_path, 4, str(6 << 30))
        assert watch.cause() == "the memory limit of 6.0 GiB was reached"

    def test_without_a_limit_the_machine_ran_out_of_memory(self, tmp_path: Path) -> None:
        watch = MemoryWatch(machine(tmp_path, 0))
        machine(tmp_path, 1)
        assert watch.cause() == "the machine ran out of memory"

    def test_without_a_counter_there_is_no_cause(self, tmp_path: Path) -> None:
        assert MemoryWatch(tmp_path).cause() is None
