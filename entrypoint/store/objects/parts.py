"""The parts that an object is transferred in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

MIB = 1 << 20
MOST_PARTS = 10_000
"""S3's limit for an upload."""
SMALLEST_UPLOAD_PART = 8 * MIB
"""S3 takes no less than 5 MiB, but for the last part."""
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
    """Return the bytes of a part of an upload: as few as the limit on their number allows."""
    return max(SMALLEST_UPLOAD_PART, _whole_mib(size, MOST_PARTS))


def pulled_part_size(size: int) -> int:
    """Return the bytes of a part of a pull, which are done again if it is killed in the middle."""
    return min(LARGEST_PULLED_PART, max(MIB, _whole_mib(size, PULLED_PARTS)))


def _whole_mib(size: int, parts: int) -> int:
    """The bytes of each of so many parts, rounded up to MiB."""
    return -(-size // (parts * MIB)) * MIB


def cut(size: int, part_size: int) -> Iterator[Part]:
    """Yield the parts of so many bytes; of none, one that is empty."""
    for number, start in enumerate(range(0, max(size, 1), part_size)):
        yield Part(number, start, min(start + part_size, size))
