"""Processes that died, as the output reports them."""

import pytest

from entrypoint.diagnosis.deaths import Death, find_deaths, find_unexplained_death
from entrypoint.diagnosis.lines import read_lines


@pytest.mark.parametrize(
    ("line", "process", "number"),
    [
        (
            "Worker proc VllmWorker-1 died unexpectedly (exit code: -9), shutting down",
            "VllmWorker-1",
            9,
        ),
        ("RuntimeError: Failed core proc(s): {'EngineCore_DP0': -11}", "EngineCore_DP0", 11),
        ("Worker VllmWorkerProcess pid 1159 died, exit code: -6", "VllmWorkerProcess", 6),
        ("(EngineCore pid=9) Fatal Python error: Illegal instruction", "EngineCore", 4),
    ],
)
def test_a_death_by_a_signal_is_found_with_its_process(
    line: str, process: str, number: int
) -> None:
    assert find_deaths(read_lines([line])) == [Death(process, number)]


@pytest.mark.parametrize(
    "line",
    [
        "Worker proc VllmWorker-1 died unexpectedly (exit code: 1), shutting down",
        "RuntimeError: Failed core proc(s): {'EngineCore_DP0': 1}",
        "RuntimeError: Failed core proc(s): {}",
    ],
)
def test_an_exit_without_a_signal_does_not_count_as_a_death(line: str) -> None:
    assert find_deaths(read_lines([line])) == []


@pytest.mark.parametrize(
    "line",
    [
        "Worker proc VllmWorker-3 died unexpectedly, shutting down executor.",
        "Engine core proc EngineCore_DP0 died unexpectedly, shutting down client.",
        "RuntimeError('Engine process (pid 76) died.')",
        "MQLLMEngine is already dead, terminating server process",
        "(raylet) A worker died or was killed while executing a task by an unexpected error.",
    ],
)
def test_a_dead_process_without_a_reason_is_found(line: str) -> None:
    assert find_unexplained_death(read_lines(["INFO: it died down", line])) == line
