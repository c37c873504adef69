"""Numbers of bytes as people read them."""

from __future__ import annotations

import pytest

from entrypoint.units import human_bytes


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (6_081_740, "5.8 MiB"),
        (1024**3, "1.0 GiB"),
        (5000 * 1024**4, "5000.0 TiB"),
    ],
)
def test_bytes_have_the_largest_unit_that_fits(count: int, expected: str) -> None:
    assert human_bytes(count) == expected
