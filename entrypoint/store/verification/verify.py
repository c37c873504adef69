"""Verifies the models in a cache, a directory or a tarball."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from entrypoint.errors import FailedVerification, ModelNotFound, Problem, StorageError, UsageError
from entrypoint.store.disk.folder import why_unreadable
from entrypoint.store.disk.manifest import Manifest
from entrypoint.store.progress import Counter, OnProgress, ignore_progress
from entrypoint.store.verification.compare import Finding, compare
from entrypoint.store.verification.contents import Folder
from entrypoint.store.verification.scan import scan
from entrypoint.store.verification.target import (
    DigestsByContent,
    Target,
    hash_contents,
    model_files,
    targets_in_tarball,
    targets_on_disk,
    unrelated_files,
)


@dataclass(frozen=True, slots=True)
class Verified:
    """A verified model and its result."""

    target: Target
    hashed: DigestsByContent = field(repr=False)
    finding: Finding


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of verifying a path.

    Attributes:
        place: The path.
        models: The models in it.
        unrelated_files: ``{file: problem}`` of files that do not belong to any of them.
    """

    place: Path
    models: tuple[Verified, ...]
    unrelated_files: Mapping[str, Problem]

    @property
    def problems(self) -> dict[str, Problem]:
        """``{file: problem}``, with the model's name if there are several."""
        problems = dict(self.unrelated_files)
        for model in self.models:
            start = f"{model.finding.repository}: " if len(self.models) > 1 else ""
            problems |= {start + name: what for name, what in model.finding.problems.items()}
        return problems

    def check(self) -> None:
        """Fail if there is any problem.

        Raises:
            FailedVerification: It lists the problems.
        """
        if problems := self.problems:
            raise FailedVerification(self.place, problems)

    def only_model(self) -> tuple[Folder, dict[str, str]]:
        """Return the only model's files, and ``{name: SHA-256}`` of them.

        Raises:
            UsageError: There are several models, or several revisions.
        """
        if len(self.models) != 1:
            names = ", ".join(str(model.finding.repository) for model in self.models)
            raise UsageError(
                f"{self.place} contains {len(self.models)} models, but a signature covers one: "
                f"{names}.",
                hint="Name the models--org--name folder instead.",
            )
        [model] = self.models
        files = model_files(model.target)
        hashes = {name: model.hashed[content].sha256 for name, content in files.contents.items()}
        return files, hashes


def verify(
    path: Path,
    *,
    manifest: Manifest | None = None,
    threads: int,
    on_progress: OnProgress = ignore_progress,
) -> Verification:
    """Verify all models in a cache, a directory or a tarball.

    Writes nothing. Hashes the files of an uncompressed tarball in parallel, and reads a compressed
    tarball once, front to back.

    Args:
        path: A cache root, a ``models--org--name`` folder, a snapshot, a plain directory, or a
            tarball.
        manifest: The manifest to compare with, instead of the one in the path.
        threads: How many files to hash in parallel.
        on_progress: Called with each change, first of a tarball's bytes read, then of the bytes
            hashed.

    Raises:
        ModelNotFound: The path does not exist.
        UsageError: The manifest is for one model, but there are several.
        RefusedArtifact: The tarball is damaged, truncated or unsafe.
        StorageError: A file cannot be read.
    """
    if not path.exists():
        raise ModelNotFound(
            str(path),
            message=f"{path} does not exist.",
            variable=None,
            hint="Name a cache, a snapshot, a directory or a tarball with a model.",
        )
    try:
        return _verify(path, manifest, threads, on_progress)
    except OSError as error:
        raise StorageError(
            f"{error.filename or path} cannot be read: {why_unreadable(error)}.",
            hint="Check the file's permissions and its disk, and verify it again.",
        ) from error


def _verify(
    path: Path, manifest: Manifest | None, threads: int, on_progress: OnProgress
) -> Verification:
    known: DigestsByContent = {}
    others: dict[str, Problem] = {}
    if path.is_dir():
        targets = targets_on_disk(path)
    else:
        found = scan(path, on_progress)
        targets, known, others = targets_in_tarball(found), found.digests, unrelated_files(found)
    if manifest is not None and len(targets) > 1:
        raise UsageError(
            f"{path} contains {len(targets)} models, but a manifest covers one.",
            hint="Name the models--org--name folder instead.",
        )
    targets = [replace(target, manifest=manifest) for target in targets]
    contents = {content for target in targets for content in target.contents.values()}
    total = sum(content.size for content in contents - known.keys())
    counter = Counter(total, on_progress)
    models = []
    for target in targets:
        hashed = hash_contents(target, known, threads, counter.advance)
        models.append(Verified(target, hashed, compare(target, hashed)))
    return Verification(path, tuple(models), others)
