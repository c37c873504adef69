"""The last lines of an output."""

from __future__ import annotations

import pytest

from entrypoint.supervision.tail import BYTES, LINE_BYTES, LINES, Tail, shorten


def test_lines_are_kept_in_order() -> None:
    tail = Tail()
    tail.add(b"one")
    tail.add(b"")
    tail.add(b"two")
    assert tail.lines() == ["one", "", "two"]


def test_an_empty_tail_has_no_lines() -> None:
    assert Tail().lines() == []


def test_the_number_of_lines_is_limited() -> None:
    tail = Tail()
    for number in range(LINES + 3):
        tail.add(b"%d" % number)
    assert tail.lines()[0] == "3"
    assert len(tail.lines()) == LINES


@pytest.mark.parametrize("size", [300, 1000, 1023, 1024, 4095, LINE_BYTES])
@pytest.mark.parametrize("more", [0, 1, 2])
def test_the_number_of_bytes_is_limited(size: int, more: int) -> None:
    """The lines are complete and the last ones, wherever the buffer ends."""
    tail = Tail()
    count = BYTES // (size + 1) + more
    for number in range(count):
        tail.add((b"%d " % number).ljust(size, b"x")[:size])
    lines = tail.lines()
    assert sum(len(line) + 1 for line in lines) <= BYTES
    assert {len(line) for line in lines} == {size}
    assert lines[-1] == f"{count - 1} ".ljust(size, "x")[:size]


def test_the_buffer_is_used_completely() -> None:
    tail = Tail()
    for _ in range(BYTES // 1024):
        tail.add(b"x" * 1023)
    assert len(tail.lines()) == BYTES // 1024


@pytest.mark.parametrize("more", [0, 1, 2, 100, 5_000_000])
def test_both_ends_of_a_long_line_are_kept(more: int) -> None:
    tail = Tail()
    tail.add(b"start" + b"x" * (LINE_BYTES - 8 + more) + b"end")
    (line,) = tail.lines()
    assert (line[:5], line[-3:], len(line)) == ("start", "end", LINE_BYTES)


def test_a_line_is_shortened_in_parts_as_at_once() -> None:
    line = b"a" * LINE_BYTES + b"b" * LINE_BYTES + b"c" * 10
    parts = shorten(shorten(line[:-10]) + line[-10:])
    assert parts == shorten(line)


def test_bytes_that_are_not_utf8_are_replaced() -> None:
    tail = Tail()
    tail.add(b"a\xffb")
    assert tail.lines() == ["a\ufffdb"]
