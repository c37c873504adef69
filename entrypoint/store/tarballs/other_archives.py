"""Files that are offered as tarballs but are something else, and how to make a tarball of them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

SPLIT = re.compile(
    r"(?P<whole>.+\.(?:tar(?:\.gz|\.zst)?|tgz|zip))[.-](?:(?!gz|xz|bz|br|lz)[a-z]{2}|part\d+|\d{2,4})"
)
OTHER_SUFFIXES = (
    ".zip", ".7z", ".rar", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz", ".tar.lz4", ".tar.lzma",
    ".tar.z", ".tar.br", ".tar.lz",
)  # fmt: skip
"""Suffixes of archives that are not read."""


@dataclass(frozen=True, slots=True)
class OtherFile:
    """A kind of file that is not a tarball.

    Attributes:
        start: The bytes that it starts with.
        name: What it is, after "it is".
        fix: What to do. ``{file}`` is the file, quoted for a shell.
    """

    start: bytes
    name: str
    fix: str


USTAR = slice(257, 262)
REPACK = "Unpack it, and set MODEL_ID to the folder with config.json: {command} {{file}}"
ANSWER = "Download the tarball again: {file} has the answer of a server instead."
OTHERS = (
    OtherFile(b"PK\x03\x04", "a zip file", REPACK.format(command="unzip")),
    OtherFile(b"PK\x05\x06", "an empty zip file", "Pack the model again, as a tarball."),
    OtherFile(b"BZh", "compressed with bzip2", REPACK.format(command="tar -xf")),
    OtherFile(b"\xfd7zXZ\0", "compressed with xz", REPACK.format(command="tar -xf")),
    OtherFile(b"\x04\x22\x4d\x18", "compressed with lz4", REPACK.format(command="tar --lz4 -xf")),
    OtherFile(b"7z\xbc\xaf\x27\x1c", "a 7z file", REPACK.format(command="7z x")),
    OtherFile(b"Rar!\x1a\x07", "a RAR file", REPACK.format(command="unrar x")),
    OtherFile(b"\x1f\x8b", "compressed twice", "Decompress it once: gunzip {file}"),
    OtherFile(b"\x28\xb5\x2f\xfd", "compressed twice", "Decompress it once: zstd -d {file}"),
    OtherFile(b"GGUF", "a GGUF file", "vLLM has no loader for GGUF. Serve the original model."),
    OtherFile(
        b"version https://git-lfs",
        "a Git LFS pointer instead of the file",
        "Run git lfs pull in the repository that it comes from.",
    ),
    OtherFile(b"<", "a web page or an XML document", ANSWER),
    OtherFile(b"{", "a JSON document", ANSWER),
)
"""The first match counts."""


def find_other(start: bytes) -> OtherFile | None:
    """Return what a file is that starts with these bytes; None if it may be a tarball.

    A tarball starts with the name of a file, which may look like anything.
    """
    if start[USTAR] == b"ustar":
        return None
    return next((other for other in OTHERS if start.startswith(other.start)), None)


def fix_for(other: OtherFile, file: Path) -> str:
    """Return what to do with such a file."""
    return other.fix.format(file=shlex.quote(str(file)))


def part_hint(file: Path) -> str | None:
    """Return how to join the parts of a split tarball; None if a file is not such a part."""
    match = SPLIT.fullmatch(file.name)
    if match is None:
        return None
    whole = shlex.quote(str(file.with_name(match["whole"])))
    return f"It is one part of a split tarball. Join the parts: cat {whole}?* > {whole}"


def is_other_archive(name: str) -> bool:
    """Whether a name is that of an archive that is not read, or of a part of one."""
    return name.lower().endswith(OTHER_SUFFIXES) or SPLIT.fullmatch(name) is not None
