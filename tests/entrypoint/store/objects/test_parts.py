"""The sizes of parts."""

from __future__ import annotations

import pytest

from entrypoint.store.objects.parts import (
    MIB,
    MOST_PARTS,
    Part,
    pulled_part_size,
    split_into_parts,
    upload_part_size,
)

GIB = 1 << 30


@pytest.mark.parametrize("size", [0, 1, 8 * MIB, 80 * GIB, 80 * GIB + 1, 500 * GIB, 5 << 40])
def test_an_upload_has_few_enough_parts_that_are_large_enough(size: int) -> None:
    part_size = upload_part_size(size)
    assert part_size >= 5 * MIB
    assert -(-size // part_size) <= MOST_PARTS
    assert part_size % MIB == 0


@pytest.mark.parametrize(
    ("size", "part_size"),
    [(0, MIB), (64 * MIB, MIB), (64 * MIB + 1, 2 * MIB), (14 * GIB, 64 * MIB)],
)
def test_a_killed_pull_loses_little(size: int, part_size: int) -> None:
    assert pulled_part_size(size) == part_size


def test_parts_cover_every_byte() -> None:
    assert list(split_into_parts(5, 2)) == [Part(0, 0, 2), Part(1, 2, 4), Part(2, 4, 5)]
    assert list(split_into_parts(0, 2)) == [Part(0, 0, 0)]
    assert sum(part.size for part in split_into_parts(12345, 7)) == 12345
