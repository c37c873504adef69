"""A model that is named by a URI: where it is on this machine, or the object to be fetched.

KServe fetches or mounts what STORAGE_URI names before the start, on ``/mnt/models``; where it has
done so, nothing is fetched. ``pvc://`` and ``oci://`` can be had in no other way. What is fetched
here is kept in the scratch directory and taken for what the URI names from then on: a key by the
convention has the revision in it, and is not written to twice.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

from entrypoint.errors import Attempt, ModelNotFound, SettingError, StorageError, UsageError
from entrypoint.store.disk.cache import find_repositories
from entrypoint.store.disk.directory import find_plain_model
from entrypoint.store.disk.folder import why_unreadable
from entrypoint.store.disk.tarball_names import SUFFIXES
from entrypoint.store.model import Model, Request
from entrypoint.store.progress import OnProgress
from entrypoint.store.tarballs.tarball import find_tarballs, stem
from entrypoint.store.uri import (
    EXAMPLES,
    ObjectUri,
    is_object_uri,
    parse_uri,
    repository_in_name,
    without_secret,
)
from entrypoint.store.writing.lock import lock_path, locked

MAX_NAME = 128
"""Characters of an object's name that its file keeps; the partial file's name adds to them."""


def is_uri(model_id: str) -> bool:
    """Whether MODEL_ID means an artifact's URI."""
    return "://" in model_id


def find_artifact(request: Request) -> Model:
    """Find the model that the URI in MODEL_ID names, without the network.

    Returns:
        The model; one that has yet to be fetched has no ``path``.

    Raises:
        SettingError: The URI is none that can be served.
        ModelNotFound: It leads to a place of this machine where no model is.
        ArtifactError, UnreadableModel: The model that is there cannot be used.
    """
    scheme, _, rest = request.model_id.partition("://")
    scheme = scheme.lower()
    given = request.model_id == request.storage_uri
    if given and _holds_something(request.mount):
        return _on_disk(request, request.mount)
    if scheme == "file":
        return _on_disk(request, Path("/", unquote(rest.removeprefix("localhost/"))))
    if scheme in ("pvc", "oci"):
        # Older releases of KServe mount the volume on /mnt/pvc and link to it.
        below = rest.partition("/")[2] if scheme == "pvc" else ""
        volume = request.mount.with_name("pvc").joinpath(*below.split("/"))
        place = volume if below and _holds_something(volume) else request.mount
        return _on_disk(request, place)
    uri = _object_of(request.model_id, _variable(request))
    target = target_of(request.scratch, uri)
    if target.is_file():
        return replace(_on_disk(request, target), source="object-store")
    return _to_be_fetched(request, uri, (), repository_in_name(uri))


def find_stored(request: Request, searched: tuple[Attempt, ...]) -> Model | None:
    """Find the repository that MODEL_ID names in the object that STORAGE_URI names.

    KServe fetches it before the start; only where it has not, because it is not KServe that
    started this, it is fetched here.

    Args:
        request: What is wanted; no other place has it.
        searched: The places that were searched.

    Returns:
        The model; one that has yet to be fetched has no ``path``; None if STORAGE_URI names no
        tarball in a store, or KServe has fetched it.
    """
    if request.storage_uri is None or not is_object_uri(request.storage_uri):
        return None
    uri = parse_uri(request.storage_uri)
    if not uri.name.endswith(SUFFIXES) or _holds_something(request.mount):
        return None  # a folder, which only KServe fetches; or KServe has fetched it
    target = target_of(request.scratch, uri)
    if not target.is_file():
        return _to_be_fetched(request, uri, searched, request.model_id)
    return replace(_find(request_in(request, target)), source="object-store")


def pull_artifact(model: Model, request: Request, on_progress: OnProgress) -> Model:
    """Fetch the object of a model that :func:`find_artifact` or :func:`find_stored` has found.

    Args:
        model: What was found.
        request: What was asked for.
        on_progress: Called with each change of the bytes that have arrived.

    Returns:
        The model in its tarball, which may still have to be unpacked; as it was, if it is here.

    Raises:
        InferenceServerError: What :func:`~entrypoint.store.objects.pull.pull` raises, and what
            is wrong with what was fetched.
    """
    if model.path is not None:
        return model
    by_uri = is_uri(request.model_id)
    text = request.model_id if by_uri else request.storage_uri or ""
    variable = _variable(request) if by_uri else "STORAGE_URI"
    target = target_of(request.scratch, parse_uri(text))
    _pull_once(text, target, variable, request.environ, on_progress)
    return _find(request)


def fetch_artifact(model: Model, request: Request, on_progress: OnProgress) -> Model:
    """Fetch a model's object, and unpack its tarball where that is needed; as above."""
    model = pull_artifact(model, request, on_progress)
    if model.on_disk:
        return model
    from entrypoint.store.fetch import fetch_model

    assert model.archive is not None
    fetched = fetch_model(
        replace(model, source="tarball"), request_in(request, model.archive), on_progress
    )
    return replace(fetched, source=model.source)


def request_in(request: Request, archive: Path) -> Request:
    """Return the request for the model that a tarball holds, instead of its URI.

    Raises:
        ModelNotFound: It holds several.
        RefusedArtifact: It is damaged, cut short, or no tarball.
        OSError: It cannot be read.
    """
    from entrypoint.store.tarballs.survey import peek

    wanted = replace(request, tarball=archive, cache_roots=(), storage_uri=None)
    if not is_uri(request.model_id):
        return wanted
    held = peek(archive).repositories
    if len(held) > 1:
        raise ModelNotFound(
            without_secret(request.model_id),
            (),
            {name: repository.revisions() for name, repository in held.items()},
            None,
            message=f"{_variable(request)} is {without_secret(request.model_id)!r}, a tarball of "
            f"several models: {archive}.",
            variable=_variable(request),
            hint=f"Set MODEL_ID to one of them and MODEL_TARBALL={archive}.",
        )
    # a plain model does not say what it is called: by convention its tarball does
    return replace(wanted, model_id=next(iter(held), stem(archive).replace("--", "/", 1)))


def target_of(scratch: Path, uri: ObjectUri) -> Path:
    """Return the file that an object is fetched to."""
    digest = hashlib.sha256(str(uri).encode()).hexdigest()
    return scratch / "artifacts" / digest[:16] / uri.name[-MAX_NAME:]


def _variable(request: Request) -> str:
    return "STORAGE_URI" if request.model_id == request.storage_uri else "MODEL_ID"


def _object_of(text: str, variable: str) -> ObjectUri:
    shown = without_secret(text)
    try:
        uri = parse_uri(text)
    except UsageError as error:
        hub = text.removeprefix("hf://") if text.startswith("hf://") else None
        raise SettingError(
            f"{variable} is {shown!r}, which names nothing that can be served from here.",
            variable=variable,
            hint=f"Set MODEL_ID={hub}."
            if hub
            else f"Write it as {EXAMPLES}, file:///path, or set MODEL_ID to a repository id or a "
            "directory.",
        ) from error
    if uri.is_folder:
        raise SettingError(
            f"{variable} is {shown!r}, which names a folder.",
            variable=variable,
            hint="Name the tarball in it, as s3://bucket/models/falcon/cf4b3c4/"
            "tiiuae--falcon-7b.tar; or fetch the folder and set MODEL_ID to where it is.",
        )
    return uri


def _to_be_fetched(
    request: Request, uri: ObjectUri, searched: tuple[Attempt, ...], repository: str
) -> Model:
    target = target_of(request.scratch, uri)
    attempt = Attempt("object-store", str(uri), f"to be fetched to {target}")
    return Model(
        source="object-store",
        path=None,
        repository=repository,
        revision=None,
        requested_revision=request.revision,
        bytes=0,
        searched=(*searched, attempt),
    )


def _on_disk(request: Request, place: Path) -> Model:
    """The model at a place of this machine: a directory, a cache of one model, or a tarball."""
    shown, variable = without_secret(request.model_id), _variable(request)
    try:
        if not place.is_dir():
            place.stat()
            return _find(request_in(request, place))
        tarballs = find_tarballs(place)
        if find_plain_model(place, None) is None and not find_repositories(place):
            if len(tarballs) == 1:
                return _find(request_in(request, tarballs[0]))
            held = ", ".join(path.name for path in tarballs)
            outcome = f"holds several tarballs: {held}" if held else "holds no model"
            raise _not_there(request, place, outcome)
    except OSError as error:
        raise _not_there(request, place, why_unreadable(error)) from error
    model = find_plain_model(place, None) or place
    found = _find(replace(request, model_id=str(model), storage_uri=None))
    outcome = f"{found.searched[-1].outcome}, for {variable}={shown}"
    return replace(
        found, searched=(*found.searched[:-1], replace(found.searched[-1], outcome=outcome))
    )


def _not_there(request: Request, place: Path, outcome: str) -> ModelNotFound:
    shown, variable = without_secret(request.model_id), _variable(request)
    hint = f"Correct {variable}."
    if shown.startswith(("pvc://", "oci://")):
        hint = (
            f"Only KServe can bring it, to {request.mount}: set STORAGE_URI to it in an "
            "InferenceService; or mount it yourself and set MODEL_ID to where it is."
        )
    return ModelNotFound(
        shown,
        (Attempt("directory", str(place), outcome),),
        {},
        None,
        message=f"{variable} is {shown!r}, and no model is at {place}.",
        variable=variable,
        hint=hint,
    )


def _holds_something(place: Path) -> bool:
    try:
        with os.scandir(place) as entries:
            return any(True for _ in entries)
    except OSError:
        return False


def _find(request: Request) -> Model:
    from entrypoint.store.search.find import find_model

    return find_model(request)


def _pull_once(
    text: str, target: Path, variable: str, environ: Mapping[str, str], on_progress: OnProgress
) -> None:
    """Pull an object to its file, unless another process has done so meanwhile."""
    from entrypoint.store.objects.client import pull_in_child

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(lock_path(target)):
            if not target.is_file():
                pull_in_child(text, target, variable, environ, on_progress)
    except OSError as error:
        raise StorageError(
            f"Fetching {without_secret(text)} to {target} failed: {why_unreadable(error)}.",
            variable="XDG_CACHE_HOME",
            hint="Set XDG_CACHE_HOME, or TMPDIR, to a folder with room that this user may write "
            "to.",
        ) from error
