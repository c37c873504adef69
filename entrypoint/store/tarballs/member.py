"""A member of a tarball, and whether it may be unpacked or read."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from entrypoint.errors import RefusedArtifact
from entrypoint.store.disk.digest import naming
from entrypoint.store.tarballs.archive import Parts, split_name

Kind = Literal["folder", "file", "link"]


def check_member(
    archive: Path, parts: Parts, member: tarfile.TarInfo, made: Mapping[Parts, Kind]
) -> None:
    """Refuse a member that must not be unpacked.

    tarfile's own ``data`` filter is not used: it turns an absolute name into a relative one where
    this refuses it, it asks the disk where a path leads where this knows what was made, and it has
    been got around more than once.

    Args:
        archive: For the error.
        parts: The member's name, known to have no ``..``.
        member: What is to be unpacked.
        made: What was unpacked before, by name.

    Raises:
        RefusedArtifact: It is neither file, folder nor link; it stands where another stands; it
            lies under a link or a file; it stands for a blob, whose name is the hash of its
            content, and has none; or its link leads out of the target.
    """

    def refuse(problem: str) -> RefusedArtifact:
        text = f"the member {member.name!r} {problem}"
        return RefusedArtifact(archive, text, member=member.name)

    if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        raise refuse("is not a file, folder or link")
    if not parts and not member.isdir():
        raise refuse("has no name")
    # Were this allowed, a link followed by a file below it would write where the link leads.
    for depth in range(1, len(parts)):
        if made.get(parts[:depth], "folder") != "folder":
            raise refuse(f"lies under {'/'.join(parts[:depth])!r}, which is not a folder")
    if len(parts) > 1 and parts[-2] == "blobs" and naming(parts[-1]) and not _is_file(member):
        raise refuse("has the name of a blob, and is none")
    if parts in made and not (member.isdir() and made[parts] == "folder"):
        raise refuse("is there twice")
    if member.issym() and not _stays_inside(parts, member.linkname):
        raise refuse(f"links to {member.linkname!r}, out of the archive")
    if member.islnk() and made.get(split_name(archive, member.linkname)) != "file":
        raise refuse(f"is a hard link to {member.linkname!r}, which is not a file before it")


def _is_file(member: tarfile.TarInfo) -> bool:
    return member.isreg() or member.islnk()


def _stays_inside(parts: Parts, target: str) -> bool:
    """Whether a symbolic link at ``parts`` leads to a place inside the archive.

    ``..`` may only stand at the front: there it steps through real folders, whose parents are what
    their names say. After a name it might step back out of wherever another link leads.
    """
    steps = [step for step in target.split("/") if step not in ("", ".")]
    up = 0
    while up < len(steps) and steps[up] == "..":
        up += 1
    outside = target.startswith("/") or up >= len(parts) or ".." in steps[up:]
    return bool(target) and "\0" not in target and not outside
