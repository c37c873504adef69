"""Verifying a cache, a directory or a tarball: what is hashed, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from entrypoint.errors import FailedVerification, ModelNotFound, Problem, StorageError, UsageError
from entrypoint.store.disk.folder import why_unreadable
from entrypoint.store.disk.manifest import Manifest
from entrypoint.store.progress import Counter, OnProgress, ignore_progress
from entrypoint.store.verification.contents import FilesBelow
from entrypoint.store.verification.judge import Finding, judge
from entrypoint.store.verification.scan import scan
from entrypoint.store.verification.subject import (
    Hashed,
    Subject,
    hash_contents,
    model_files,
    strays,
    subjects_in_tarball,
    subjects_on_disk,
)


@dataclass(frozen=True, slots=True)
class Verified:
    """A model that was verified, and what came of it."""

    subject: Subject
    hashed: Hashed = field(repr=False)
    finding: Finding


@dataclass(frozen=True, slots=True)
class Verification:
    """What was verified, and what came of it.

    Attributes:
        place: What was named.
        models: The models in it.
        strays: ``{file: what is wrong}`` of files that belong to none of them.
    """

    place: Path
    models: tuple[Verified, ...]
    strays: Mapping[str, Problem]

    @property
    def problems(self) -> dict[str, Problem]:
        """``{file: what is wrong with it}``, with the model's name where there are several."""
        problems = dict(self.strays)
        for model in self.models:
            start = f"{model.finding.repository}: " if len(self.models) > 1 else ""
            problems |= {start + name: what for name, what in model.finding.problems.items()}
        return problems

    def check(self) -> None:
        """Raise what is wrong.

        Raises:
            FailedVerification: Something is.
        """
        if problems := self.problems:
            raise FailedVerification(self.place, problems)

    def only_model(self) -> tuple[FilesBelow, dict[str, str]]:
        """The files of the one model, and ``{name: SHA-256}`` of them.

        Raises:
            UsageError: There are several models, or revisions of one.
        """
        if len(self.models) != 1:
            names = ", ".join(str(model.finding.repository) for model in self.models)
            raise UsageError(
                f"{self.place} holds {len(self.models)} models, and a signature is of one: "
                f"{names}.",
                hint="Name the models--org--name folder instead.",
            )
        [model] = self.models
        files = model_files(model.subject)
        hashes = {name: model.hashed[content].sha256 for name, content in files.contents.items()}
        return files, hashes


def verify(
    path: Path,
    *,
    manifest: Manifest | None = None,
    threads: int,
    on_progress: OnProgress = ignore_progress,
) -> Verification:
    """Verify all that a cache, a directory or a tarball holds.

    Nothing is written: an uncompressed tarball is read where its contents lie, several at once, a
    compressed one once from its begin to its end.

    Args:
        path: A cache root, a ``models--org--name`` folder, a snapshot, a plain directory, or a
            tarball.
        manifest: What it is compared with, instead of the manifest in it.
        threads: How many files are hashed at once.
        on_progress: Called with each change: of a tarball's bytes read, then of the bytes hashed.

    Raises:
        ModelNotFound: It is not there.
        UsageError: There is a manifest for one model, and there are several models.
        RefusedArtifact: The tarball is damaged, cut short or unsafe.
        StorageError: A file cannot be read.
    """
    if not path.exists():
        raise ModelNotFound(
            str(path), (), {}, None, message=f"{path} does not exist.", variable=None,
            hint="Name a cache, a snapshot, a directory or a tarball that holds a model.",
        )  # fmt: skip
    try:
        return _verify(path, manifest, threads, on_progress)
    except OSError as error:
        raise StorageError(
            f"{error.filename or path} cannot be read: {why_unreadable(error)}.",
            hint="Verify it again, as a user who may read it, where its disk can be reached.",
        ) from error


def _verify(
    path: Path, manifest: Manifest | None, threads: int, on_progress: OnProgress
) -> Verification:
    known: Hashed = {}
    others: dict[str, Problem] = {}
    if path.is_dir():
        subjects = subjects_on_disk(path, manifest)
    else:
        found = scan(path, on_progress)
        subjects, known, others = subjects_in_tarball(found, manifest), found.digests, strays(found)
    if manifest is not None and len(subjects) > 1:
        raise UsageError(
            f"{path} holds {len(subjects)} models, and a manifest is of one.",
            hint="Name the models--org--name folder instead.",
        )
    contents = {content for subject in subjects for content in subject.contents.values()}
    total = sum(content.size for content in contents - known.keys())
    counter = Counter(total, on_progress)
    models = []
    for subject in subjects:
        hashed = hash_contents(subject, known, threads, counter.advance)
        models.append(Verified(subject, hashed, judge(subject, hashed)))
    return Verification(path, tuple(models), others)
