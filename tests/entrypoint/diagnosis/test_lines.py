"""The prefixes that loggers and log collectors put before a line are removed."""

import pytest

from entrypoint.diagnosis.lines import LINE_CHARACTERS, read_lines
from entrypoint.logs.engine_line import EngineLine

TEXT = "ValueError: one"


def read(line: str) -> EngineLine:
    (found,) = read_lines([line])
    return found


@pytest.mark.parametrize(
    ("prefix", "process", "level"),
    [
        ("", "", ""),
        ("(EngineCore pid=77) ", "EngineCore", ""),
        ("(EngineCore pid=77) ERROR 05-05 07:35:19 [core.py:1136] ", "EngineCore", "ERROR"),
        (
            "(VllmWorker rank=1 pid=97) ERROR 03-20 23:26:06 [m.py:375] ",
            "VllmWorker rank=1",
            "ERROR",
        ),
        ("ERROR 04-26 01:59:07 worker_base.py:157] ", "", "ERROR"),
        ("ERROR 2025-07-21 14:34:24.934 factory.py:62] ", "", "ERROR"),
        ("(APIServer pid=1) INFO:     ", "APIServer", "INFO"),
        ("[rank0]: ", "rank0", ""),
        ("vllm-1  | WARNING 11-18 18:07:28 engine.py:366] ", "", "WARNING"),
        ("[2026-02-24T20:21:58Z] (EngineCore_DP0 pid=6940) ", "EngineCore_DP0", ""),
        ("Aug 19 18:34:27 vllm vllm[8727]: (EngineCore pid=8727) ", "EngineCore", ""),
        ("(Worker pid=22) [Stage-0] ERROR 03-12 08:22:28 [m.py:800] ", "Worker", "ERROR"),
        ("\x1b[1;36m(Worker_TP0 pid=1)\x1b[0;0m ", "Worker_TP0", ""),
        ("Loading: 50%|#### |\r", "", ""),
    ],
)
def test_a_prefix_is_split_from_the_text(prefix: str, process: str, level: str) -> None:
    line = read(prefix + TEXT)
    assert (line.text, line.process, line.level) == (TEXT, process, level)


def test_a_json_record_yields_the_lines_of_its_message() -> None:
    record = '{"levelname": "ERROR", "processName": "Core", "process": 7, "message": "a\\nb"}'
    one, two = read_lines([record])
    assert [one.text, two.text] == ["a", "b"]
    assert one.stream == two.stream == ("Core", "7")


@pytest.mark.parametrize("line", ['{"message": ', '{"a": 1}', "{" * 9000])
def test_json_that_is_not_a_record_is_read_as_text(line: str) -> None:
    assert read(line).text == line[:LINE_CHARACTERS]
