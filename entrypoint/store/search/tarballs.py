"""Finding the model in a tarball. Only reads."""

from __future__ import annotations

import os
from pathlib import Path

from entrypoint.errors import (
    IncompleteModel,
    ModelNotFound,
    RefusedArtifact,
    RevisionNotFound,
    UnreadableModel,
)
from entrypoint.store.disk.cache import Repository, choose_commit
from entrypoint.store.disk.directory import folder_names, open_unpacked
from entrypoint.store.disk.folder import permission_denied, why_unreadable
from entrypoint.store.disk.integrity import check_files, read_config
from entrypoint.store.disk.weights import weight_bytes
from entrypoint.store.model import Model
from entrypoint.store.search.trail import Trail
from entrypoint.store.tarballs.contents import Contents
from entrypoint.store.tarballs.tarball import find_tarballs, stem, unpack_target


def find_in_tarballs(trail: Trail) -> Model | None:
    """The model in the tarball that MODEL_TARBALL names, or in one beside the cache.

    Raises:
        ArtifactError, UnreadableModel, ModelNotFound: MODEL_TARBALL names a tarball that cannot
            give it.
    """
    try:
        return _find(trail)
    finally:
        trail.catalogue.save()


def _find(trail: Trail) -> Model | None:
    named = trail.request.tarball
    folders = list(trail.request.cache_roots)
    if named is not None and os.path.isdir(named):
        folders.insert(0, named)
    elif named is not None:
        return _in_named_tarball(trail, named)
    for folder in dict.fromkeys(folders):
        try:
            tarballs = find_tarballs(folder)
        except OSError as error:
            trail.tried("tarball", folder, why_unreadable(error))
            continue
        if not tarballs:
            trail.tried("tarball", folder, "holds no .tar, .tar.gz, .tgz or .tar.zst")
        for archive in tarballs:
            meant = stem(archive) in folder_names(trail.request.model_id)
            try:
                model = _in_tarball(trail, archive, meant=meant)
            except (IncompleteModel, RefusedArtifact, RevisionNotFound, UnreadableModel) as error:
                if meant or isinstance(error, IncompleteModel | RevisionNotFound):
                    trail.failed("tarball", archive, error)
                elif isinstance(error, UnreadableModel):
                    trail.denied("tarball", archive, permission_denied().text)
                else:  # another model's tarball
                    trail.tried("tarball", archive, error.problem)
                continue
            if model is not None:
                return model
    return None


def _in_named_tarball(trail: Trail, archive: Path) -> Model:
    """Return the model in the tarball that MODEL_TARBALL names."""
    try:
        model = _in_tarball(trail, archive, meant=True)
    except (IncompleteModel, RefusedArtifact, RevisionNotFound, UnreadableModel) as error:
        trail.failed("tarball", archive, error)
        trail.add_to(error)
        raise
    if model is not None:
        return model
    model_id = trail.request.model_id
    raise ModelNotFound(
        model_id,
        trail.attempts,
        trail.revisions(),
        message=f"MODEL_TARBALL is {str(archive)!r}, which does not provide {model_id!r} "
        f"(MODEL_ID): {trail.attempts[-1].outcome}.",
        variable="MODEL_TARBALL",
        hint=f"Set MODEL_TARBALL to the tarball of {model_id}, or MODEL_ID to a model in this one.",
    )


def _in_tarball(trail: Trail, archive: Path, *, meant: bool) -> Model | None:
    """Return the model in one tarball; None if it is not there, after recording why.

    Args:
        trail: The search so far.
        archive: The tarball.
        meant: Whether MODEL_TARBALL names it or it has the model's name. Only then a plain model
            directory in it, which does not contain its name, is treated as the model.

    Raises:
        IncompleteModel, RevisionNotFound: It holds the model, but not as requested.
        RefusedArtifact: It is damaged or unsafe.
        UnreadableModel: This user may not read it.
    """
    request = trail.request
    try:
        known = trail.catalogue.known(archive)
        outcome = _without(trail, archive, known, meant=meant) if known else None
        if outcome is None:
            target = unpack_target(request.scratch, archive, request.model_id)
            if not target.is_dir():
                return _in_packed_tarball(trail, archive, target, meant=meant)
            found = open_unpacked(target, request.model_id, request.revision)
            if found is not None:
                return trail.found("tarball", archive, found, f", unpacked at {target}")
            outcome = f"unpacked at {target}, and holds no model"
    except PermissionError as error:
        raise UnreadableModel(archive) from error
    except OSError as error:
        outcome = why_unreadable(error)
    trail.tried("tarball", archive, outcome)
    return None


def _without(trail: Trail, archive: Path, contents: Contents, *, meant: bool) -> str | None:
    """Say in words that the model is not in a tarball; None if it is, or may be."""
    model_id = trail.request.model_id
    for other in contents.repositories.values():
        trail.available.setdefault(other.name, other.revisions() or (f"in {archive}",))
    if model_id in contents.repositories:
        return None
    if contents.repositories:
        held = f"holds {', '.join(contents.repositories)}"
        if contents.listed:
            return held
        return f"{held}; what follows is only known after: inference-server models --full"
    if contents.listed and not contents.plain:
        return "holds no model"
    if meant:
        return None
    names = " or ".join(f"{name}.tar" for name in folder_names(model_id))
    return (
        "does not say which model it holds; if it is this one, name it in MODEL_TARBALL "
        f"or call it {names}"
    )


def _in_packed_tarball(trail: Trail, archive: Path, target: Path, *, meant: bool) -> Model | None:
    request = trail.request
    contents = trail.catalogue.look_up(archive)
    if outcome := _without(trail, archive, contents, meant=meant):
        trail.tried("tarball", archive, outcome)
        return None
    repository = contents.repositories.get(request.model_id)
    commit = None
    if repository is not None and contents.listed:
        commit = choose_commit(repository, request.revision)
    if not contents.compressed:
        found = _look_inside(trail, archive, repository, commit)
        if isinstance(found, Model):
            return found
    trail.tried("tarball", archive, f"found, to be unpacked to {target}")
    return Model(
        source="tarball",
        path=target,
        repository=repository.name if repository else None,
        revision=commit,
        requested_revision=request.revision,
        bytes=contents.sizes.get(repository.name if repository else "", 0),
        searched=tuple(trail.attempts),
        archive=archive,
    )


def _look_inside(
    trail: Trail, archive: Path, repository: Repository | None, commit: str | None
) -> Model | None:
    """Check the model's files where they lie in an uncompressed tarball.

    Returns:
        The model, if its weights can be loaded from there; None if it has to be unpacked.

    Raises:
        IncompleteModel: Files of the model are missing, empty, dangling or cut short.
        RefusedArtifact: The tarball is unsafe.
        OSError: It cannot be read.
    """
    from entrypoint.store.tarballs.packed import packed_model
    from entrypoint.store.tarballs.tree import model_folder, read_tree

    request = trail.request
    tree = read_tree(archive, request.model_id)
    folder = model_folder(tree, commit)
    if folder is None:
        return None  # unpacking says what is there instead
    files = tree.files(folder)
    if any(entry.sparse for entry in files.entries.values()):
        return None
    size = check_files(files)
    config = read_config(files)
    packed = packed_model(files, config) if request.in_place else None
    if packed is None:
        return None
    name = folder[-1] if folder else stem(archive)
    target = unpack_target(request.scratch, archive, request.model_id, "/".join(folder) or ".")
    laid_out = target.is_dir()
    trail.tried("tarball", archive, "found, its weights are loaded out of it")
    return Model(
        source="tarball",
        path=target / name,
        repository=repository.name if repository else None,
        revision=commit,
        requested_revision=request.revision,
        bytes=size,
        searched=tuple(trail.attempts),
        archive=None if laid_out else archive,
        config=config,
        weight_bytes=weight_bytes(files),
        packed=packed,
    )
