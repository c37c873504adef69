"""Unpacking a tarball: streamed, only the wanted model, and nothing outside of the target."""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from entrypoint.errors import RefusedArtifact
from entrypoint.store.archive import CHUNK, Parts, open_archive, repository_of, split_name
from entrypoint.store.cache import repository_name

Kind = Literal["folder", "file", "link"]


def check_member(
    archive: Path, parts: Parts, member: tarfile.TarInfo, made: dict[Parts, Kind]
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
            lies under a link or a file; or its link leads out of the target.
    """

    def refuse(problem: str) -> RefusedArtifact:
        return RefusedArtifact(archive, f"the member {member.name!r} {problem}")

    if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        raise refuse("is not a file, folder or link")
    if not parts and not member.isdir():
        raise refuse("has no name")
    # Were this allowed, a link followed by a file below it would write where the link leads.
    for depth in range(1, len(parts)):
        if made.get(parts[:depth], "folder") != "folder":
            raise refuse(f"lies under {'/'.join(parts[:depth])!r}, which is not a folder")
    if parts in made and not (member.isdir() and made[parts] == "folder"):
        raise refuse("is there twice")
    if member.issym() and not _stays_inside(parts, member.linkname):
        raise refuse(f"links to {member.linkname!r}, out of the archive")
    if member.islnk() and made.get(split_name(archive, member.linkname)) != "file":
        raise refuse(f"is a hard link to {member.linkname!r}, which is not a file before it")


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


def unpack(archive: Path, into: Path, model_id: str, progress: Callable[[int, int], None]) -> None:
    """Unpack what ``archive`` has of ``model_id`` into the empty folder ``into``.

    Other repositories are passed over. Owners, modes and times are not taken from the archive:
    the files are this user's, and nothing is set-uid.

    Args:
        archive: A ``.tar``, ``.tar.gz`` or ``.tar.zst``.
        into: An empty folder.
        model_id: The repository that is wanted.
        progress: Called with the bytes of the archive read, and their total.

    Raises:
        RefusedArtifact: The archive is damaged or unsafe. ``into`` is then to be thrown away.
        OSError: A read or a write failed.
    """
    made: dict[Parts, Kind] = {}
    with open_archive(archive, progress) as opened:
        for parts, member in opened.members():
            inside = repository_of(parts)
            if inside and repository_name(inside[0]) != model_id:
                continue
            check_member(archive, parts, member, made)
            path = into.joinpath(*parts)
            made |= {parts[:depth]: "folder" for depth in range(1, len(parts))}
            path.parent.mkdir(parents=True, exist_ok=True)
            if member.isdir():
                path.mkdir(exist_ok=True)
                made[parts] = "folder"
            elif member.issym():
                os.symlink(member.linkname, path)
                made[parts] = "link"
            elif member.islnk():
                os.link(into.joinpath(*split_name(archive, member.linkname)), path)
                made[parts] = "file"
            else:
                with path.open("xb") as file:
                    shutil.copyfileobj(opened.content(member), file, CHUNK)
                made[parts] = "file"
        opened.finish()
