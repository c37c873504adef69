"""Finding the model: a directory or URI, the cache, a tarball, the hub, in this order. Only
reads."""

from __future__ import annotations

import os
import re
from pathlib import Path

from entrypoint.errors import (
    Attempt,
    IncompleteModel,
    ModelNotFound,
    RevisionNotFound,
    SettingError,
    SeveralModels,
    UnreadableModel,
)
from entrypoint.spelling import nearest
from entrypoint.store.disk.cache import (
    Snapshot,
    find_repositories,
    open_snapshot,
)
from entrypoint.store.disk.directory import (
    find_plain_model,
    folder_names,
    is_path,
    open_directory,
)
from entrypoint.store.disk.folder import subfolders, why_unreadable
from entrypoint.store.disk.integrity import check_model
from entrypoint.store.model import Model, Request
from entrypoint.store.search.artifact import find_artifact, find_stored, is_uri
from entrypoint.store.search.tarballs import find_in_tarballs
from entrypoint.store.search.trail import Trail
from entrypoint.store.tarballs.tarball import find_tarballs

# The hub's own rule.
REPOSITORY_ID = re.compile(r"(\b[\w\-.]{1,96}\b/)?\b[\w\-.]{1,96}\b", re.ASCII)


def find_model(request: Request) -> Model:
    """Find the model without changing anything and without the network.

    Returns:
        The model. Its ``path`` is checked and can be loaded if ``on_disk``. A tarball that is
        still packed has ``archive`` set and ``path`` where it will be; a model that only the hub
        may have has no ``path``.

    Raises:
        SettingError: MODEL_ID cannot be a model's name, or MODEL_TARBALL is not there.
        ModelNotFound: No place has it and the hub must not be asked.
        RevisionNotFound: A place has it, without the wanted revision.
        IncompleteModel: A place has it, with files missing, empty, dangling or cut short.
        UnreadableModel: A place has it, or may have it, and this user may not read it.
        RefusedArtifact: The tarball that must hold it is damaged.
    """
    if is_uri(request.model_id):
        return find_artifact(request)
    check_tarball_setting(request.tarball)
    trail = Trail(request)
    if is_path(request.model_id):
        return _in_directory(trail)
    check_repository_id(request.model_id)
    model = _in_cache(trail) or find_in_tarballs(trail)
    if model is None and not trail.has_failed:
        model = find_stored(request, tuple(trail.attempts))
    if model is not None:
        return model
    if request.offline:
        trail.tried("hub", request.model_id, "not asked, HF_HUB_OFFLINE is on")
        trail.give_up()
    return Model(
        source="hub",
        path=None,
        repository=request.model_id,
        revision=None,
        requested_revision=request.revision,
        bytes=0,
        searched=(*trail.attempts, Attempt("hub", request.model_id, "to be downloaded")),
    )


def check_repository_id(model_id: str) -> None:
    """Check that the hub may have a model of this name.

    Raises:
        SettingError: It cannot.
    """
    valid = REPOSITORY_ID.fullmatch(model_id) and "--" not in model_id and ".." not in model_id
    if not valid or model_id.endswith(".git"):
        guess = model_id.replace("--", "/", 1)
        meant = f"MODEL_ID={guess}" if "/" not in model_id and "--" in model_id else "org/name"
        raise SettingError(
            f"MODEL_ID is {model_id!r}, which is neither a repository id nor a directory that "
            "exists.",
            variable="MODEL_ID",
            hint=f"Set it to a repository id ({meant}) or to a directory, beginning with '/'.",
        )


def check_tarball_setting(tarball: Path | None) -> None:
    """Check that what MODEL_TARBALL names is there.

    Raises:
        SettingError: It does not exist, or cannot be reached.
    """
    if tarball is not None and not os.path.exists(tarball):
        raise SettingError(
            f"MODEL_TARBALL is {str(tarball)!r}, which does not exist or cannot be reached.",
            variable="MODEL_TARBALL",
            hint="Set MODEL_TARBALL to a tarball or to a directory of them, or leave it empty to "
            "look beside the cache.",
        )


def _in_directory(trail: Trail) -> Model:
    model_id = trail.request.model_id
    path = Path(os.path.expanduser(model_id)).absolute()
    try:
        found = open_directory(path, trail.request.revision)
    except RevisionNotFound as error:
        trail.tried("directory", path, "has no such revision")
        trail.add_to(error)
        raise
    except SeveralModels as error:
        trail.tried("directory", path, f"holds {len(error.available)} models")
        trail.add_to(error)
        raise
    except PermissionError as error:
        raise UnreadableModel(path) from error
    except OSError as error:
        raise _no_directory(trail, path, why_unreadable(error)) from error
    except IncompleteModel as error:
        if "config.json" not in error.problems:
            raise
        raise _not_a_model(error, path) from error
    return trail.found("directory", path, found)


def _no_directory(trail: Trail, path: Path, why: str) -> ModelNotFound:
    trail.tried("directory", path, why)
    parent = path.parent
    while not os.path.isdir(parent):
        trail.tried("directory", parent, "is not a folder, or cannot be reached")
        parent = parent.parent
    try:
        folders = subfolders(parent)
    except OSError:
        folders = []
    near = nearest(path.name, folders) if parent == path.parent else None
    hint = "Set MODEL_ID to a repository id, or to a directory that holds the model."
    if os.path.isfile(path):
        hint = f"Set MODEL_ID to {parent}, or, if it is a tarball, MODEL_TARBALL to {path}."
    return ModelNotFound(
        trail.request.model_id,
        trail.attempts,
        {},
        str(parent / near) if near else None,
        message=f"MODEL_ID is {trail.request.model_id!r}: {path} {why}."
        + (f" {parent} holds: {', '.join(folders[:10])}." if folders else ""),
        hint=hint,
    )


def _not_a_model(error: IncompleteModel, path: Path) -> IncompleteModel:
    """The same error, with the tarballs that lie there, if any do."""
    tarballs = find_tarballs(path)
    if not tarballs:
        return error
    names = ", ".join(tarball.name for tarball in tarballs)
    return IncompleteModel(
        error.place,
        error.problems,
        hint=f"It holds {names}. To serve what is packed there, set MODEL_ID to the repository id "
        f"and MODEL_TARBALL={tarballs[0]}.",
    )


def _in_cache(trail: Trail) -> Model | None:
    for root in dict.fromkeys(trail.request.cache_roots):
        try:
            model = _in_root(trail, root)
        except PermissionError as error:
            trail.denied("cache", root, why_unreadable(error))
            continue
        except OSError as error:
            trail.tried("cache", root, why_unreadable(error) + _did_you_mean(trail, root))
            continue
        except (IncompleteModel, RevisionNotFound, UnreadableModel) as error:
            trail.failed("cache", root, error)
            continue
        if model is not None:
            return model
    return None


def _in_root(trail: Trail, root: Path) -> Model | None:
    model_id, revision = trail.request.model_id, trail.request.revision
    repositories = find_repositories(root)
    for name, folder in repositories.items():
        trail.available.setdefault(name, folder)
    if model_id in repositories:
        return trail.found("cache", root, open_snapshot(repositories[model_id], revision))
    if repositories:
        count = len(repositories)
        trail.tried("cache", root, f"holds {count} other model{'s' if count > 1 else ''}")
        return None
    # What KServe makes of a tarball of a plain model directory.
    plain = find_plain_model(root, folder_names(model_id))
    if plain is not None:
        snapshot = Snapshot(plain, None, None, check_model(plain))
        return trail.found("directory", plain, snapshot, f", taken for {model_id}")
    what = "holds no models--org--name folder" if any(root.iterdir()) else "is empty"
    trail.tried("cache", root, what + _did_you_mean(trail, root))
    return None


def _did_you_mean(trail: Trail, root: Path) -> str:
    """Name the folder beside ``root`` that was likely meant: /mnt/model, for /mnt/models."""
    try:
        searched = {other.name for other in trail.request.cache_roots}
        name = nearest(root.name, set(subfolders(root.parent)) - searched)
        if name is None:
            return ""
        sibling = root.parent / name
        models = [*find_repositories(sibling), *(path.name for path in find_tarballs(sibling))]
    except OSError:
        return ""
    if not models:
        return ""
    trail.elsewhere = trail.elsewhere or sibling
    return f"; {sibling} is there and holds {models[0]}, did you mean that?"
