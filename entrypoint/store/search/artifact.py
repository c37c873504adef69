"""Finding a model by its URI: on this machine, or as an object to be downloaded. Only reads.

KServe downloads or mounts the artifact of STORAGE_URI on its mount before the start; then nothing
is downloaded here. Only KServe can provide ``pvc://`` and ``oci://``. Downloads are kept in the
scratch directory and used for the same URI from then on: a key by the convention contains the
revision, and its object never changes.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

from entrypoint.errors import ModelNotFound, SearchedPlace, SettingError, UsageError
from entrypoint.store.disk.cache import find_repositories
from entrypoint.store.disk.directory import find_plain_model
from entrypoint.store.disk.folder import why_unreadable
from entrypoint.store.disk.tarball_names import SUFFIXES
from entrypoint.store.model import Model, Request
from entrypoint.store.search.by_name import find_by_name, invalid_name
from entrypoint.store.search.search import Search
from entrypoint.store.tarballs.tarball import find_tarballs, stem
from entrypoint.store.uri import (
    EXAMPLES,
    ObjectUri,
    is_object_uri,
    is_uri,
    parse_uri,
    repository_in_name,
    without_secret,
)

MAX_NAME = 128
"""Characters of an object's name that its file keeps; the partial file adds a suffix to them."""


def find_artifact(request: Request) -> Model:
    """Return the model of the URI in MODEL_ID, without the network.

    Returns:
        The model; without a ``path`` if it must be downloaded.

    Raises:
        SettingError: The URI cannot be served.
        ModelNotFound: It refers to a place on this machine that has no model.
        ArtifactError, UnreadableModel: It refers to a model that cannot be used.
    """
    scheme, _, rest = request.model_id.partition("://")
    scheme = scheme.lower()
    given = request.model_id == request.storage_uri
    if given and _has_entries(request.mount):
        return _on_disk(request, request.mount)
    if scheme == "file":
        return _on_disk(request, Path("/", unquote(rest.removeprefix("localhost/"))))
    if scheme in ("pvc", "oci"):
        # Older releases of KServe mount the volume on /mnt/pvc and link to it.
        below = rest.partition("/")[2] if scheme == "pvc" else ""
        volume = request.mount.with_name("pvc").joinpath(*below.split("/"))
        place = volume if below and _has_entries(volume) else request.mount
        return _on_disk(request, place)
    uri = _object_of(request)
    target = target_of(request.scratch, uri)
    if target.is_file():
        return replace(_on_disk(request, target), source="object-store")
    return _to_be_downloaded(Search(request), uri, repository_in_name(uri))


def find_stored(search: Search) -> Model | None:
    """Return the repository of MODEL_ID in the tarball of STORAGE_URI.

    KServe downloads it before the start. If KServe did not start this process, it is downloaded
    here.

    Args:
        search: The search; no other place has the model.

    Returns:
        The model; without a ``path`` if it must be downloaded. None if STORAGE_URI is not a
        tarball in a store, or if KServe has downloaded it.
    """
    request = search.request
    if request.storage_uri is None or not is_object_uri(request.storage_uri):
        return None
    uri = parse_uri(request.storage_uri)
    if not uri.name.endswith(SUFFIXES) or _has_entries(request.mount):
        return None  # a folder, which only KServe downloads; or KServe has downloaded it
    target = target_of(request.scratch, uri)
    if not target.is_file():
        return _to_be_downloaded(search, uri, request.model_id)
    return replace(_find_on_disk(request_in(request, target)), source="object-store")


def request_in(request: Request, archive: Path) -> Request:
    """Return the request for the model in a tarball, instead of for its URI.

    Raises:
        ModelNotFound: The tarball holds several models.
        RefusedArtifact: It is damaged, truncated, or not a tarball.
        OSError: It cannot be read.
    """
    from entrypoint.store.tarballs.survey import peek

    wanted = replace(request, tarball=archive, cache_roots=(), storage_uri=None)
    if not is_uri(request.model_id):
        return wanted
    held = peek(archive).repositories
    if len(held) > 1:
        shown, variable = without_secret(request.model_id), variable_of(request)
        raise ModelNotFound(
            shown,
            available={name: repository.revisions() for name, repository in held.items()},
            message=f"{variable} is {shown!r}, a tarball with {len(held)} models: {archive}.",
            variable=variable,
            hint=f"Set MODEL_ID to one of them and MODEL_TARBALL={archive}.",
        )
    # a plain model does not contain its name: by convention its tarball has it
    return replace(wanted, model_id=next(iter(held), stem(archive).replace("--", "/", 1)))


def target_of(scratch: Path, uri: ObjectUri) -> Path:
    """Return the file that an object is downloaded to."""
    digest = hashlib.sha256(str(uri).encode()).hexdigest()
    return scratch / "artifacts" / digest[:16] / uri.name[-MAX_NAME:]


def variable_of(request: Request) -> str:
    """Return the variable that holds the URI."""
    return "STORAGE_URI" if request.model_id == request.storage_uri else request.setting


def _object_of(request: Request) -> ObjectUri:
    text, variable = request.model_id, variable_of(request)
    shown = without_secret(text)
    try:
        uri = parse_uri(text)
    except UsageError as error:
        hint = (
            f"Write it as file:///path, {EXAMPLES}. Or set MODEL_ID to a repository id or a "
            "directory."
        )
        if not is_object_uri(text):
            raise invalid_name(request, "not a supported URI", hint) from error
        raise SettingError(
            f"{request.setting} is {shown!r}, which has no bucket.",
            variable=request.variable,
            hint=hint,
        ) from error
    if uri.is_folder:
        raise SettingError(
            f"{variable} is {shown!r}, which is a folder.",
            variable=variable,
            hint="Set it to a tarball in the folder, such as s3://bucket/models/falcon/cf4b3c4/"
            "tiiuae--falcon-7b.tar. Or download the folder and set MODEL_ID to its directory.",
        )
    return uri


def _to_be_downloaded(search: Search, uri: ObjectUri, repository: str) -> Model:
    target = target_of(search.request.scratch, uri)
    model = search.model("object-store", str(uri), f"to be downloaded to {target}")
    return replace(model, repository=repository)


def _on_disk(request: Request, place: Path) -> Model:
    """Return the model in a directory, in a cache of one model, or in a tarball."""
    try:
        if not place.is_dir():
            place.stat()
            return _find_on_disk(request_in(request, place))
        tarballs = find_tarballs(place)
        plain = find_plain_model(place, None)
        if plain is None and not find_repositories(place):
            if len(tarballs) == 1:
                return _find_on_disk(request_in(request, tarballs[0]))
            held = ", ".join(path.name for path in tarballs)
            outcome = f"holds several tarballs: {held}" if held else "holds no model"
            raise _not_there(request, place, outcome)
    except OSError as error:
        raise _not_there(request, place, why_unreadable(error)) from error
    model = _find_on_disk(replace(request, model_id=str(plain or place), storage_uri=None))
    last = model.searched[-1]
    outcome = f"{last.outcome}, for {variable_of(request)}={without_secret(request.model_id)}"
    return replace(model, searched=(*model.searched[:-1], replace(last, outcome=outcome)))


def _find_on_disk(request: Request) -> Model:
    search = Search(request)
    model = find_by_name(search)
    if model is None:
        raise search.failure()
    return model


def _not_there(request: Request, place: Path, outcome: str) -> ModelNotFound:
    shown, variable = without_secret(request.model_id), variable_of(request)
    hint = f"Set {variable} to the URI of an existing directory or tarball."
    if shown.startswith(("pvc://", "oci://")):
        hint = (
            f"Only KServe can mount it on {request.mount}: set it as the storageUri of an "
            "InferenceService. Or mount it yourself, and set MODEL_ID to the directory."
        )
    return ModelNotFound(
        shown,
        (SearchedPlace("directory", str(place), outcome),),
        message=f"{variable} is {shown!r}, but there is no model at {place}.",
        variable=variable,
        hint=hint,
    )


def _has_entries(place: Path) -> bool:
    try:
        with os.scandir(place) as entries:
            return any(True for _ in entries)
    except OSError:
        return False
