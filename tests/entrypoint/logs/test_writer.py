"""A slow reader does not block the writers. The readers here are pipes that nobody reads."""

import logging
import os
import threading
from collections.abc import Iterator

import pytest

from entrypoint.logs.writer import BACKLOG_BYTES, LogHandler, LogWriter

LINE = b"x" * 1023 + b"\n"


class Pipe:
    """A pipe whose reading end the test controls."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()

    def read_all(self) -> bytes:
        """Close the writing end and return everything that was written."""
        found = bytearray()
        thread = threading.Thread(target=lambda: found.extend(self._rest()))
        thread.start()
        os.close(self.writer)
        self.writer = -1
        thread.join(30)
        return bytes(found)

    def _rest(self) -> bytes:
        with open(self.reader, "rb", closefd=False) as file:
            return file.read()

    def close(self) -> None:
        os.close(self.reader)
        if self.writer != -1:
            os.close(self.writer)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


def test_lines_are_written_in_order(capfd: pytest.CaptureFixture[str]) -> None:
    writer = LogWriter()
    for number in range(1000):
        writer.write(1 + number % 2, b"%d\n" % number)
    writer.close()
    written = capfd.readouterr()
    assert written.out.split() == [str(n) for n in range(0, 1000, 2)]
    assert written.err.split() == [str(n) for n in range(1, 1000, 2)]


def test_flush_waits_until_everything_is_written(capfd: pytest.CaptureFixture[str]) -> None:
    writer = LogWriter()
    writer.write(1, b"a\n")
    assert writer.flush()
    assert capfd.readouterr().out == "a\n"
    writer.close()


def test_nothing_is_written_after_close(capfd: pytest.CaptureFixture[str]) -> None:
    writer = LogWriter()
    writer.close()
    writer.write(1, b"late\n")
    assert capfd.readouterr().out == ""


def test_a_closed_reader_does_not_stop_the_other_output(
    pipe: Pipe, capfd: pytest.CaptureFixture[str]
) -> None:
    """1. One reader closes its end. 2. The other still receives its lines."""
    os.close(pipe.reader)
    writer = LogWriter()
    writer.write(pipe.writer, b"lost\n")
    writer.write(1, b"here\n")
    writer.close()
    assert capfd.readouterr().out == "here\n"
    pipe.reader = os.open(os.devnull, os.O_RDONLY)


def test_a_non_blocking_file_loses_no_line(pipe: Pipe) -> None:
    """The parent process can set the output to non-blocking."""
    os.set_blocking(pipe.writer, False)
    writer = LogWriter()
    for _ in range(1000):
        writer.write(pipe.writer, LINE)
    found = bytearray()
    while len(found) < 1000 * len(LINE):
        found += os.read(pipe.reader, 1 << 20)
    assert found == LINE * 1000
    writer.close()


def test_lines_that_a_stopped_reader_misses_are_counted(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1. Nobody reads: lines are dropped, and the writer continues. 2. The reader reads again: the
    number of dropped lines is written, and later lines arrive."""
    monkeypatch.setattr("entrypoint.logs.writer.PATIENCE_SECONDS", 0.05)
    writer = LogWriter()
    count = 2 * BACKLOG_BYTES // len(LINE)
    for _ in range(count):
        writer.write(pipe.writer, LINE, may_wait=True)
    found = bytearray()
    reader = threading.Thread(target=lambda: found.extend(pipe._rest()))
    reader.start()
    assert writer.flush(30)
    writer.write(pipe.writer, b"later\n", may_wait=True)
    assert writer.flush(30)
    os.close(pipe.writer)
    pipe.writer = -1
    reader.join(30)
    *lines, note, later = bytes(found).splitlines()
    assert later == b"later"
    dropped = int(note.split()[0].strip(b"("))
    assert dropped > 0
    assert dropped + len(lines) == count
    writer.close()


def test_lines_that_may_not_wait_fit_into_a_full_backlog(pipe: Pipe) -> None:
    """The event loop can log while the engine's output waits."""
    writer = LogWriter()
    for _ in range(BACKLOG_BYTES // len(LINE) + 1):
        writer.write(pipe.writer, LINE)
    writer.write(pipe.writer, b"own\n")
    reader = threading.Thread(target=writer.close)
    reader.start()
    found = b""
    while not found.endswith(b"own\n"):
        found += os.read(pipe.reader, 1 << 20)
    reader.join(30)


def test_secrets_in_log_records_are_masked(capfd: pytest.CaptureFixture[str]) -> None:
    writer = LogWriter()
    handler = LogHandler(writer, lambda data: data.replace(b"secret", b"***"))
    logger = logging.Logger("a")
    logger.addHandler(handler)
    logger.info("the %s", "secret")
    writer.close()
    assert capfd.readouterr().err == "the ***\n"
