"""The hub: download a model to the cache, in a separate process."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from entrypoint.errors import MachineError, SearchedPlace
from entrypoint.pod.scratch import can_write
from entrypoint.store.disk.cache import Snapshot
from entrypoint.store.disk.folder import why_unreadable
from entrypoint.store.disk.loadable import check_directory
from entrypoint.store.hub.refusal import explain
from entrypoint.store.model import Model, Request
from entrypoint.store.progress import OnProgress, ignore_progress
from entrypoint.store.transfer_process.messages import Downloaded, DownloadJob, Failure
from entrypoint.store.transfer_process.parent import transfer

DOWNLOADER = "entrypoint.store.hub.downloader"


def download_model(model: Model, request: Request, on_progress: OnProgress) -> Snapshot:
    """Download what the engine loads to the first writable cache root.

    Args:
        model: What was found, for the error.
        request: The model to download, and where to.
        on_progress: Called with each change of the bytes that have arrived.

    Raises:
        IncompleteModel: The repository itself is incomplete.
        MachineError: No cache root is writable.
        And what :func:`download` raises.
    """
    job = DownloadJob(
        repository=request.model_id,
        revision=request.revision,
        token=request.token,
        root=writable_root(request.cache_roots),
        endpoint=request.endpoint,
    )
    downloaded = download(job, request.environ, on_progress, model.searched)
    size = check_directory(
        downloaded.path,
        request.loading,
        hint=f"The repository on the hub is incomplete; contact the owner of {request.model_id}.",
    )
    return Snapshot(downloaded.path, request.model_id, downloaded.commit, size)


def writable_root(roots: Sequence[Path], *, make: bool = True, option: str = "") -> Path:
    """Return the first writable root.

    Args:
        roots: Folders, the preferred ones first.
        make: Whether to create a folder that does not exist.
        option: The command's option for a root, for the error.

    Raises:
        MachineError: None of them is writable.
    """
    reasons = []
    for root in roots:
        try:
            if make:
                root.mkdir(parents=True, exist_ok=True)
            if os.access(root, os.W_OK | os.X_OK) if make else can_write(root):
                return root
            reasons.append(f"{root} (not writable for uid {os.geteuid()})")
        except OSError as error:
            reasons.append(f"{root} ({why_unreadable(error)})")
    raise MachineError(
        f"No folder to download the model to: {', '.join(reasons) or 'none is set'}.",
        variable="HF_HUB_CACHE",
        hint=f"Set {option}HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE or HF_HOME to a folder that this "
        "user can write to, such as a mounted volume.",
    )


def download(
    job: DownloadJob,
    environ: Mapping[str, str],
    on_progress: OnProgress = ignore_progress,
    searched: Sequence[SearchedPlace] = (),
) -> Downloaded:
    """Download the missing files of a model, and return the snapshot.

    Args:
        job: What to download.
        environ: The environment of the process that downloads.
        on_progress: Called with each change of the bytes that have arrived.
        searched: Where the model was searched before, for the error.

    Raises:
        ModelNotFound: The hub does not have the model, or not in this format, or does not show it
            to this token.
        RevisionNotFound: The hub does not have the revision.
        HubError: The hub did not answer, refused, or sent what it did not list.
        StorageError: A write failed, or the disk has not enough space.
    """
    # The network was already allowed; the process must not read these variables again.
    offline = {"HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "0"}
    result = transfer(DOWNLOADER, job, {**environ, **offline}, on_progress)
    if isinstance(result, Failure):
        raise explain(result, job, searched)
    assert isinstance(result, Downloaded)
    return result
