"""Reads a tarball once, front to back, without writing anything."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from entrypoint.errors import RefusedArtifact
from entrypoint.store.disk.digest import BLOCK, Digests, Hasher, hash_type
from entrypoint.store.disk.integrity import MAX_SAFETENSORS_HEADER
from entrypoint.store.progress import OnProgress
from entrypoint.store.tarballs.archive import (
    HEADERS,
    OpenArchive,
    Parts,
    open_archive,
    split_name,
)
from entrypoint.store.tarballs.compressed import is_compressed
from entrypoint.store.tarballs.member import MemberKind, check_member
from entrypoint.store.tarballs.streams import CHUNK
from entrypoint.store.tarballs.tree import Entry, Tree
from entrypoint.store.verification.contents import Content

KEPT_COMPLETELY = 16 << 20
"""Contents up to this size in bytes are kept completely: configurations, indexes, manifests."""
KEPT_OF_OTHERS = 64
KEPT_IN_ALL = 512 << 20


@dataclass(frozen=True, slots=True)
class Scan:
    """The result of reading a tarball.

    Attributes:
        tree: Its members.
        digests: The hashes of contents: all of a compressed tarball, only those of sparse files
            of an uncompressed one.
        kept: The kept bytes of these contents: all of a small one, the header of safetensors.
    """

    tree: Tree
    digests: dict[Content, Digests]
    kept: dict[Content, bytes]


def scan(archive: Path, on_progress: OnProgress) -> Scan:
    """Read the headers of a tarball and, if it is compressed, hash its contents.

    Args:
        archive: A ``.tar``, ``.tar.gz`` or ``.tar.zst``.
        on_progress: Called with each change of the archive's bytes read.

    Raises:
        RefusedArtifact: It is damaged, truncated or unsafe. Names the member.
        OSError: It cannot be read.
    """
    entries: dict[Parts, Entry] = {}
    found = Scan(Tree(archive, entries), {}, {})
    kinds: dict[Parts, MemberKind] = {}
    last, kept = "", 0
    try:
        with archive.open("rb") as file:
            compressed = is_compressed(file.read(4))
        with open_archive(archive, on_progress, CHUNK if compressed else HEADERS) as opened:
            for parts, member in opened.members():
                last = member.name
                check_member(archive, parts, member, kinds)
                for depth in range(1, len(parts)):
                    entries.setdefault(parts[:depth], Entry("folder"))
                entries[parts] = _entry(archive, member, entries)
                if member.isreg() and (opened.compressed or member.issparse()):
                    kept += _hash(found, opened, member, parts)
                    if kept > KEPT_IN_ALL:
                        raise RefusedArtifact(archive, "it contains too much data besides weights")
                kinds[parts] = entries[parts].kind
                kinds |= {parts[:depth]: "folder" for depth in range(1, len(parts))}
            opened.finish()
    except RefusedArtifact as error:
        if not last or error.member == last:
            raise
        where = f"{error.problem}, after {last!r}"
        raise RefusedArtifact(archive, where, member=last) from error
    entries.pop((), None)
    return found


def _entry(archive: Path, member: tarfile.TarInfo, entries: dict[Parts, Entry]) -> Entry:
    if member.isdir():
        return Entry("folder")
    if member.issym():
        return Entry("link", target=member.linkname)
    if member.islnk():
        return entries[split_name(archive, member.linkname)]
    return Entry("file", member.offset_data, member.size, sparse=member.issparse())


def _hash(found: Scan, opened: OpenArchive, member: tarfile.TarInfo, parts: Parts) -> int:
    """Hash a content and keep its first bytes. Return how many bytes are kept."""
    content = Content(opened.path, member.offset_data, member.size)
    small = member.size <= KEPT_COMPLETELY  # a link may yet call it by another name
    hasher = Hasher(member.size, git=small or hash_type(parts[-1]) == "git-sha1")
    kept = bytearray()
    for block in _with_holes(opened.blocks(member), member.size):
        hasher.update(block)
        taken = 0
        while taken < len(block) and (wanted := _kept_bytes(kept, member.size) - len(kept)) > 0:
            kept += block[taken : taken + wanted]
            taken += wanted
    found.digests[content] = hasher.digests()
    found.kept[content] = bytes(kept)
    return len(kept)


def _kept_bytes(kept: bytearray, size: int) -> int:
    """Return how many bytes of a content to keep, given its first bytes."""
    if size <= KEPT_COMPLETELY:
        return size
    header = int.from_bytes(kept[:8], "little")
    if kept[8:9] == b"{" and header <= min(size, MAX_SAFETENSORS_HEADER):
        return 8 + header
    return KEPT_OF_OTHERS


def _with_holes(blocks: Iterator[tuple[int, memoryview]], size: int) -> Iterator[memoryview]:
    """Yield the blocks of a content, with its holes filled with zeros."""
    zeros = memoryview(bytes(BLOCK))
    done = 0
    for offset, block in blocks:
        for hole in range(done, offset, BLOCK):
            yield zeros[: offset - hole]
        yield block
        done = offset + len(block)
    for hole in range(done, size, BLOCK):
        yield zeros[: size - hole]
