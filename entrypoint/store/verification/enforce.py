"""Checking before the start that a model passes what it must.

What is verified is what is then loaded: the files at the path that the engine gets, or, where the
weights are loaded out of a tarball, that tarball and the small files that were unpacked from it.
Who may write to these can change them afterwards; mount them read-only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from entrypoint.errors import (
    ArtifactError,
    FailedVerification,
    Problem,
    ProblemKind,
    SettingError,
    StorageError,
    UsageError,
)
from entrypoint.store.disk.digest import Digests
from entrypoint.store.disk.files import directory_files
from entrypoint.store.disk.folder import why_unreadable
from entrypoint.store.disk.manifest import MANIFEST
from entrypoint.store.model import Model
from entrypoint.store.progress import Counter, OnProgress, ignore_progress
from entrypoint.store.verification.contents import Content, folder_in_tarball, folder_on_disk
from entrypoint.store.verification.demand import Demand
from entrypoint.store.verification.judge import ONLY_STRUCTURE, judge
from entrypoint.store.verification.scan import scan
from entrypoint.store.verification.signature import Hashes, Trust, check_signature, signature_beside
from entrypoint.store.verification.subject import (
    Subject,
    hash_contents,
    model_files,
    subjects_on_disk,
)


def verify_model(model: Model, demand: Demand, threads: int, on_progress: OnProgress) -> None:
    """Check that a model on the disk, or in the tarball that it is loaded from, passes.

    Args:
        model: What was found, and fetched if it had to be.
        demand: What it must pass.
        threads: How many files are hashed at once.
        on_progress: Called with each change of the bytes hashed.

    Raises:
        FailedVerification: Files are not what their names, the manifest or the signature say.
        ArtifactError: There is nothing that it could be compared with in full.
        SettingError: The key cannot be used.
        MachineError: The package model-signing is not installed.
        StorageError: A file cannot be read.
    """
    try:
        _verify(model, demand, threads, on_progress)
    except OSError as error:
        raise StorageError(
            f"{error.filename or model.path} cannot be read: {why_unreadable(error)}.",
            variable="MODEL_VERIFY",
            hint="See whether its disk can be reached, and start again.",
        ) from error


def _verify(model: Model, demand: Demand, threads: int, on_progress: OnProgress) -> None:
    assert model.path is not None
    has_manifest = model.packed is not None or (model.path.parent.parent / MANIFEST).is_file()
    if not demand.hashes and not has_manifest:
        return  # finding the model has checked all the rest
    subject = subject_of(model)
    files = model_files(subject)
    if not demand.hashes:
        if problems := judge(subject, None).problems:
            raise _failed(files.place, problems)
        return
    if demand.key is None and subject.folder.repository is None:
        raise _nothing_to_compare(files.place, ONLY_STRUCTURE)
    hashed: dict[Content, Digests] = {}

    def hashes(wanted: frozenset[str]) -> Mapping[str, str]:
        total = sum(content.size for content in set(subject.contents.values()))
        counter = Counter(total, on_progress)
        hashed.update(hash_contents(subject, {}, threads, counter.advance))
        mine = {name: hashed[content].sha256 for name, content in files.contents.items()}
        return files.with_hidden(mine)(wanted)

    if demand.key is None:
        hashes(frozenset())
    else:
        _check_signature(model, demand.key, demand.signature, files.place, hashes)
    finding = judge(subject, hashed)
    actual = {name: hashed[content].sha256 for name, content in files.contents.items()}
    if problems := {**finding.problems, **dict(_copies(model, actual))}:
        raise _failed(files.place, problems)
    if finding.notes and demand.key is None:
        raise _nothing_to_compare(files.place, "; ".join(finding.notes))


def subject_of(model: Model) -> Subject:
    """What is verified of a model that is on the disk, or in the tarball that it is loaded from.

    Raises:
        RefusedArtifact: The tarball has been damaged since it was found.
        OSError: It cannot be read.
    """
    assert model.path is not None
    if model.packed is None:
        if model.path.parent.name == "snapshots":
            return subjects_on_disk(model.path)[0]
        return Subject(folder_on_disk(model.path))
    files = model.packed.files
    parts = files.place.relative_to(files.archive).parts
    commit = None
    if parts[-2:-1] == ("snapshots",):
        parts, commit = parts[:-2], parts[-1]
    found = scan(files.archive, ignore_progress)
    return Subject(folder_in_tarball(found.tree, parts, found.kept), commit)


def _copies(model: Model, hashes: Mapping[str, str]) -> Iterator[tuple[str, Problem]]:
    """Compare what was unpacked of a tarball beside its weights with what is in it."""
    if model.packed is None:
        return
    assert model.path is not None
    packed, sizes = model.packed, directory_files(model.path).sizes
    for name in sorted(sizes.keys() | packed.small | packed.inside):
        copy = Content(model.path / name, 0, sizes.get(name, 0))
        if name not in sizes:
            text = f"missing in {model.path}, where it was unpacked"
            yield name, Problem(ProblemKind.MISSING, text)
        elif name in packed.small:
            if copy.sha256() != hashes[name]:
                text = f"its copy in {model.path} is not what the tarball holds"
                yield name, Problem(ProblemKind.DIFFERENT, text)
        elif name in packed.inside:
            if copy.path.read_bytes() != packed.files.read(name, copy.size):
                text = f"its header in {model.path} is not what the tarball holds"
                yield name, Problem(ProblemKind.DIFFERENT, text)
        else:
            text = f"in {model.path}, and not in the tarball"
            yield name, Problem(ProblemKind.UNEXPECTED, text)


def _check_signature(
    model: Model, key: Path, signature: Path | None, place: Path, hashes: Hashes
) -> None:
    try:
        beside = signature or signature_beside(_artifact(model))
        check_signature(place, hashes, Trust(key), beside)
    except UsageError as error:
        raise SettingError(
            f"MODEL_SIGNATURE_KEY is {str(key)!r}. {error.message}",
            variable="MODEL_SIGNATURE_KEY",
            hint=error.hint,
        ) from error


def _artifact(model: Model) -> Path:
    """What lies beside the signature: the tarball that the model came in, or its directory."""
    last = model.searched[-1]
    if last.way == "tarball":
        return Path(last.place)
    assert model.path is not None
    return model.path


def _failed(place: Path, problems: Mapping[str, Problem]) -> FailedVerification:
    return FailedVerification(place, problems, variable="MODEL_VERIFY")


def _nothing_to_compare(place: Path, why: str) -> ArtifactError:
    return ArtifactError(
        f"The model at {place} cannot be verified in full (MODEL_VERIFY=full): {why}.",
        variable="MODEL_VERIFY",
        hint="Pack it, which adds a manifest: inference-server pack. Or sign it, and set "
        "MODEL_SIGNATURE_KEY. Or set MODEL_VERIFY=size.",
    )
