"""The progress bar: bars on a terminal, lines elsewhere, silence for short work."""

import io

import pytest

from entrypoint.commands import bars
from entrypoint.commands.bars import ProgressBar
from entrypoint.store.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_short_work_is_silent() -> None:
    stream = io.StringIO()
    with ProgressBar("pack", stream) as bar:
        bar(Progress(0, 100, {"a": (0, 100)}))
        bar(Progress(100, 100))
    assert stream.getvalue() == ""


def test_long_work_prints_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bars, "LINE_SECONDS", 0.0)
    stream = io.StringIO()
    with ProgressBar("pack", stream) as bar:
        bar(Progress(0, 4 << 20))
        bar(Progress(1 << 20, 4 << 20))
    line = stream.getvalue().splitlines()[1]
    assert line.startswith("pack: 1.0 MiB of 4.0 MiB, ")
    assert line.endswith(" s left")


def test_bytes_of_an_earlier_run_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bars, "LINE_SECONDS", 0.0)
    stream = io.StringIO()
    with ProgressBar("download", stream) as bar:
        bar(Progress(1024, 4096, {"a": (1024, 4096)}))
        bar(Progress(2048, 4096, {"a": (2048, 4096)}))
        bar(Progress(4096, 4096))
    lines = stream.getvalue().splitlines()
    assert lines[1].startswith("download: 1.0 KiB of 3.0 KiB, ")
    assert lines[2].startswith("download: 3.0 KiB of 3.0 KiB, ")


def test_a_new_total_starts_a_new_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bars, "LINE_SECONDS", 0.0)
    stream = io.StringIO()
    with ProgressBar("verify", stream) as bar:
        bar(Progress(2048, 2048))
        bar(Progress(0, 4096))
        bar(Progress(1024, 4096))
    assert stream.getvalue().splitlines()[2].startswith("verify: 1.0 KiB of 4.0 KiB, ")


def test_bars_name_each_file() -> None:
    stream = Terminal()
    with ProgressBar("verify", stream) as bar:
        bar(Progress(0, 3000, {"model.safetensors": (0, 2000)}))
        bar(Progress(2000, 3000, {"model.safetensors": (2000, 2000)}))
        bar(Progress(3000, 3000))
    assert "model.safetensors" in stream.getvalue()
    assert "100%" in stream.getvalue()


def test_a_finished_file_loses_its_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    with ProgressBar("verify", stream) as bar:
        bar(Progress(0, 20, {"a": (0, 10), "b": (0, 10)}))
        bar(Progress(10, 20, {"b": (0, 10)}))
        stream.seek(0)
        stream.truncate()
        bar(Progress(20, 20, {"b": (10, 10)}))
        assert "a:" not in stream.getvalue()


def test_a_failure_closes_the_bars() -> None:
    stream = Terminal()
    bar = ProgressBar("verify", stream)
    bar(Progress(0, 10, {"a": (0, 10)}))
    bar.__exit__(RuntimeError, RuntimeError(), None)
    stream.seek(0)
    stream.truncate()
    bar(Progress(1, 10, {"a": (1, 10)}))
    assert stream.getvalue() == ""
