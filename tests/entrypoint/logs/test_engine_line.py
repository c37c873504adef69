"""The grammar of vLLM's log lines."""

import pytest

from entrypoint.logs.engine_line import (
    TRACEBACK,
    EngineLine,
    parse_line,
    remove_colors,
)


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("", EngineLine("text")),
        ("(EngineCore pid=7) ", EngineLine("text", "EngineCore", "7")),
        (
            "(EngineCore pid=7) ERROR 11-21 06:00:00 [v1/core.py:113] ",
            EngineLine("text", "EngineCore", "7", "ERROR", "v1/core.py:113"),
        ),
        (
            "(VllmWorker rank=1 pid=7) DEBUG 11-21 06:00:00.123 [m.py:3] ",
            EngineLine("text", "VllmWorker rank=1", "7", "DEBUG", "m.py:3"),
        ),
        (
            "ERROR 04-26 01:59:07 worker.py:157] ",
            EngineLine("text", "", "", "ERROR", "worker.py:157"),
        ),
        ("INFO 11-21 06:00:00 [a.logger] ", EngineLine("text", "", "", "INFO", "a.logger")),
        ("(APIServer pid=7) WARNING:  ", EngineLine("text", "APIServer", "7", "WARNING")),
        ("[rank0]: ", EngineLine("text", "rank0")),
        (
            "(EngineCore pid=1) (RayWorkerWrapper pid=7, ip=10.0.0.2) ",
            EngineLine("text", "RayWorkerWrapper", "7"),
        ),
    ],
)
def test_a_prefix_is_split_into_its_fields(prefix: str, expected: EngineLine) -> None:
    assert parse_line(prefix + "text") == expected


@pytest.mark.parametrize(
    "line",
    [
        "a (EngineCore pid=7) ERROR 11-21 06:00:00 [core.py:1] text",
        "INFO: one space",
        "ERROR 04-26 01:59:07 no source",
        "(EngineCore) text",
        f"(EngineCore pid={'1' * 5000}) text",
        "[E ProcessGroupNCCL.cpp:1414] text",
    ],
)
def test_a_line_without_a_prefix_is_kept_as_text(line: str) -> None:
    assert parse_line(line) == EngineLine(line)


def test_a_level_after_another_programs_prefix_is_found_if_the_caller_searches() -> None:
    line = "[Stage-0] ERROR 03-12 08:22:28 [m.py:800] text"
    assert parse_line(line, number=3, search=100) == EngineLine(
        "text", "", "", "ERROR", "m.py:800", 3
    )


def test_a_process_after_another_programs_prefix_is_found_within_the_limit() -> None:
    line = "vllm[7]: (EngineCore pid=7) text"
    assert parse_line(line, search=100) == EngineLine("text", "EngineCore", "7")
    assert parse_line(line, search=20) == EngineLine(line)


def test_colors_are_removed() -> None:
    assert remove_colors("\x1b[1;36m(A pid=1)\x1b[0;0m \x1b[31mERROR\x1b[0m") == "(A pid=1) ERROR"


@pytest.mark.parametrize(
    "line",
    [
        "Traceback (most recent call last):",
        "  + Exception Group Traceback (most recent call last):",
        "  | Traceback (most recent call last):",
    ],
)
def test_headers_of_tracebacks_and_of_exception_groups_match(line: str) -> None:
    assert TRACEBACK.match(line)
