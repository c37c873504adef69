"""Finding a model on this machine: in a directory, in the caches, in a tarball. Only reads."""

from __future__ import annotations

import os
from pathlib import Path

from entrypoint import errors
from entrypoint.spelling import nearest
from entrypoint.store.disk.cache import PREFIX, Snapshot, find_repositories, open_snapshot
from entrypoint.store.disk.directory import (
    find_plain_model,
    folder_names,
    is_path,
    is_plain_model,
    open_directory,
)
from entrypoint.store.disk.folder import subfolders, why_unreadable
from entrypoint.store.disk.loadable import check_directory
from entrypoint.store.disk.tarball_names import SUFFIXES
from entrypoint.store.model import Model, Request
from entrypoint.store.search.pasted import is_repository_id, read_pasted
from entrypoint.store.search.search import Search
from entrypoint.store.search.tarballs import find_in_tarballs
from entrypoint.store.tarballs.other_archives import is_other_archive
from entrypoint.store.tarballs.tarball import find_other_archives, find_tarballs
from entrypoint.store.uri import without_secret

UNPACK = "Unpack it, and set MODEL_ID to the folder with config.json."


def find_by_name(search: Search) -> Model | None:
    """Return the model of the directory or repository in MODEL_ID; None if it is not here.

    Raises:
        SettingError: MODEL_ID is not a valid name, or MODEL_TARBALL does not exist.
        ModelNotFound, ArtifactError, UnreadableModel: MODEL_ID is a directory, or MODEL_TARBALL a
            tarball, that cannot provide the model.
    """
    check_tarball_setting(search.request.tarball)
    if is_path(search.request.model_id):
        return _in_directory(search)
    check_repository_id(search.request)
    return _in_caches(search) or find_in_tarballs(search)


def check_repository_id(request: Request) -> None:
    """Check that the requested model's name is a valid repository id.

    Raises:
        SettingError: It is not.
    """
    if not is_repository_id(request.model_id):
        raise invalid_name(
            request,
            "neither a repository id nor an existing directory",
            f"Set {request.setting} to a repository id (org/name), or to a directory that starts "
            "with '/'.",
        )


def invalid_name(request: Request, what: str, hint: str) -> errors.SettingError:
    """Return the error for an invalid name, which states what was probably meant.

    Args:
        request: The request.
        what: What the name is not, if nothing better is known.
        hint: What to do then.
    """
    meant = read_pasted(request.model_id)
    if meant is not None:
        what = meant.what
        if meant.model_id:
            assignment = request.assign(meant.model_id, meant.revision)
            hint = f"{assignment[0].upper()}{assignment[1:]}."
        else:
            hint = meant.hint or hint
    return errors.SettingError(
        f"{request.setting} is {without_secret(request.model_id)!r}, which is {what}.",
        variable=request.variable,
        hint=hint,
    )


def check_tarball_setting(tarball: Path | None) -> None:
    """Check that MODEL_TARBALL exists, if it is set.

    Raises:
        SettingError: It does not exist, or cannot be reached.
    """
    if tarball is not None and not os.path.exists(tarball):
        raise errors.SettingError(
            f"MODEL_TARBALL is {str(tarball)!r}, which does not exist or cannot be reached.",
            variable="MODEL_TARBALL",
            hint="Set MODEL_TARBALL to a tarball or to a directory of tarballs. Or leave it empty "
            "to search the cache for tarballs.",
        )


def _in_directory(search: Search) -> Model:
    path = Path(os.path.expanduser(search.request.model_id)).absolute()
    try:
        request = search.request
        snapshot = open_directory(path, request.revision, request.loading)
        return search.found("directory", path, snapshot)
    except (errors.RevisionNotFound, errors.SeveralModels) as error:
        search.add("directory", path, error.summary)
        search.add_to(error)
        raise
    except PermissionError as error:
        raise errors.UnreadableModel(path) from error
    except OSError as error:
        raise _no_directory(search, path, why_unreadable(error)) from error
    except errors.IncompleteModel as error:
        if "config.json" in error.problems and (tarballs := find_tarballs(path)):
            raise _only_tarballs(error, tarballs) from error
        if "config.json" in error.problems and (others := find_other_archives(path)):
            names = ", ".join(others)
            hint = f"The directory holds {names}. {UNPACK}"
            raise errors.IncompleteModel(error.place, error.problems, hint=hint) from error
        raise


def _no_directory(search: Search, path: Path, why: str) -> errors.ModelNotFound:
    search.add("directory", path, why)
    parent = path.parent
    while not os.path.isdir(parent):
        search.add("directory", parent, "is not a folder, or cannot be reached")
        parent = parent.parent
    try:
        folders = subfolders(parent)
    except OSError:
        folders = []
    near = nearest(path.name, folders) if parent == path.parent else None
    hint = "Set MODEL_ID to a repository id, or to the model's directory."
    if os.path.isfile(path):
        folders = []
        hint = f"Set MODEL_ID to {parent}."
        if path.name.endswith(SUFFIXES):
            hint = f"Set MODEL_TARBALL={path}, and MODEL_ID to the repository id of its model."
        elif is_other_archive(path.name):
            hint = UNPACK
    request = search.request
    repository = request.model_id.strip("/")
    if is_repository_id(repository) and not os.path.isdir(f"/{repository.partition('/')[0]}"):
        hint += f" If you meant the repository, {request.assign(repository)}."
    return errors.ModelNotFound(
        search.request.model_id,
        search.places,
        nearest=str(parent / near) if near else None,
        variable=request.variable,
        message=f"{request.setting} is {search.request.model_id!r}: {path} {why}."
        + (f" {parent} holds: {', '.join(folders[:10])}." if folders else ""),
        hint=hint,
    )


def _only_tarballs(error: errors.IncompleteModel, tarballs: list[Path]) -> errors.IncompleteModel:
    names = ", ".join(tarball.name for tarball in tarballs)
    return errors.IncompleteModel(
        error.place,
        error.problems,
        hint=f"The directory holds {names}. To serve a model in it, set MODEL_ID to the model's "
        f"repository id and MODEL_TARBALL={tarballs[0]}.",
    )


def _in_caches(search: Search) -> Model | None:
    for root in dict.fromkeys(search.request.cache_roots):
        try:
            model = _in_cache(search, root)
        except PermissionError:
            search.add_denied("cache", root)
        except OSError as error:
            search.add("cache", root, why_unreadable(error) + _similar_folder(search, root))
        except (
            errors.IncompleteModel,
            errors.RevisionNotFound,
            errors.UnloadableModel,
            errors.UnreadableModel,
        ) as error:
            search.add_error("cache", root, error)
        else:
            if model is not None:
                return model
    return None


def _in_cache(search: Search, root: Path) -> Model | None:
    model_id, revision = search.request.model_id, search.request.revision
    repositories = find_repositories(root)
    for name, folder in repositories.items():
        search.available.setdefault(name, folder)
    if model_id in repositories:
        snapshot = open_snapshot(repositories[model_id], revision, search.request.loading)
        return search.found("cache", root, snapshot)
    if repositories:
        count = len(repositories)
        search.add("cache", root, f"holds {count} other model{'s' if count > 1 else ''}")
        return None
    # KServe unpacks a tarball of a plain model directory to this.
    plain = find_plain_model(root, folder_names(model_id))
    if plain is not None:
        snapshot = Snapshot(plain, None, None, check_directory(plain, search.request.loading))
        return search.found("directory", plain, snapshot, f", treated as {model_id}")
    what = "holds no models--org--name folder" if any(root.iterdir()) else "is empty"
    search.add("cache", root, what + _similar_folder(search, root))
    return None


def _similar_folder(search: Search, root: Path) -> str:
    """Return a note about a folder near ``root`` that has the model, or any, if there is one.

    Common mistakes are to mount /mnt/model and to read /mnt/models, and to take a folder above or
    below the cache for it.
    """
    model_id = search.request.model_id
    for near in _near_folders(root):
        if (near / f"{PREFIX}{model_id.replace('/', '--')}").is_dir():
            search.likely_cache = search.likely_cache or near
            return f"; {near} holds {model_id}, did you mean that?"
    for plain in (root / model_id, root / "models" / model_id):
        if is_plain_model(plain):
            search.likely_directory = search.likely_directory or plain
            return f"; {plain} holds a model, did you mean that?"
    return _similar_sibling(search, root)


def _near_folders(root: Path) -> list[Path]:
    """Return the folders around ``root`` that may be the cache that was meant."""
    below = (root / "huggingface" / "hub", root / ".cache" / "huggingface" / "hub")
    return [*root.parents[:3], *below]


def _similar_sibling(search: Search, root: Path) -> str:
    """Return a note about a sibling of ``root`` with models and a similar name, if there is one."""
    try:
        searched = {other.name for other in search.request.cache_roots}
        name = nearest(root.name, set(subfolders(root.parent)) - searched)
        if name is None:
            return ""
        sibling = root.parent / name
        models = [*find_repositories(sibling), *(path.name for path in find_tarballs(sibling))]
    except OSError:
        return ""
    if not models:
        return ""
    search.likely_cache = search.likely_cache or sibling
    return f"; {sibling} holds {models[0]}, did you mean that?"
