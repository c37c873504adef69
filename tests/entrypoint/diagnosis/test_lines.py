"""The prefixes that loggers and log collectors put before a line are removed."""

import pytest

from entrypoint.diagnosis import EngineExit, diagnose
from entrypoint.diagnosis.lines import LINE_CHARACTERS, read_lines
from entrypoint.logs.engine_line import EngineLine
from entrypoint.shared.handover import Phase
from entrypoint.supervision.tail import Tail
from tests.support.log_formats import FORMATS, raised

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
    assert read(line).text[:LINE_CHARACTERS] == line[:LINE_CHARACTERS]


def test_a_long_line_is_read_at_both_ends() -> None:
    text = read("ValueError: " + "x" * 100_000 + " out of memory").text
    assert text.startswith("ValueError: xx")
    assert text.endswith("xx out of memory")


OUT_OF_MEMORY = "CUDA out of memory. Tried to allocate 2.00 GiB."
MISMATCH = "Following weights were not initialized from checkpoint: {'model.norm.weight'}"


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("deep", [0, 80, 700])
@pytest.mark.parametrize(
    ("error", "cause", "kind"),
    [
        (OUT_OF_MEMORY, "", "device-out-of-memory"),
        (MISMATCH, "", "weights-mismatch"),
        ("The core did not start", OUT_OF_MEMORY, "device-out-of-memory"),
    ],
)
def test_the_cause_is_found_in_each_format(
    name: str, deep: int, error: str, cause: str, kind: str
) -> None:
    """Also if the line is longer than the tail keeps."""
    lines = ["INFO 11-25 19:00:00 [a.py:1] start", *FORMATS[name](raised(error, deep, cause))]
    tail = Tail()
    for line in lines:
        tail.add(line.encode())
    assert diagnose(tail.lines(), EngineExit(1, Phase.WEIGHTS)).code == kind


def test_a_prefix_that_precedes_only_the_header_is_a_separate_line() -> None:
    lines = list(read_lines(["50% doneTraceback (most recent call last):", '  File "a", line 1']))
    assert [line.text for line in lines] == [
        "50% done",
        "Traceback (most recent call last):",
        '  File "a", line 1',
    ]
