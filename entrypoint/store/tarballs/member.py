"""The rules for a member of a tarball that may be unpacked or read."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from entrypoint.errors import RefusedArtifact
from entrypoint.store.disk.digest import hash_type
from entrypoint.store.tarballs.archive import Parts, split_name

MemberKind = Literal["folder", "file", "link"]


def check_member(
    archive: Path, parts: Parts, member: tarfile.TarInfo, made: Mapping[Parts, MemberKind]
) -> None:
    """Refuse a member that must not be unpacked.

    tarfile's own ``data`` filter is not enough: it turns absolute names into relative ones, looks
    on the disk where a path leads, and has been bypassed more than once.

    Args:
        archive: The tarball, for the error.
        parts: The member's name, without ``..``.
        member: The member.
        made: ``{name: kind}`` of the members before it.

    Raises:
        RefusedArtifact: The member is not a file, folder or link; it has the name of another
            member; it lies under a link or a file; it has a blob's name, which is the hash of a
            content, but no content; or it is a link that leads out of the archive.
    """

    def refuse(problem: str) -> RefusedArtifact:
        text = f"the member {member.name!r} {problem}"
        return RefusedArtifact(archive, text, member=member.name)

    if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        raise refuse("is not a file, folder or link")
    if not parts and not member.isdir():
        raise refuse("has no name")
    # Otherwise a link, followed by a file below it, could write where the link leads.
    for depth in range(1, len(parts)):
        if made.get(parts[:depth], "folder") != "folder":
            raise refuse(f"lies under {'/'.join(parts[:depth])!r}, which is not a folder")
    if len(parts) > 1 and parts[-2] == "blobs" and hash_type(parts[-1]) and not _is_file(member):
        raise refuse("has the name of a blob, but no content")
    if parts in made and not (member.isdir() and made[parts] == "folder"):
        raise refuse("occurs twice")
    if member.issym() and not _stays_inside(parts, member.linkname):
        raise refuse(f"links to {member.linkname!r}, out of the archive")
    if member.islnk() and made.get(split_name(archive, member.linkname)) != "file":
        raise refuse(f"is a hard link to {member.linkname!r}, which is not a file before it")


def _is_file(member: tarfile.TarInfo) -> bool:
    return member.isreg() or member.islnk()


def _stays_inside(parts: Parts, target: str) -> bool:
    """Whether a symbolic link at ``parts`` leads to a place inside the archive.

    ``..`` is allowed only at the front, where it steps through real folders, whose parents are
    known from their names. After a name it could step out of the target of another link.
    """
    steps = [step for step in target.split("/") if step not in ("", ".")]
    up = 0
    while up < len(steps) and steps[up] == "..":
        up += 1
    outside = target.startswith("/") or up >= len(parts) or ".." in steps[up:]
    return bool(target) and "\0" not in target and not outside
