"""Finding out which models a tarball holds, by reading its members."""

from __future__ import annotations

from pathlib import Path

from entrypoint.store.disk.cache import MAX_REF_BYTES, Repository, repository_name
from entrypoint.store.disk.directory import CONFIG_FILES
from entrypoint.store.disk.integrity import INDEX_SUFFIXES, is_weight
from entrypoint.store.progress import OnProgress
from entrypoint.store.tarballs.archive import (
    HEADERS,
    OpenArchive,
    Parts,
    open_archive,
    repository_of,
)
from entrypoint.store.tarballs.contents import Contents

MAX_PEEK = 64 << 20
"""How many bytes of a compressed archive :func:`peek` reads at most."""


def _marks_plain_model(parts: Parts) -> bool:
    """Whether a file of this name occurs only in a plain model directory."""
    if len(parts) not in (1, 2):
        return False
    name = parts[-1]
    return name in CONFIG_FILES or is_weight(name) or name.endswith(INDEX_SUFFIXES)


def peek(path: Path) -> Contents:
    """Return what can be found out quickly about a tarball.

    Reads all headers of an uncompressed tarball, and a compressed one up to the first member that
    identifies a model. In all known layouts this is the first member.

    Raises:
        RefusedArtifact: It is damaged, truncated, or not a tarball.
        OSError: It cannot be read.
    """
    with open_archive(path, buffer=HEADERS) as archive:
        return _first_model(archive) if archive.compressed else _all_models(archive)


def survey(path: Path, on_progress: OnProgress) -> Contents:
    """Return everything that a tarball holds. A compressed one is read to its end.

    Args:
        path: The archive.
        on_progress: Called with each change of the archive's bytes read.

    Raises:
        RefusedArtifact: It is damaged, truncated, or not a tarball.
        OSError: It cannot be read.
    """
    with open_archive(path, on_progress) as archive:
        contents = _all_models(archive)
        archive.finish()
        return contents


def _first_model(archive: OpenArchive) -> Contents:
    skipped = 0
    for parts, member in archive.members():
        if repository := repository_of(parts):
            name = repository_name(repository[0])
            nothing_known = Repository(name, archive.path, (), {})
            return Contents({name: nothing_known}, {}, {}, False, listed=False, compressed=True)
        if member.isreg() and _marks_plain_model(parts):
            return Contents({}, {}, {}, plain=True, listed=False, compressed=True)
        skipped += member.size
        if skipped > MAX_PEEK:
            break
    return Contents({}, {}, {}, plain=False, listed=False, compressed=True)


def _all_models(archive: OpenArchive) -> Contents:
    commits: dict[str, list[str]] = {}
    refs: dict[str, dict[str, str]] = {}
    sizes: dict[str, int] = {}
    formats: dict[str, dict[str, None]] = {}
    plain = False
    for parts, member in archive.members():
        inside = repository_of(parts)
        name = repository_name(inside[0]) if inside else ""
        sizes[name] = sizes.get(name, 0) + member.size
        rest = inside[1] if inside else parts
        if rest and is_weight(rest[-1]) and (len(rest) == 3 if inside else len(rest) <= 2):
            formats.setdefault(name, {})[rest[-1].rpartition(".")[2]] = None
        if inside is None:
            plain = plain or (member.isreg() and _marks_plain_model(parts))
            continue
        commits.setdefault(name, [])
        refs.setdefault(name, {})
        match inside[1]:
            case ("snapshots", commit, *_) if commit not in commits[name]:
                commits[name].append(commit)
            case ("refs", *ref) if ref and member.isreg():
                content = archive.content(member).read(MAX_REF_BYTES)
                refs[name]["/".join(ref)] = content.decode(errors="replace").strip()
    repositories = {
        name: Repository(name, archive.path, tuple(sorted(found)), refs[name])
        for name, found in commits.items()
    }
    return Contents(
        repositories,
        sizes,
        {name: tuple(sorted(found)) for name, found in formats.items()},
        plain and not repositories,
        listed=True,
        compressed=archive.compressed,
    )
