"""Error lines outside tracebacks."""

import pytest

from entrypoint.diagnosis.error_lines import ERROR_LINES, find_error_lines
from entrypoint.diagnosis.lines import read_lines
from entrypoint.logs.engine_line import EngineLine


def test_errors_are_found_by_level_or_by_wording_and_each_text_once() -> None:
    lines = [
        "(Core pid=1) INFO 11-21 06:00:00 [a.py:1] a failure of nothing",
        "(Core pid=1) WARNING 11-21 06:00:00 [a.py:1] errors like `OSError: [Errno 24]`",
        "(Core pid=1) ERROR 11-21 06:00:00 [a.py:1] it broke",
        "(Core pid=1) ERROR 11-21 06:00:01 [a.py:1] it broke",
        "terminate called after throwing an instance of 'c10::Error'",
        "serve.py: error: argument --port: invalid int value: 'x'",
    ]
    found = [line.text for line in find_error_lines(read_lines(lines))]
    assert found == ["it broke", *lines[4:]]


def test_an_error_line_states_its_process() -> None:
    line = "(Core pid=1) ERROR 11-21 06:00:00 [a.py:1] it broke"
    assert [each.process for each in find_error_lines(read_lines([line]))] == ["Core"]


def test_only_the_last_error_lines_are_kept() -> None:
    lines = [f"ERROR 11-21 06:00:00 [a.py:1] error {n}" for n in range(ERROR_LINES + 5)]
    found = find_error_lines(read_lines(lines))
    assert (found[0].text, len(found)) == ("error 5", ERROR_LINES)


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
def test_errors_in_other_programs_formats_are_found(line: str) -> None:
    (found,) = find_error_lines(read_lines(["all is well", line]))
    assert line.endswith(found.text)


def test_an_error_of_the_command_line_has_all_of_its_lines() -> None:
    lines = [
        EngineLine("usage: vllm serve [-h]"),
        EngineLine("vllm serve: error: argument --a/-b: 1 validation error for A"),
        EngineLine("mode"),
        EngineLine("  Input should be 0 or 1"),
        EngineLine("next", level="INFO"),
    ]
    (found,) = find_error_lines(lines)
    assert found.text.endswith("for A\nmode\n  Input should be 0 or 1")
