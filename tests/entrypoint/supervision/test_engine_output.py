"""How the engine's output is written and kept. The engines here are small scripts."""

import json
import os
import subprocess
import sys
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrypoint.logs.writer import LogWriter
from entrypoint.secrets import Redactor
from entrypoint.supervision.engine_output import LONGEST_BYTES, EngineOutput, LineBuffer
from entrypoint.supervision.tail import LINE_BYTES

SECRET = "hunter2-hunter2"


def play(script: str, as_json: bool = False, **variables: str) -> EngineOutput:
    """Run a script as the engine, to the end of its output."""
    writer = LogWriter()
    output = EngineOutput(writer, Redactor(variables), as_json)
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=output.stdout, stderr=output.stderr
    ) as process:
        output.start()
        process.wait(30)
        output.finish(30)
    writer.close()
    return output


class TestWrittenOn:
    def test_each_stream_is_written_to_its_own(self, capfd: pytest.CaptureFixture[str]) -> None:
        play("import sys; print('to out'); print('to err', file=sys.stderr)")
        assert capfd.readouterr() == ("to out\n", "to err\n")

    def test_an_incomplete_last_line_gets_an_end(self, capfd: pytest.CaptureFixture[str]) -> None:
        output = play("import os; os.write(1, b'last words'); os.kill(os.getpid(), 9)")
        assert capfd.readouterr().out == "last words\n"
        assert output.tail.lines() == ["last words"]

    def test_bytes_that_are_not_text_are_kept(
        self, capfdbinary: pytest.CaptureFixture[bytes]
    ) -> None:
        output = play(r"import os; os.write(1, b'a\xff\xfe\x00b\n')")
        assert capfdbinary.readouterr().out == b"a\xff\xfe\x00b\n"
        assert output.tail.lines() == ["a\ufffd\ufffd\0b"]

    def test_a_secret_is_masked_in_text(self, capfd: pytest.CaptureFixture[str]) -> None:
        output = play(f"print('key={SECRET}!')", HF_TOKEN=SECRET)
        assert capfd.readouterr().out == "key=***!\n"
        assert output.tail.lines() == ["key=***!"]

    def test_an_endless_line_is_written_complete_and_kept_in_part(
        self, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """The tail has its start and its end, and the lines around it."""
        output = play("print('before'); print('A' + 'x' * 5_000_000 + 'B'); print('after')")
        assert capfd.readouterr().out == f"before\nA{'x' * 5_000_000}B\nafter\n"
        before, long, after = output.tail.lines()
        assert (before, long[:2], long[-2:], len(long), after) == (
            "before",
            "Ax",
            "xB",
            LINE_BYTES,
            "after",
        )

    @pytest.mark.parametrize("end", [r"\r 50%|###", r"\r100 %\n", r"\r1 %\r2 %\r\n"])
    def test_an_error_is_kept_behind_a_progress_bar(self, end: str) -> None:
        output = play(f"print('\\r1 %\\rValueError: one{end}', end='')")
        assert "ValueError: one" in output.tail.lines()[0].split("\r")

    def test_a_progress_bar_is_kept_as_its_last_state(
        self, capfdbinary: pytest.CaptureFixture[bytes]
    ) -> None:
        output = play(
            r"import os; [os.write(2, b'\r%d %%' % n) for n in range(101)]; os.write(2, b'\n')"
        )
        assert capfdbinary.readouterr().err.count(b"\r") == 101
        assert output.tail.lines() == ["100 %"]

    def test_the_engine_sees_no_terminal(self, capfd: pytest.CaptureFixture[str]) -> None:
        play("import os; print(os.isatty(1), os.isatty(2))")
        assert capfd.readouterr().out == "False False\n"


class TestJson:
    def records(
        self, script: str, capfd: pytest.CaptureFixture[str], **variables: str
    ) -> list[dict[str, Any]]:
        play(script, as_json=True, **variables)
        return [json.loads(line) for line in capfd.readouterr().out.splitlines()]

    def test_each_line_becomes_a_record(self, capfd: pytest.CaptureFixture[str]) -> None:
        script = "print('(EngineCore pid=1) INFO 11-21 06:00:00 [core.py:1] a'); print('b')"
        first, second = self.records(script, capfd)
        assert (first["process"], first["message"]) == ("EngineCore", "a")
        assert (second["level"], second["message"]) == ("info", "b")

    def test_a_traceback_becomes_one_record(self, capfd: pytest.CaptureFixture[str]) -> None:
        script = "import os; os.dup2(1, 2); print('a', flush=True); int('x')"
        first, second = self.records(script, capfd)
        assert first["message"] == "a"
        assert second["message"].startswith("Traceback (most recent call last):")
        assert second["message"].endswith("invalid literal for int() with base 10: 'x'")

    def test_an_unfinished_traceback_is_written_after_a_pause(
        self, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """1. A process writes one and then nothing. 2. It is written while the process runs."""
        writer = LogWriter()
        output = EngineOutput(writer, Redactor({}), as_json=True)
        script = (
            "import sys; print('Traceback (most recent call last):', flush=True); sys.stdin.read()"
        )
        with subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=output.stdout,
            stderr=output.stderr,
        ) as process:
            output.start()
            said = ""
            deadline = time.monotonic() + 30
            while not said:
                assert time.monotonic() < deadline
                time.sleep(0.02)
                said = capfd.readouterr().out
            assert json.loads(said)["level"] == "error"
            assert process.stdin is not None
            process.stdin.close()
            output.finish(30)
        writer.close()

    def test_a_progress_bar_becomes_one_record(self, capfd: pytest.CaptureFixture[str]) -> None:
        script = r"import os; [os.write(1, b'\r%d %%' % n) for n in range(101)]; os.write(1, b'\n')"
        assert [record["message"] for record in self.records(script, capfd)] == ["100 %"]

    def test_garbage_becomes_valid_records(self, capfd: pytest.CaptureFixture[str]) -> None:
        script = r"import os; os.write(1, bytes(range(256)) * 1000)"
        records = self.records(script, capfd)
        assert len(records) > 1000
        assert all(set(record) == {"time", "level", "message"} for record in records)

    def test_a_secret_is_masked_in_records(self, capfd: pytest.CaptureFixture[str]) -> None:
        (record,) = self.records(f"print('key={SECRET}!')", capfd, HF_TOKEN=SECRET)
        assert record["message"] == "key=***!"


class TestLastLine:
    def test_an_engine_without_output_has_no_last_line(self) -> None:
        assert play("").last_line() is None

    def test_blank_lines_do_not_count(self) -> None:
        assert play(r"print('something\n\n  ')").last_line() == "something"

    def test_an_incomplete_progress_bar_counts_as_displayed(self) -> None:
        assert play(r"print('a'); print('\r10 %\r20 %\r30 %', end='\r\r')").last_line() == "30 %"


def test_an_orphan_that_keeps_the_pipe_open_is_not_waited_for(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """1. The engine ends, its orphan keeps the pipe. 2. Its output is kept in time."""
    writer = LogWriter()
    output = EngineOutput(writer, Redactor({}))
    read, write = os.pipe()
    script = f"import os; os.fork() or os.read({read}, 1) or os._exit(0); print('said')"
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=output.stdout,
        stderr=output.stderr,
        pass_fds=[read],
    ) as process:
        output.start()
        process.wait(30)
        output.finish(0.2)
        assert output.tail.lines() == ["said"]
        os.close(write)
        output.finish(30)
    os.close(read)
    writer.close()


class TestLineBuffer:
    @given(st.lists(st.text("ab\r\n" + SECRET[:3]).map(str.encode)))
    def test_every_byte_is_written(self, parts: list[bytes]) -> None:
        buffer = LineBuffer(Redactor({}))
        pieces = [buffer.feed(part) for part in parts]
        written = b"".join([*pieces, buffer.end()])
        assert written in (b"".join(parts), b"".join(parts) + b"\n")

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_a_complete_line_is_written_at_once(self, end: str) -> None:
        buffer = LineBuffer(Redactor({}))
        line = f"line{end}".encode()
        assert buffer.feed(line + b"next") == line

    @pytest.mark.parametrize("before", range(0, 2 * len(SECRET)))
    def test_a_long_line_is_never_split_inside_a_secret(self, before: int) -> None:
        """Wherever the line would be split."""
        buffer = LineBuffer(Redactor({"HF_TOKEN": SECRET}))
        line = b"x" * (LONGEST_BYTES - before) + SECRET.encode() * 3
        written = b"".join(
            [
                *(buffer.feed(line[at : at + 1000]) for at in range(0, len(line), 1000)),
                buffer.end(),
            ]
        )
        assert written.strip() == b"x" * (LONGEST_BYTES - before) + b"***" * 3
