"""Log lines become JSON records."""

import json
import logging
import sys

from entrypoint.logs.format import (
    TRACEBACK_LINES,
    EngineRecords,
    JsonFormatter,
    engine_record,
    rfc3339,
)

TIME = "2026-11-21T06:00:00.000Z"
CORE = "(EngineCore pid=123) ERROR 11-21 06:00:00 [core.py:113] "

TRACEBACK = """\
Traceback (most recent call last):
  File "a.py", line 1, in f
    g()
ValueError: the first

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "a.py", line 2, in f
    h()
RuntimeError: the second"""


def records(*lines: str) -> list[tuple[str, str]]:
    """Return level and message of each record."""
    made = EngineRecords()
    found = made.feed(lines, TIME) + made.flush()
    return [(record.level, record.message) for record in found]


class TestLine:
    def test_a_line_of_vllm_has_level_source_and_process(self) -> None:
        line = "(EngineCore pid=123) INFO 11-21 06:00:00 [v1/engine/core.py:113] loading"
        assert json.loads(engine_record(line, TIME).dump()) == {
            "time": TIME,
            "level": "info",
            "message": "loading",
            "source": "v1/engine/core.py:113",
            "process": "EngineCore",
            "pid": 123,
        }

    def test_a_line_of_uvicorn_has_a_level_and_no_source(self) -> None:
        record = engine_record("(APIServer pid=7) INFO:     Started server process [7]", TIME)
        assert (record.level, record.message) == ("info", "Started server process [7]")
        assert (record.process, record.source) == ("APIServer", None)

    def test_a_line_without_a_prefix_is_info(self) -> None:
        record = engine_record("libgomp: out of luck", TIME)
        assert json.loads(record.dump()) == {
            "time": TIME,
            "level": "info",
            "message": "libgomp: out of luck",
        }

    def test_colors_are_removed(self) -> None:
        line = "\x1b[36m(EngineCore pid=1)\x1b[0m \x1b[31mERROR\x1b[0m 11-21 06:00:00 [a.py:1] x"
        assert engine_record(line, TIME).level == "error"

    def test_a_ray_workers_error_has_its_level_and_process(self) -> None:
        prefix = "(EngineCore pid=1) (RayWorkerWrapper pid=7, ip=10.0.0.2) "
        record = engine_record(prefix + "ERROR 11-21 06:00:00 [worker.py:1] x", TIME)
        assert (record.level, record.process, record.pid) == ("error", "RayWorkerWrapper", 7)

    def test_the_request_id_is_extracted(self) -> None:
        for line, known in {
            "POST /v1/completions 200 in 0.031 s, request abc-1, key 12345678": "abc-1",
            "POST /v1/completions 200 in 0.031 s, request abc-1": "abc-1",
            "Received request chatcmpl-f00: params: SamplingParams(n=1)": "chatcmpl-f00",
            "Aborted request(s) cmpl-1.": "cmpl-1",
            "waiting for a request to come": None,
        }.items():
            assert (
                engine_record(f"INFO 11-21 06:00:00 [gate.py:1] {line}", TIME).request_id == known
            )

    def test_odd_characters_stay_one_line_of_json(self) -> None:
        """A replaced byte, a control character, a line separator, half a surrogate pair."""
        line = "a\ufffd\x00\u2028\udcff"
        dumped = engine_record(line, TIME).dump()
        assert dumped.count(b"\n") == 1
        assert json.loads(dumped)["message"].startswith("a\ufffd\x00\u2028")


class TestTraceback:
    def test_chained_tracebacks_are_one_record(self) -> None:
        lines = ["before", *TRACEBACK.splitlines(), "after"]
        assert records(*lines) == [("info", "before"), ("error", TRACEBACK), ("info", "after")]

    def test_a_logged_traceback_is_one_record_with_its_complete_message(self) -> None:
        message = TRACEBACK + "\nwith a second line"
        lines = [CORE + "it failed", *(CORE + line for line in message.splitlines())]
        assert records(*lines) == [("error", "it failed"), ("error", message)]

    def test_interleaved_tracebacks_of_two_processes_are_two_records(self) -> None:
        lines = []
        for line in TRACEBACK.splitlines():
            lines += [f"(Worker_TP0 pid=1) {line}", f"(Worker_TP1 pid=2) {line}"]
        assert records(*lines) == [("error", TRACEBACK)] * 2

    def test_an_incomplete_traceback_waits_until_it_is_flushed(self) -> None:
        made = EngineRecords()
        assert made.feed(TRACEBACK.splitlines()[:3], TIME) == []
        assert made.waiting
        assert len(made.flush()) == 1
        assert not made.waiting

    def test_an_endless_traceback_is_split(self) -> None:
        lines = [
            "Traceback (most recent call last):",
            *("  frame" for _ in range(3 * TRACEBACK_LINES)),
        ]
        made = records(*lines)
        assert made[0][1].count("\n") == TRACEBACK_LINES - 1
        assert sum(message.count("frame") for _, message in made) == 3 * TRACEBACK_LINES

    def test_a_traceback_with_a_rank_prefix_is_one_record(self) -> None:
        assert records(*(f"[rank0]: {line}" for line in TRACEBACK.splitlines())) == [
            ("error", TRACEBACK)
        ]

    def test_an_exception_group_is_one_record(self) -> None:
        lines = [
            "  + Exception Group Traceback (most recent call last):",
            "  |   File 'a.py', line 1, in f",
            "  | ExceptionGroup: several (2 sub-exceptions)",
            "  +-+---------------- 1 ----------------",
            "    | ValueError: one",
            "    +------------------------------------",
        ]
        assert records(*lines) == [("error", "\n".join(lines))]


class TestOwn:
    def test_a_log_record_becomes_json(self) -> None:
        record = logging.LogRecord("inference-server", logging.WARNING, "", 0, "%s", ("x",), None)
        dumped = json.loads(JsonFormatter().format(record))
        assert dumped["level"] == "warning"
        assert dumped["source"] == "inference-server"
        assert dumped["message"] == "x"
        assert dumped["time"].endswith("Z")

    def test_a_logged_exception_is_part_of_the_message(self) -> None:
        try:
            raise ValueError("x")
        except ValueError:
            record = logging.LogRecord("a", logging.ERROR, "", 0, "failed", (), sys.exc_info())
        assert json.loads(JsonFormatter().format(record))["message"].endswith("ValueError: x")


def test_times_have_milliseconds() -> None:
    assert rfc3339(0.5) == "1970-01-01T00:00:00.500Z"
