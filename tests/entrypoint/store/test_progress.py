"""The counter: what it reports, and that threads lose no byte."""

import threading

import pytest

from entrypoint.store.progress import Counter, Progress


def test_the_first_report_has_the_total() -> None:
    reports: list[Progress] = []
    Counter(100, reports.append)
    assert reports == [Progress(0, 100)]


def test_bytes_to_be_done_again_are_taken_off() -> None:
    reports: list[Progress] = []
    counter = Counter(100, reports.append)
    counter.advance(60)
    counter.advance(-20)
    assert [report.done for report in reports] == [0, 60, 40]


def test_a_file_is_reported_while_in_progress() -> None:
    reports: list[Progress] = []
    counter = Counter(10, reports.append)
    with counter.file("a", 4) as advance:
        advance(3)
        counter.advance(6)
        advance(1)
    counter.advance(0)
    assert reports[1:] == [
        Progress(3, 10, {"a": (3, 4)}),
        Progress(9, 10, {"a": (3, 4)}),
        Progress(10, 10, {"a": (4, 4)}),
        Progress(10, 10),
    ]


def test_a_file_that_fails_is_no_longer_reported() -> None:
    reports: list[Progress] = []
    counter = Counter(10, reports.append)
    with pytest.raises(RuntimeError), counter.file("a", 4):
        raise RuntimeError
    counter.advance(1)
    assert reports[-1] == Progress(1, 10)


def test_threads_lose_no_byte_and_report_in_order() -> None:
    reports: list[Progress] = []
    counter = Counter(4000, reports.append)

    def count() -> None:
        for _ in range(1000):
            counter.advance(1)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [report.done for report in reports] == list(range(4001))
