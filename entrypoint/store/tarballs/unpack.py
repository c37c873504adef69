"""Unpacking one model of a tarball, and nothing outside the target folder.

One thread writes. Other threads decompress what it writes next, and hash what it has written.
"""

from __future__ import annotations

import errno
import os
import tarfile
from pathlib import Path

from entrypoint.errors import RefusedArtifact
from entrypoint.store.disk.cache import repository_name
from entrypoint.store.disk.digest import hash_type
from entrypoint.store.disk.manifest import (
    MANIFEST,
    MAX_MANIFEST_BYTES,
    Manifest,
    load_manifest,
)
from entrypoint.store.progress import OnProgress
from entrypoint.store.tarballs.archive import (
    OpenArchive,
    Parts,
    open_archive,
    repository_of,
    split_name,
)
from entrypoint.store.tarballs.hashing import Hashing
from entrypoint.store.tarballs.member import MemberKind, check_member
from entrypoint.store.threads import Threads, processors
from entrypoint.store.writing.room import check_room

SMALL = 64 << 20
"""Blobs up to this size are hashed. Larger ones are weights, whose hashing takes longer than all
other work; MODEL_VERIFY=full hashes them too."""
MAX_RATIO = 100
"""No model compresses to a hundredth of its size. Archives made to fill a disk are far smaller."""
HARMLESS = 1 << 30
"""Bytes that may be unpacked whatever the ratio."""


def unpack(archive: Path, into: Path, model_id: str, on_progress: OnProgress) -> None:
    """Unpack the files of ``model_id`` in ``archive`` into the empty folder ``into``.

    Skips other repositories. Ignores the archive's owners, modes and times: the files belong to
    this user, and none is set-uid. Compares the checksums of zstd and gzip, the hashes that name
    small blobs, and the sizes and hashes in a manifest.

    Args:
        archive: A ``.tar``, ``.tar.gz`` or ``.tar.zst``.
        into: An empty folder.
        model_id: The requested repository.
        on_progress: Called with each change of the bytes read from the archive.

    Raises:
        RefusedArtifact: The archive is damaged or unsafe. The caller must remove ``into``.
        OSError: A read or a write failed, or there is too little room.
    """
    into = into.resolve()
    made: dict[Parts, MemberKind] = {}
    manifests: dict[Path, Manifest] = {}
    unpacked = 0
    with open_archive(archive, on_progress) as opened, Threads(processors()) as threads:
        hashing = Hashing(archive, threads)
        if opened.compressed:
            check_room(into, opened.min_content)
        for parts, member in opened.members():
            inside = repository_of(parts)
            if inside and repository_name(inside[0]) != model_id:
                continue
            check_member(archive, parts, member, made)
            hashing.check()
            path = into.joinpath(*parts)
            try:
                _make_folder(into, parts[:-1], made)
                if member.isdir():
                    _make_folder(into, parts, made)
                elif member.issym():
                    os.symlink(member.linkname, path)
                    made[parts] = "link"
                elif member.islnk():
                    os.link(into.joinpath(*split_name(archive, member.linkname)), path)
                    made[parts] = "file"
                else:
                    unpacked += member.size
                    _check_ratio(opened, member, unpacked)
                    _write(opened, member, path)
                    made[parts] = "file"
                    if inside and inside[1] == (MANIFEST,):
                        manifests[path.parent] = _read_manifest(opened, member, path)
                if made.get(parts) == "file" and _is_small_blob(path):
                    hashing.add(path, member.name)
            except OSError as error:
                raise _name_problem(error, archive, member.name) from error
        opened.finish()
        hashing.check(wait=True)
        for folder, manifest in manifests.items():
            _check_manifest(archive, folder, manifest, hashing)


def _name_problem(error: OSError, archive: Path, name: str) -> OSError | RefusedArtifact:
    """Return the error to raise for a failed write, which may be due to the member's name."""
    match error.errno:
        case errno.EEXIST:
            # some file systems treat upper and lower case as the same name
            return RefusedArtifact(archive, f"the member {name!r} has the name of another")
        case errno.ENAMETOOLONG:
            return RefusedArtifact(archive, f"the name {name!r} is too long")
    return error


def _make_folder(into: Path, parts: Parts, made: dict[Parts, MemberKind]) -> None:
    for depth in range(1, len(parts) + 1):
        if parts[:depth] not in made:
            into.joinpath(*parts[:depth]).mkdir()
            made[parts[:depth]] = "folder"


def _write(opened: OpenArchive, member: tarfile.TarInfo, path: Path) -> None:
    """Write a file, and keep its holes."""
    if opened.compressed:
        check_room(path.parent, 0 if member.issparse() else member.size)
    with path.open("xb") as file:
        for offset, block in opened.blocks(member):
            file.seek(offset)
            file.write(block)
        file.truncate(member.size)


def _is_small_blob(path: Path) -> bool:
    is_blob = path.parent.name == "blobs" and hash_type(path.name) is not None
    return is_blob and path.stat().st_size <= SMALL


def _read_manifest(opened: OpenArchive, member: tarfile.TarInfo, path: Path) -> Manifest:
    """Read a manifest, and check that there is room for all files that it lists."""
    if member.size > MAX_MANIFEST_BYTES:
        raise RefusedArtifact(opened.path, f"its {member.name!r} has {member.size:,} bytes")
    try:
        manifest = load_manifest(path.read_bytes())
    except ValueError as error:
        raise RefusedArtifact(opened.path, f"its {member.name!r} is {error}") from error
    if opened.compressed:  # the command pack writes the manifest before the files
        check_room(path.parent, sum({file.blob: file.size for file in manifest.files}.values()))
    return manifest


def _check_manifest(archive: Path, folder: Path, manifest: Manifest, hashing: Hashing) -> None:
    for file in manifest.files:
        path = folder / "snapshots" / manifest.commit / file.name
        try:
            size = path.stat().st_size
        except (OSError, ValueError):
            raise RefusedArtifact(
                archive, f"{file.name!r} is in its manifest, but missing"
            ) from None
        digests = hashing.found.get(path.resolve())
        if size != file.size or (digests and digests.sha256 != file.sha256):
            raise RefusedArtifact(archive, f"{file.name!r} does not match its manifest")


def _check_ratio(opened: OpenArchive, member: tarfile.TarInfo, unpacked: int) -> None:
    if unpacked > HARMLESS and unpacked > MAX_RATIO * opened.size:
        raise RefusedArtifact(
            opened.path,
            f"up to its member {member.name!r} it holds {unpacked:,} bytes, more than "
            f"{MAX_RATIO} times its own size",
        )
