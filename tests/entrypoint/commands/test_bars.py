"""The progress display: bars on a terminal, lines elsewhere, silence for short work."""

import io
import threading

import pytest

from entrypoint.commands import bars as progress
from entrypoint.commands.bars import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_short_work_is_silent() -> None:
    stream = io.StringIO()
    with Progress("pack", 100, stream) as shown:
        shown.start("a", 100)
        shown.advance(100, "a")
        shown.finish("a")
    assert stream.getvalue() == ""
    assert shown.done == 100


def test_long_work_prints_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    stream = io.StringIO()
    with Progress("pack", 4 << 20, stream) as shown:
        shown.advance(1 << 20)
    line = stream.getvalue()
    assert line.startswith("pack: 1.0 MiB of 4.0 MiB, ")
    assert line.endswith(" s left\n")


def test_bars_name_each_file() -> None:
    stream = Terminal()
    with Progress("verify", 3000, stream) as shown:
        shown.start("model.safetensors", 2000)
        shown.advance(2000, "model.safetensors")
        shown.finish("model.safetensors")
        shown.advance(1000)
    assert "model.safetensors" in stream.getvalue()
    assert "100%" in stream.getvalue()


def test_a_failure_closes_the_bars() -> None:
    stream = Terminal()
    shown = Progress("verify", 10, stream)
    shown.__enter__()
    shown.start("a", 10)
    shown.__exit__(RuntimeError, RuntimeError(), None)
    stream.truncate(0)
    shown.advance(1, "a")
    assert "a:" not in stream.getvalue()


def test_threads_lose_no_byte() -> None:
    def count() -> None:
        for _ in range(1000):
            shown.advance(1)

    with Progress("pull", 4000, io.StringIO()) as shown:
        threads = [threading.Thread(target=count) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert shown.done == 4000
