"""Why an engine ended: its own doing, a signal, or memory that ran out."""

import logging
import signal
from pathlib import Path

import pytest

from entrypoint.errors import EngineFailed
from entrypoint.fate import MemoryWatch, engine_fate
from entrypoint.handover import Phase
from tests.entrypoint.hardware.samples import tree
from tests.entrypoint.hardware.test_cgroup import ROOT_2, V2


def machine(root: Path, kills: int, limit: str = "max") -> Path:
    events = {f"{ROOT_2}/memory.events": f"oom_kill {kills}\n", f"{ROOT_2}/memory.max": limit}
    return tree(root, V2, events)


class TestWatch:
    def test_no_process_was_killed(self, tmp_path: Path) -> None:
        assert MemoryWatch(machine(tmp_path, 3)).cause() is None

    def test_one_was(self, tmp_path: Path) -> None:
        watch = MemoryWatch(machine(tmp_path, 3, str(6 << 30)))
        machine(tmp_path, 4, str(6 << 30))
        assert watch.cause() == "the memory limit of 6.0 GiB was reached"

    def test_without_a_limit_it_was_the_machine(self, tmp_path: Path) -> None:
        watch = MemoryWatch(machine(tmp_path, 0))
        machine(tmp_path, 1)
        assert watch.cause() == "the machine ran out of memory"

    def test_without_a_counter_nothing_is_said(self, tmp_path: Path) -> None:
        assert MemoryWatch(tmp_path).cause() is None


class TestFate:
    def test_an_exit_code(self, tmp_path: Path) -> None:
        with pytest.raises(EngineFailed, match="by itself in phase weights, with exit code 3"):
            engine_fate(3, Phase.WEIGHTS, MemoryWatch(tmp_path))

    def test_a_signal(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        assert engine_fate(-signal.SIGSEGV, Phase.WARM_UP, MemoryWatch(tmp_path)) == 139
        assert "killed by SIGSEGV in phase warm-up" in caplog.text

    def test_memory_and_an_exit_code(self, tmp_path: Path) -> None:
        watch = MemoryWatch(machine(tmp_path, 0, str(1 << 30)))
        machine(tmp_path, 1, str(1 << 30))
        with pytest.raises(EngineFailed, match=r"memory limit of 1\.0 GiB") as raised:
            engine_fate(1, Phase.WARM_UP, watch)
        for word in ("docker: --memory", "VLLM_CPU_KVCACHE_SPACE", "--max-model-len"):
            assert word in str(raised.value.hint)

    def test_memory_and_a_signal(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        watch = MemoryWatch(machine(tmp_path, 0, str(1 << 30)))
        machine(tmp_path, 1, str(1 << 30))
        with caplog.at_level(logging.ERROR):
            assert engine_fate(-signal.SIGKILL, Phase.WARM_UP, watch) == 137
        assert "the memory limit of 1.0 GiB was reached" in caplog.text
