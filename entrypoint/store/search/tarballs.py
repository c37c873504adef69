"""Finding the model in a tarball. Only reads."""

from __future__ import annotations

import os
from pathlib import Path

from entrypoint.errors import IncompleteModel, RefusedArtifact, UnreadableModel
from entrypoint.store.disk.cache import Repository, RevisionProblem, Snapshot, choose_commit
from entrypoint.store.disk.directory import folder_names, open_tree
from entrypoint.store.disk.folder import permission_denied, why_unreadable
from entrypoint.store.disk.integrity import check_files, read_config
from entrypoint.store.disk.weights import weight_bytes
from entrypoint.store.model import Model
from entrypoint.store.search.trail import Failure, TarballProblem, Trail
from entrypoint.store.tarballs.catalogue import Contents
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
            found = _look_into(trail, archive, meant=meant)
            if isinstance(found, Model):
                return found
            if isinstance(found, str):
                trail.tried("tarball", archive, found)
            elif isinstance(found, RefusedArtifact) and not meant:
                trail.tried("tarball", archive, found.problem)  # somebody else's
            elif isinstance(found, UnreadableModel) and not meant:
                trail.denied("tarball", archive, permission_denied())
            else:
                trail.failed("tarball", archive, found)
    return None


def _in_named_tarball(trail: Trail, archive: Path) -> Model:
    """The model in the tarball that MODEL_TARBALL names: it is there, or that is the error."""
    found = _look_into(trail, archive, meant=True)
    if isinstance(found, Model):
        return found
    failure: Failure | TarballProblem
    if isinstance(found, str):
        trail.tried("tarball", archive, found)
        model_id = trail.request.model_id
        failure = TarballProblem(
            f"MODEL_TARBALL is {str(archive)!r}, which cannot give {model_id!r} (MODEL_ID): "
            f"{found}.",
            f"Set MODEL_TARBALL to the tarball of {model_id}, or MODEL_ID to what this one holds.",
        )
    else:
        trail.failed("tarball", archive, found)
        failure = found
    raise trail.error(failure)


def _look_into(trail: Trail, archive: Path, *, meant: bool) -> Model | Failure | str:
    """The model in one tarball, what is wrong with it there, or in words that it is not there.

    Args:
        trail: The search so far.
        archive: The tarball.
        meant: Whether it is named by MODEL_TARBALL or called like the model. Only then a plain
            model directory in it, which does not say what model it is, is taken for the model.
    """
    request = trail.request
    try:
        known = trail.catalogue.known(archive)
        if known is not None and (other := _without(trail, archive, known, meant=meant)):
            return other
        target = unpack_target(request.scratch, archive, request.model_id)
        if not target.is_dir():
            return _look_into_packed(trail, archive, target, meant=meant)
        found = open_tree(target, request.model_id, request.revision)
    except PermissionError:
        return UnreadableModel(archive)
    except OSError as error:
        return why_unreadable(error)
    except (IncompleteModel, UnreadableModel, RefusedArtifact) as error:
        return error
    if isinstance(found, Snapshot):
        return trail.found("tarball", archive, found, f", unpacked at {target}")
    return found or f"unpacked at {target}, and holds no model"


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


def _look_into_packed(
    trail: Trail, archive: Path, target: Path, *, meant: bool
) -> Model | Failure | str:
    request = trail.request
    contents = trail.catalogue.look(archive)
    if other := _without(trail, archive, contents, meant=meant):
        return other
    repository = contents.repositories.get(request.model_id)
    commit = None
    if repository is not None and contents.listed:
        choice = choose_commit(repository, request.revision)
        if isinstance(choice, RevisionProblem):
            return choice
        commit = choice
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
