"""Unpacking a tarball: streamed, only the wanted model, and nothing outside of the target."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from entrypoint.store.archive import CHUNK, Parts, open_archive, repository_of, split_name
from entrypoint.store.cache import repository_name
from entrypoint.store.member import Kind, check_member


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
