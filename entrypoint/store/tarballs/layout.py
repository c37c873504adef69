"""The layout of a packed model: every member of the tarball with its header and offset.

::

    models--org--name/manifest.json
    models--org--name/refs/main
    models--org--name/snapshots/<commit>/config.json -> ../../blobs/<hash>
    models--org--name/blobs/<hash>                   small files first, then weights, aligned
    version.txt

The layout depends only on names, sizes and hashes. All hashes have the same length, so all offsets
are known before anything is hashed.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from entrypoint.store.disk.cache import PREFIX
from entrypoint.store.disk.integrity import is_weight
from entrypoint.store.disk.manifest import MANIFEST, Manifest

ALIGNMENT = 4096
"""Bytes of a page. The content of a weight file starts at a multiple of it."""
VERSION_FILE = ("version.txt", b"1")
"""The version of the cache's layout, as the hub's client writes it."""
MTIME = 315_532_800
"""The start of 1980. Some tools warn about 1970, which zip cannot store."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the tarball.

    Attributes:
        offset: The start of its header, in bytes.
        header: All its header blocks.
        size: Length of its content, in bytes.
        data: Its content, None for a blob.
        blob: The name of its blob, None for other members.
    """

    offset: int
    header: bytes
    size: int
    data: bytes | None = None
    blob: str | None = None

    @property
    def content_offset(self) -> int:
        """The start of its content, in bytes."""
        return self.offset + len(self.header)

    @property
    def end(self) -> int:
        """The start of the next member, in bytes."""
        return self.content_offset + _padded(self.size, tarfile.BLOCKSIZE)


def lay_out(manifest: Manifest, refs: Sequence[str]) -> list[Member]:
    """Return the members of the tarball, in order.

    Args:
        manifest: The files and their blobs.
        refs: The branches and tags of its commit.
    """
    folder = PREFIX + manifest.repository.replace("/", "--")
    writer = _Writer()
    writer.file(f"{folder}/{MANIFEST}", manifest.dump())
    for ref in refs:
        writer.file(f"{folder}/refs/{ref}", manifest.commit.encode())
    for file in manifest.files:
        up = "../" * (2 + file.name.count("/"))
        name = f"{folder}/snapshots/{manifest.commit}/{file.name}"
        writer.link(name, f"{up}blobs/{file.blob}")
    for blob, (size, aligned) in _blobs(manifest).items():
        writer.blob(f"{folder}/blobs/{blob}", blob, size, aligned)
    writer.file(*VERSION_FILE)
    return writer.members


def total_size(members: Iterable[Member]) -> int:
    """Return the length of the tarball in bytes, including its end mark."""
    end = max(member.end for member in members)
    return _padded(end + 2 * tarfile.BLOCKSIZE, tarfile.RECORDSIZE)


def _blobs(manifest: Manifest) -> Mapping[str, tuple[int, bool]]:
    """Return ``{blob: (bytes, whether it is aligned)}`` in the order of file names, weights last.

    The order of the blobs' own names would depend on the hashes.
    """
    weights = [file for file in manifest.files if is_weight(file.name)]
    others = [file for file in manifest.files if not is_weight(file.name)]
    aligned = {file.blob for file in weights}
    return {
        file.blob: (file.size, file.blob in aligned)
        for file in (*(file for file in others if file.blob not in aligned), *weights)
    }


class _Writer:
    """Appends members, each folder before its files."""

    def __init__(self) -> None:
        self.members: list[Member] = []
        self._folders: set[str] = set()

    def file(self, name: str, content: bytes) -> None:
        info = self._info(name, tarfile.REGTYPE, 0o644)
        info.size = len(content)
        self._add(info, data=content)

    def link(self, name: str, target: str) -> None:
        info = self._info(name, tarfile.SYMTYPE, 0o777)
        info.linkname = target
        self._add(info)

    def blob(self, name: str, blob: str, size: int, aligned: bool) -> None:
        info = self._info(name, tarfile.REGTYPE, 0o644)
        info.size = size
        self._add(info, blob=blob, aligned=aligned)

    def _info(self, name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
        parents = name.split("/")[:-1]
        for depth in range(1, len(parents) + 1):
            parent = "/".join(parents[:depth])
            if parent not in self._folders:
                self._folders.add(parent)
                self._add(_info(parent, tarfile.DIRTYPE, 0o755))
        return _info(name, kind, mode)

    def _add(
        self,
        info: tarfile.TarInfo,
        data: bytes | None = None,
        blob: str | None = None,
        aligned: bool = False,
    ) -> None:
        offset = self.members[-1].end if self.members else 0
        header = header_of(info, offset if aligned else None)
        self.members.append(Member(offset, header, info.size, data, blob))


def _info(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.mtime = kind, mode, MTIME
    return info


def header_of(info: tarfile.TarInfo, offset: int | None = None) -> bytes:
    """Return a member's header in the PAX format, including its extended header.

    Args:
        info: The member.
        offset: The start of the header, in bytes, to align the content: a comment, which readers
            skip, makes the header long enough. None for no alignment.
    """
    header = _encoded(info)
    comment = ""
    while offset is not None and (offset + len(header)) % ALIGNMENT:
        # each round adds one block, unless the comment only filled up a block
        comment += "." * (tarfile.BLOCKSIZE if comment else 1)
        info.pax_headers = {"comment": comment}
        header = _encoded(info)
    return header


def _encoded(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


def _padded(size: int, block: int) -> int:
    return -(-size // block) * block
