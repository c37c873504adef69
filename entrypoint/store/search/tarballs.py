"""Finding the model in a tarball. Only reads."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from entrypoint.errors import (
    IncompleteModel,
    InferenceServerError,
    ModelNotFound,
    RefusedArtifact,
    RevisionNotFound,
    UnloadableModel,
    UnreadableModel,
)
from entrypoint.store.disk.cache import Repository, choose_commit
from entrypoint.store.disk.directory import folder_names, open_unpacked
from entrypoint.store.disk.folder import why_unreadable
from entrypoint.store.disk.integrity import read_config
from entrypoint.store.disk.loadable import check_loadable, examine_loadable, loading_error
from entrypoint.store.disk.weights import weight_bytes
from entrypoint.store.model import Model
from entrypoint.store.search.search import Search
from entrypoint.store.tarballs.contents import Contents
from entrypoint.store.tarballs.tarball import (
    find_other_archives,
    find_tarballs,
    stem,
    unpack_target,
)

if TYPE_CHECKING:
    from entrypoint.store.tarballs.tree import Tree

NO_MODEL = "holds no model"
PACK_AGAIN = (
    "A tarball has config.json or models--org--name at its top, or in one folder. List its content "
    "with tar -tf, and pack that folder again: tar -C PARENT -cf MODEL.tar FOLDER"
)


def find_in_tarballs(search: Search) -> Model | None:
    """Return the model in the tarball in MODEL_TARBALL, or in one of the caches.

    Raises:
        ArtifactError, UnreadableModel, ModelNotFound: MODEL_TARBALL is a tarball that cannot
            provide the model.
    """
    try:
        return _find(search)
    finally:
        search.catalogue.save()


def _find(search: Search) -> Model | None:
    tarball = search.request.tarball
    folders = list(search.request.cache_roots)
    if tarball is not None and os.path.isdir(tarball):
        folders.insert(0, tarball)
    elif tarball is not None:
        return _in_requested_tarball(search, tarball)
    for folder in dict.fromkeys(folders):
        try:
            tarballs = find_tarballs(folder)
        except OSError as error:
            search.add("tarball", folder, why_unreadable(error))
            continue
        if not tarballs:
            outcome = "holds no .tar, .tar.gz, .tgz or .tar.zst"
            if others := find_other_archives(folder):
                outcome += f"; {', '.join(others)} must be unpacked, or packed as one of these"
            search.add("tarball", folder, outcome)
        for archive in tarballs:
            model = _in_any_tarball(search, archive)
            if model is not None:
                return model
    return None


def _in_requested_tarball(search: Search, archive: Path) -> Model:
    """Return the model in the tarball in MODEL_TARBALL, which must have it."""
    try:
        model = _in_tarball(search, archive, requested=True)
    except (
        IncompleteModel,
        RefusedArtifact,
        RevisionNotFound,
        UnloadableModel,
        UnreadableModel,
    ) as error:
        search.add_error("tarball", archive, error)
        search.add_to(error)
        raise
    if model is not None:
        return model
    model_id = search.request.model_id
    raise ModelNotFound(
        model_id,
        search.places,
        search.available_revisions(),
        message=f"MODEL_TARBALL is {str(archive)!r}, which does not provide {model_id!r} "
        f"(MODEL_ID): {search.places[-1].outcome}.",
        variable="MODEL_TARBALL",
        hint=PACK_AGAIN
        if search.places[-1].outcome == NO_MODEL
        else f"Set MODEL_TARBALL to the tarball of {model_id}, or MODEL_ID to a model in this one.",
    )


def _in_any_tarball(search: Search, archive: Path) -> Model | None:
    """Return the model in one of several tarballs; None if it has none or only a damaged one."""
    named_alike = stem(archive) in folder_names(search.request.model_id)
    try:
        return _in_tarball(search, archive, requested=named_alike)
    except (IncompleteModel, RevisionNotFound, UnloadableModel) as error:
        search.add_error("tarball", archive, error)
    except (RefusedArtifact, UnreadableModel) as error:
        if named_alike:
            search.add_error("tarball", archive, error)
        elif isinstance(error, UnreadableModel):
            search.add_denied("tarball", archive)
        else:  # probably another model's tarball
            search.add("tarball", archive, error.summary)
    return None


def _in_tarball(search: Search, archive: Path, *, requested: bool) -> Model | None:
    """Return the model in one tarball; None if it is not in there, after recording why.

    Args:
        search: The search.
        archive: The tarball.
        requested: Whether the tarball is in MODEL_TARBALL or has the model's name. Only then a
            plain model directory in it, which does not contain its name, is treated as the model.

    Raises:
        IncompleteModel, RevisionNotFound: It holds the model, but not as requested.
        RefusedArtifact: It is damaged or unsafe.
        UnreadableModel: This user may not read it.
    """
    request = search.request
    try:
        known = search.catalogue.known(archive)
        outcome = _why_not_in(search, archive, known, requested=requested) if known else None
        if outcome is None:
            target = unpack_target(request.scratch, archive, request.model_id)
            if not target.is_dir():
                return _in_packed_tarball(search, archive, target, requested=requested)
            found = open_unpacked(target, request.model_id, request.revision, request.loading)
            if found is not None:
                return search.found("tarball", archive, found, f", unpacked at {target}")
            outcome = f"unpacked at {target}, and holds no model"
    except PermissionError as error:
        raise UnreadableModel(archive) from error
    except OSError as error:
        outcome = why_unreadable(error)
    search.add("tarball", archive, outcome)
    return None


def _why_not_in(
    search: Search, archive: Path, contents: Contents, *, requested: bool
) -> str | None:
    """Return why a tarball does not have the model; None if it has, or may have it."""
    model_id = search.request.model_id
    for other in contents.repositories.values():
        search.available.setdefault(other.name, other.revisions() or (f"in {archive}",))
    if model_id in contents.repositories:
        return None
    if contents.repositories:
        held = f"holds {', '.join(contents.repositories)}"
        if contents.listed:
            return held
        return f"{held}; for the rest of its contents, run: inference-server models --full"
    if contents.listed and not contents.plain:
        return NO_MODEL
    if requested:
        return None
    names = " or ".join(f"{name}.tar" for name in folder_names(model_id))
    return (
        f"holds a model without a name; if it is {model_id}, set MODEL_TARBALL to this file or "
        f"rename it to {names}"
    )


def _in_packed_tarball(
    search: Search, archive: Path, target: Path, *, requested: bool
) -> Model | None:
    request = search.request
    contents = search.catalogue.look_up(archive)
    if outcome := _why_not_in(search, archive, contents, requested=requested):
        search.add("tarball", archive, outcome)
        return None
    repository = contents.repositories.get(request.model_id)
    commit = None
    if repository is not None and contents.listed:
        commit = choose_commit(repository, request.revision)
    if not contents.compressed:
        model = _loadable_in_place(search, archive, repository, commit)
        if model is not None:
            return model
    return replace(
        search.model("tarball", archive, f"found, to be unpacked to {target}"),
        path=target,
        repository=repository.name if repository else None,
        revision=commit,
        bytes=contents.sizes.get(repository.name if repository else "", 0),
        archive=archive,
    )


def _loadable_in_place(
    search: Search, archive: Path, repository: Repository | None, commit: str | None
) -> Model | None:
    """Check the model's files in an uncompressed tarball.

    Returns:
        The model, if the engine can load its weights from the tarball; None if it must be
        unpacked.

    Raises:
        IncompleteModel: Files of the model are missing, empty, dangling or truncated.
        RefusedArtifact: The tarball is unsafe.
        OSError: It cannot be read.
    """
    from entrypoint.store.tarballs.packed import packed_model
    from entrypoint.store.tarballs.tree import model_folder, read_tree

    request = search.request
    tree = read_tree(archive, request.model_id)
    folder = model_folder(tree, commit)
    if folder is None and repository is None:
        raise _no_single_model(search, tree)
    if folder is None:
        return None  # unpacking reports what the tarball holds instead
    files = tree.files(folder)
    if any(entry.sparse for entry in files.entries.values()):
        return None
    size = check_loadable(files, request.loading)
    config = read_config(files)
    packed = packed_model(files, config) if request.in_place else None
    if packed is None:
        return None
    name = folder[-1] if folder else stem(archive)
    target = unpack_target(request.scratch, archive, request.model_id, "/".join(folder) or ".")
    return replace(
        search.model("tarball", archive, "found, the engine loads its weights from it"),
        path=target / name,
        repository=repository.name if repository else None,
        revision=commit,
        bytes=size,
        archive=None if target.is_dir() else archive,
        config=config,
        weight_bytes=weight_bytes(files, request.loading.load_format),
        packed=packed,
    )


def _no_single_model(search: Search, tree: Tree) -> InferenceServerError:
    """Return the error for a plain tarball without a configuration, or with several models."""
    from entrypoint.store.tarballs.tree import is_plain_folder

    tops = [top for top in tree.folders(()) if is_plain_folder(tree, (top,))]
    if len(tops) > 1:
        return RefusedArtifact(
            tree.archive,
            f"it holds {len(tops)} models: {', '.join(tops)}",
            hint="Pack each model into its own tarball.",
        )
    folders = tree.folders(())
    files = tree.files((folders[0],) if len(folders) == 1 else ())
    _, problems = examine_loadable(files, search.request.loading)
    error = loading_error(files, search.request.loading, problems, None)
    return error or RefusedArtifact(tree.archive, "it holds no model")
