"""Output that a slow reader cannot hold up. The readers here are pipes that nobody empties."""

import logging
import os
import threading
from collections.abc import Iterator

import pytest

from entrypoint.logs.writer import BACKLOG_BYTES, LogHandler, LogWriter

LINE = b"x" * 1023 + b"\n"


class Pipe:
    """A pipe, and what comes out of it."""

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


def test_lines_in_their_order(capfd: pytest.CaptureFixture[str]) -> None:
    writer = LogWriter()
    for number in range(1000):
        writer.write(1 + number % 2, b"%d\n" % number)
    writer.close()
    said = capfd.readouterr()
    assert said.out.split() == [str(n) for n in range(0, 1000, 2)]
    assert said.err.split() == [str(n) for n in range(1, 1000, 2)]


def test_flush_waits_until_all_is_written(capfd: pytest.CaptureFixture[str]) -> None:
    writer = LogWriter()
    writer.write(1, b"a\n")
    assert writer.flush()
    assert capfd.readouterr().out == "a\n"
    writer.close()


def test_after_the_end_nothing_is_written(capfd: pytest.CaptureFixture[str]) -> None:
    writer = LogWriter()
    writer.close()
    writer.write(1, b"late\n")
    assert capfd.readouterr().out == ""


def test_a_reader_that_is_gone(pipe: Pipe, capfd: pytest.CaptureFixture[str]) -> None:
    """1. Nobody reads. 2. What goes elsewhere is written all the same."""
    os.close(pipe.reader)
    writer = LogWriter()
    writer.write(pipe.writer, b"lost\n")
    writer.write(1, b"here\n")
    writer.close()
    assert capfd.readouterr().out == "here\n"
    pipe.reader = os.open(os.devnull, os.O_RDONLY)


def test_a_file_that_does_not_block(pipe: Pipe) -> None:
    """Whoever started us may have set our output to non-blocking: nothing is lost."""
    os.set_blocking(pipe.writer, False)
    writer = LogWriter()
    for _ in range(1000):
        writer.write(pipe.writer, LINE)
    found = bytearray()
    while len(found) < 1000 * len(LINE):
        found += os.read(pipe.reader, 1 << 20)
    assert found == LINE * 1000
    writer.close()


def test_a_reader_that_stands_still(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """1. Nobody reads: lines are left out, and their writer goes on. 2. Somebody reads: the
    number of those left out is told, and later lines come through."""
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
    left_out = int(note.split()[0].strip(b"("))
    assert left_out > 0
    assert left_out + len(lines) == count
    writer.close()


def test_own_lines_find_room_where_the_engine_waits(pipe: Pipe) -> None:
    """Whoever may not be held up is not: the event loop logs while the backlog is full."""
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


def test_log_records_are_masked(capfd: pytest.CaptureFixture[str]) -> None:
    writer = LogWriter()
    handler = LogHandler(writer, lambda data: data.replace(b"secret", b"***"))
    logger = logging.Logger("a")
    logger.addHandler(handler)
    logger.info("the %s", "secret")
    writer.close()
    assert capfd.readouterr().err == "the ***\n"
