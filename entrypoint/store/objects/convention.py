"""The model in a tarball: the parts of the tarball's key by convention."""

from __future__ import annotations

import json
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path

from entrypoint.errors import RevisionNotFound, UsageError
from entrypoint.store.disk.cache import (
    MAX_REF_BYTES,
    Repository,
    choose_commit,
    repository_name,
)
from entrypoint.store.progress import OnProgress, ignore_progress
from entrypoint.store.tarballs.archive import Parts, open_archive, repository_of
from entrypoint.store.tarballs.compressed import GZIP, is_compressed

MAX_CONFIG_BYTES = 1 << 20
_FAMILY = re.compile(r"[a-z0-9][a-z0-9._-]*")
FULL_KEY = "Give the full key, such as s3://bucket/models/falcon/cf4b3c4/tiiuae--falcon-7b.tar."


@dataclass(frozen=True, slots=True)
class Described:
    """A tarball's model.

    Attributes:
        repository: ``org/name``.
        revision: The commit.
        model_type: The family from its ``config.json``; None without one.
        suffix: The suffix for its compression, such as ``.tar.gz``.
    """

    repository: str
    revision: str
    model_type: str | None
    suffix: str

    def family(self, requested: str | None) -> str:
        """Return the requested family, otherwise the model's.

        Raises:
            UsageError: There is neither, or the family is not valid in a key.
        """
        family = requested or (self.model_type or "").lower()
        if not family:
            raise UsageError(
                f"The family of {self.repository} is unknown: its config.json has no model_type.",
                hint="Name it: --family falcon",
            )
        if not _FAMILY.fullmatch(family):
            raise UsageError(
                f"--family is {family!r}, which is not valid in a key.",
                hint="Use lowercase letters, digits, dots, hyphens and underscores: falcon",
            )
        return family


def describe(archive: Path, on_progress: OnProgress = ignore_progress) -> Described:
    """Return the model in a tarball. A compressed tarball is read front to back.

    Args:
        archive: The tarball.
        on_progress: Called with each change of the archive's bytes read.

    Raises:
        UsageError: It holds no model of the cache's layout, or several.
        RefusedArtifact: It is damaged, incomplete, or not a tarball.
        OSError: It cannot be read.
    """
    commits: dict[str, list[str]] = {}
    refs: dict[str, dict[str, str]] = {}
    links: dict[Parts, Parts] = {}
    configs: dict[Parts, bytes] = {}
    with open_archive(archive, on_progress) as opened:
        for parts, member in opened.members():
            inside = repository_of(parts)
            if inside is None:
                continue
            name = repository_name(inside[0])
            commits.setdefault(name, [])
            match inside[1]:
                case ("snapshots", commit, *rest):
                    commits[name] += [] if commit in commits[name] else [commit]
                    if rest == ["config.json"] and member.issym():
                        links[parts] = _resolved(parts, member.linkname)
                case ("refs", *ref) if ref and member.isreg():
                    content = opened.content(member).read(MAX_REF_BYTES)
                    refs.setdefault(name, {})["/".join(ref)] = content.decode(errors="replace")
                    continue
            if member.isreg() and member.size <= MAX_CONFIG_BYTES:
                content = opened.content(member).read()
                if b'"model_type"' in content:
                    configs[parts] = content
    if len(commits) != 1:
        problem = f"holds {', '.join(sorted(commits))}" if commits else "holds no models--org--name"
        raise UsageError(f"{archive} {problem}, so its key cannot be derived.", hint=FULL_KEY)
    [(name, found)] = commits.items()
    named = {ref: commit.strip() for ref, commit in refs.get(name, {}).items()}
    try:
        chosen = choose_commit(Repository(name, archive, tuple(sorted(found)), named), None)
    except RevisionNotFound as error:
        raise UsageError(f"{archive}: {error.message}", hint=FULL_KEY) from error
    model_types = [
        _model_type(configs.get(links.get(parts, parts)))
        for parts in (*links, *configs)
        if parts[-3:] == ("snapshots", chosen, "config.json")
    ]
    return Described(name, chosen, model_types[0] if model_types else None, _suffix(archive))


def _resolved(parts: Parts, target: str) -> Parts:
    return tuple(posixpath.normpath(posixpath.join(*parts[:-1], target)).split("/"))


def _model_type(config: bytes | None) -> str | None:
    try:
        value = json.loads(config or b"{}").get("model_type")
    except (ValueError, AttributeError, RecursionError):
        return None
    return value if isinstance(value, str) else None


def _suffix(archive: Path) -> str:
    with archive.open("rb") as file:
        start = file.read(4)
    if start.startswith(GZIP):
        return ".tar.gz"
    return ".tar.zst" if is_compressed(start) else ".tar"
