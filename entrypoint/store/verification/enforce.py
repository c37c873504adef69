"""Verifies a model before the start.

The verified files are the ones that the engine loads: those at the path that it gets or, if it
loads the weights from a tarball, the tarball and the small files unpacked from it. Anyone with
write access can change them afterwards, so mount them read-only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from entrypoint import errors
from entrypoint.store.disk.digest import Digests
from entrypoint.store.disk.files import directory_files
from entrypoint.store.disk.folder import why_unreadable
from entrypoint.store.disk.manifest import MANIFEST
from entrypoint.store.model import Model
from entrypoint.store.progress import Counter, OnProgress, ignore_progress
from entrypoint.store.verification.compare import ONLY_STRUCTURE, compare
from entrypoint.store.verification.contents import Content, folder_in_tarball, folder_on_disk
from entrypoint.store.verification.policy import VerificationPolicy
from entrypoint.store.verification.scan import scan
from entrypoint.store.verification.signature import Hashes, Trust, check_signature, signature_beside
from entrypoint.store.verification.target import (
    Target,
    hash_contents,
    model_files,
    targets_on_disk,
)


def verify_model(
    model: Model, policy: VerificationPolicy, threads: int, on_progress: OnProgress
) -> None:
    """Verify a model on the disk, or in the tarball that the engine loads it from.

    Args:
        model: The model.
        policy: The checks that it must pass.
        threads: How many files to hash in parallel.
        on_progress: Called with each change of the bytes hashed.

    Raises:
        FailedVerification: Files differ from their names, the manifest or the signature.
        ArtifactError: The model has no hashes to compare all of its files with.
        SettingError: The key is unusable.
        MachineError: The package model-signing is not installed.
        StorageError: A file cannot be read.
    """
    try:
        _verify(model, policy, threads, on_progress)
    except OSError as error:
        raise errors.StorageError(
            f"{error.filename or model.path} cannot be read: {why_unreadable(error)}.",
            variable="MODEL_VERIFY",
            hint="Check its disk or network mount, and start again.",
        ) from error


def _verify(
    model: Model, policy: VerificationPolicy, threads: int, on_progress: OnProgress
) -> None:
    assert model.path is not None
    has_manifest = model.packed is not None or (model.path.parent.parent / MANIFEST).is_file()
    if not policy.hashes and not has_manifest:
        return  # the search for the model has checked everything else
    target = target_of(model)
    files = model_files(target)
    if not policy.hashes:
        if problems := compare(target, None).problems:
            raise _failed(files.place, problems)
        return
    if policy.key is None and target.folder.repository is None:
        raise _nothing_to_compare(files.place, ONLY_STRUCTURE)
    hashed: dict[Content, Digests] = {}

    def hashes(wanted: frozenset[str]) -> Mapping[str, str]:
        total = sum(content.size for content in set(target.contents.values()))
        counter = Counter(total, on_progress)
        hashed.update(hash_contents(target, {}, threads, counter.advance))
        mine = {name: hashed[content].sha256 for name, content in files.contents.items()}
        return files.with_hidden(mine)(wanted)

    if policy.key is None:
        hashes(frozenset())
    else:
        _check_signature(model, policy.key, policy.signature, files.place, hashes)
    finding = compare(target, hashed)
    actual = {name: hashed[content].sha256 for name, content in files.contents.items()}
    if problems := {**finding.problems, **dict(_copies(model, actual))}:
        raise _failed(files.place, problems)
    if finding.notes and policy.key is None:
        raise _nothing_to_compare(files.place, "; ".join(finding.notes))


def target_of(model: Model) -> Target:
    """Return what to verify of a model on the disk or in a tarball.

    Raises:
        RefusedArtifact: The tarball was damaged after it was found.
        OSError: It cannot be read.
    """
    assert model.path is not None
    if model.packed is None:
        if model.path.parent.name == "snapshots":
            return targets_on_disk(model.path)[0]
        return Target(folder_on_disk(model.path))
    files = model.packed.files
    parts = files.place.relative_to(files.archive).parts
    commit = None
    if parts[-2:-1] == ("snapshots",):
        parts, commit = parts[:-2], parts[-1]
    found = scan(files.archive, ignore_progress)
    return Target(folder_in_tarball(found.tree, parts, found.kept), commit)


def _copies(model: Model, hashes: Mapping[str, str]) -> Iterator[tuple[str, errors.Problem]]:
    """Compare the unpacked small files with their originals in the tarball."""
    if model.packed is None:
        return
    assert model.path is not None
    packed, sizes = model.packed, directory_files(model.path).sizes
    for name in sorted(sizes.keys() | packed.small | packed.inside):
        copy = Content(model.path / name, 0, sizes.get(name, 0))
        if name not in sizes:
            text = f"missing from {model.path}, where it was unpacked"
            yield name, errors.Problem(errors.ProblemKind.MISSING, text)
        elif name in packed.small:
            if copy.sha256() != hashes[name]:
                text = f"its copy in {model.path} differs from the tarball"
                yield name, errors.Problem(errors.ProblemKind.DIFFERENT, text)
        elif name in packed.inside:
            if copy.path.read_bytes() != packed.files.read(name, copy.size):
                text = f"its header in {model.path} differs from the tarball"
                yield name, errors.Problem(errors.ProblemKind.DIFFERENT, text)
        else:
            text = f"in {model.path}, but not in the tarball"
            yield name, errors.Problem(errors.ProblemKind.UNEXPECTED, text)


def _check_signature(
    model: Model, key: Path, signature: Path | None, place: Path, hashes: Hashes
) -> None:
    try:
        beside = signature or signature_beside(_artifact(model))
        check_signature(place, hashes, Trust(key), beside)
    except errors.UsageError as error:
        raise errors.SettingError(
            f"MODEL_SIGNATURE_KEY={str(key)!r}: {error.message}",
            variable="MODEL_SIGNATURE_KEY",
            hint=error.hint,
        ) from error


def _artifact(model: Model) -> Path:
    """Return the path that the signature is beside: the model's tarball or directory."""
    last = model.searched[-1]
    if last.way == "tarball":
        return Path(last.place)
    assert model.path is not None
    return model.path


def _failed(place: Path, problems: Mapping[str, errors.Problem]) -> errors.FailedVerification:
    return errors.FailedVerification(place, problems, variable="MODEL_VERIFY")


def _nothing_to_compare(place: Path, why: str) -> errors.ArtifactError:
    return errors.ArtifactError(
        f"MODEL_VERIFY=full cannot verify the model at {place} completely: {why}.",
        variable="MODEL_VERIFY",
        hint="Add a manifest with inference-server pack, or sign the model and set "
        "MODEL_SIGNATURE_KEY, or set MODEL_VERIFY=size.",
    )
