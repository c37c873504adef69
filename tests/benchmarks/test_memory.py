"""Memory readings, and how they separate growth from noise."""

from __future__ import annotations

import io
import os

import pytest

from benchmarks.memory import MemoryLog, Reading, growth, growth_table, name_processes, read_tree


def reading(seconds: float, held: int, process: str = "API server") -> Reading:
    return Reading(seconds, process, 7, held, held, held, held, files=9, threads=3)


def test_processes_are_named_by_what_they_are() -> None:
    lines = {
        10: "python inference-server serve",
        11: "python -m server.engine",
        12: "VLLM::EngineCore",
        13: "VLLM::Worker_TP0",
        14: "VLLM::Worker_TP1",
        15: "python -c from multiprocessing.resource_tracker import main;main(31)",
        16: "/usr/bin/git status",
        17: "",
    }
    assert name_processes(lines, root=10) == {
        10: "entrypoint",
        11: "API server",
        12: "engine core",
        13: "worker",
        14: "worker #2",
        15: "resource tracker",
        16: "git",
        17: "unknown",
    }


def test_this_process_is_read() -> None:
    own = next(one for one in read_tree(os.getpid(), 1.25) if one.pid == os.getpid())
    assert own.process == "entrypoint"
    assert own.seconds == 1.2
    assert 1_000_000 < own.held <= own.pss <= own.rss
    assert own.private <= own.rss
    assert own.files >= 3
    assert own.threads >= 1


def test_kept_memory_is_counted() -> None:
    log = MemoryLog(os.getpid(), io.StringIO())
    log.read(0)
    kept = b"x" * 50_000_000
    log.read(10)
    own = [one.held for one in log.readings if one.pid == os.getpid()]
    assert own[1] - own[0] == pytest.approx(len(kept), rel=0.2)


def test_readings_are_written_as_they_come() -> None:
    file = io.StringIO()
    log = MemoryLog(os.getpid(), file)
    log.read(0)
    lines = file.getvalue().splitlines()
    assert lines[0] == ",".join(Reading._fields)
    assert lines[1].startswith(f"0,entrypoint,{os.getpid()},")


class TestGrowth:
    def test_flat_memory_is_no_growth(self) -> None:
        noise = [0, 300, -300, 100]
        readings = [reading(10 * n, 1_000_000 + noise[n % 4]) for n in range(100)]
        (one,) = growth(readings, (100, 200), (800, 990))
        assert abs(one.ratio) < 0.001
        assert abs(one.fitted) < 0.001
        assert one.peak == 1_000_300

    def test_a_leak_is_growth(self) -> None:
        readings = [reading(10 * n, 1_000_000 + 1_000 * n) for n in range(101)]
        (one,) = growth(readings, (0, 0), (1000, 1000))
        assert one.ratio == pytest.approx(0.1)
        assert one.fitted == pytest.approx(0.1)
        assert one.final == 1_100_000

    def test_a_peak_between_the_windows_is_no_growth(self) -> None:
        sizes = [1_000, 1_000, 9_000, 1_000, 1_000]
        readings = [reading(n, held) for n, held in enumerate(sizes)]
        (one,) = growth(readings, (0, 1), (3, 4))
        assert one.ratio == 0
        assert one.peak == 9_000

    def test_a_process_that_ended_is_left_out(self) -> None:
        readings = [reading(0, 1), reading(10, 1), reading(0, 1, "git")]
        assert [one.process for one in growth(readings, (0, 0), (10, 10))] == ["API server"]

    def test_growth_is_shown_as_a_table(self) -> None:
        readings = [reading(0, 1_000_000), reading(10, 1_500_000)]
        head, line = growth_table(growth(readings, (0, 0), (10, 10))).splitlines()
        assert head.startswith("process")
        assert line.split() == [
            *("API", "server", "1.00", "1.50", "1.50", "1.50"),
            *("+50.00%", "+50.00%", "9→9", "3→3"),
        ]
