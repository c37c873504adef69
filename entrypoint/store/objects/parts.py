"""The parts of an object, which are transferred one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

MIB = 1 << 20
MOST_PARTS = 10_000
"""S3's limit on the parts of an upload."""
SMALLEST_UPLOAD_PART = 8 * MIB
"""S3 requires at least 5 MiB, except for the last part."""
LARGEST_PULLED_PART = 64 * MIB
PULLED_PARTS = 64


@dataclass(frozen=True, slots=True)
class Part:
    """A range of an object's bytes.

    Attributes:
        number: From 0.
        start: Its first byte.
        end: The byte after its last one.
    """

    number: int
    start: int
    end: int

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.start


def upload_part_size(size: int) -> int:
    """Return the bytes of a part of an upload: as few as the limit on the parts allows."""
    return max(SMALLEST_UPLOAD_PART, _in_mib(size, MOST_PARTS))


def pulled_part_size(size: int) -> int:
    """Return the bytes of a part of a pull. A kill in the middle of a part loses them."""
    return min(LARGEST_PULLED_PART, max(MIB, _in_mib(size, PULLED_PARTS)))


def _in_mib(size: int, parts: int) -> int:
    """The bytes of each of ``parts`` parts, rounded up to MiB."""
    return -(-size // (parts * MIB)) * MIB


def split_into_parts(size: int, part_size: int) -> Iterator[Part]:
    """Yield the parts of ``size`` bytes; for 0 bytes, one empty part."""
    for number, start in enumerate(range(0, max(size, 1), part_size)):
        yield Part(number, start, min(start + part_size, size))
