"""Error lines and deaths are found where there is no exception."""

import pytest

from entrypoint.diagnosis.lines import read_lines
from entrypoint.diagnosis.remarks import Death, find_deaths, find_gone, find_remarks


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
def test_a_death(line: str, process: str, number: int) -> None:
    assert find_deaths(read_lines([line])) == [Death(process, number)]


@pytest.mark.parametrize(
    "line",
    [
        "Worker proc VllmWorker-1 died unexpectedly (exit code: 1), shutting down",
        "RuntimeError: Failed core proc(s): {'EngineCore_DP0': 1}",
        "RuntimeError: Failed core proc(s): {}",
    ],
)
def test_an_end_without_a_signal_is_none(line: str) -> None:
    assert find_deaths(read_lines([line])) == []


def test_remarks() -> None:
    lines = [
        "(Core pid=1) INFO 11-21 06:00:00 [a.py:1] a failure of nothing",
        "(Core pid=1) WARNING 11-21 06:00:00 [a.py:1] errors like `OSError: [Errno 24]`",
        "(Core pid=1) ERROR 11-21 06:00:00 [a.py:1] it broke",
        "(Core pid=1) ERROR 11-21 06:00:01 [a.py:1] it broke",
        "terminate called after throwing an instance of 'c10::Error'",
        "serve.py: error: argument --port: invalid int value: 'x'",
    ]
    found = [remark.text for remark in find_remarks(read_lines(lines))]
    assert found == ["it broke", *lines[4:]]


@pytest.mark.parametrize(
    "line",
    [
        "[error]Uncaught exception | <class 'ValueError'>; it broke",
        "2026-11-21 06:00:00,839 ERROR    it broke",
        ":0:rocdevice.cpp            :3020: 5875275709338d us:  Callback: Queue aborting",
        "[2026-11-21 06:00:00,417 E 1 1] gcs_rpc_client.h:151: Failed to connect to GCS",
        "HW Exception by GPU node-1 (Agent handle: 0x5b522e50) reason :GPU Hang",
    ],
)
def test_what_other_programs_log(line: str) -> None:
    (remark,) = find_remarks(read_lines(["all is well", line]))
    assert line.endswith(remark.text)


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
def test_a_process_that_is_gone(line: str) -> None:
    assert find_gone(read_lines(["INFO: it died down", line])) == line
