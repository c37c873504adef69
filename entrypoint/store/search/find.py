"""Finding the model: on this machine, in the store of STORAGE_URI, or on the hub. Only reads."""

from __future__ import annotations

from dataclasses import replace

from entrypoint.store.model import Model, Request
from entrypoint.store.search.artifact import find_artifact, find_stored
from entrypoint.store.search.by_name import find_by_name
from entrypoint.store.search.search import Search
from entrypoint.store.uri import is_uri


def find_model(request: Request) -> Model:
    """Return the requested model, without changing anything and without the network.

    The places are searched in this order: the URI or directory in MODEL_ID, the caches, the
    tarballs, the store of STORAGE_URI, the hub.

    Returns:
        The model. If it is ``on_disk``, its ``path`` was checked and can be loaded. A packed
        tarball has ``archive``, and its ``path`` is where it will be unpacked to. A model that
        must be downloaded has no ``path``.

    Raises:
        SettingError: MODEL_ID is not a valid name, or MODEL_TARBALL does not exist.
        ModelNotFound: No place has the model, and downloads are off.
        RevisionNotFound: A place has the model, but not the requested revision.
        IncompleteModel: A place has the model, but files are missing, empty, dangling or damaged.
        UnreadableModel: A place has the model, or may have it, but this user may not read it.
        RefusedArtifact: The tarball that must hold the model is damaged.
    """
    if is_uri(request.model_id):
        return find_artifact(request)
    search = Search(request)
    model = find_by_name(search)
    if model is None and search.error is None:
        model = find_stored(search)
    if model is not None:
        return model
    if request.offline:
        search.add("hub", request.model_id, "not searched, HF_HUB_OFFLINE is on")
        raise search.failure()
    model = search.model("hub", request.model_id, "to be downloaded")
    return replace(model, repository=request.model_id)
