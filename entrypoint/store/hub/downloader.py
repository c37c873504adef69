"""The process that downloads from the hub: ``python -m entrypoint.store.hub.downloader``.

See :mod:`entrypoint.store.transfer_process.child`. The hub's client also reads its settings when
it is imported, so that they have to be in the environment of a separate process.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from entrypoint.store.disk.cache import PREFIX
from entrypoint.store.hub.refusal import Refusal
from entrypoint.store.hub.selection import choose_patterns, formats_of
from entrypoint.store.hub.snapshot import (
    BLOB,
    COMMIT,
    check_name,
    has_size,
    place_files,
    write_refs,
)
from entrypoint.store.hub.transfer import Damaged, Transfer, fetch_blob, partial_path
from entrypoint.store.progress import Progress
from entrypoint.store.threads import Stop, in_threads
from entrypoint.store.transfer_process.child import Send, reported, serve
from entrypoint.store.transfer_process.messages import (
    Downloaded,
    DownloadJob,
    Failure,
    Format,
    Job,
    ListedFile,
    Notice,
)
from entrypoint.store.writing.lock import locked
from entrypoint.store.writing.room import NoRoom, check_room, free_bytes

QUERY = re.compile(r"(https?://[^\s?'\"]+)\?[^\s'\"]*")
"""The query of a file's URL is a signature, which is as good as a token."""
ERROR_NUMBER = re.compile(r"\[Errno -?\d+\] ")
ADVICE = re.compile(r" For more information check: \S+")


class NoSuchFormat(Exception):
    """The repository has no weights in the requested format."""

    def __init__(self, available: tuple[Format, ...]):
        super().__init__(", ".join(available))
        self.available = available


class NothingMatches(Exception):
    """The patterns select no file."""


def list_files(job: DownloadJob) -> tuple[str, list[Transfer]]:
    """Return the commit of the job's revision, and its selected files.

    Raises:
        OSError: The hub refused.
        ValueError: Its answer is invalid.
        NoSuchFormat: No weights are in the requested format.
        NothingMatches: No file is selected.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile
    from huggingface_hub.utils import filter_repo_objects

    api = HfApi(endpoint=job.endpoint, token=job.token)
    commit = api.model_info(job.repository, revision=job.revision).sha
    if commit is None or not COMMIT.fullmatch(commit):
        raise ValueError(f"the hub reports {commit!r} as the commit")
    tree = api.list_repo_tree(job.repository, recursive=True, revision=commit)
    files = {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}
    available = formats_of(files)
    if job.format and job.format not in available:
        raise NoSuchFormat(available)
    allow, ignore = choose_patterns(
        files, include=job.include, exclude=job.exclude, format=job.format
    )
    selected = list(filter_repo_objects(files, allow_patterns=allow, ignore_patterns=ignore))
    if not selected:
        raise NothingMatches(f"the repository has {len(files)} files")
    transfers = []
    for name in selected:
        file = files[name]
        blob = file.lfs.sha256 if file.lfs else file.blob_id
        if not BLOB.fullmatch(blob):
            raise ValueError(f"the hub lists {name} with the hash {blob!r}")
        size = file.lfs.size if file.lfs else file.size
        transfers.append(Transfer(check_name(name), blob, size))
    return commit, transfers


def find_present(folder: Path, commit: str, transfers: list[Transfer]) -> None:
    """Set how much of each file is in the cache already."""
    for transfer in transfers:
        blob = folder / "blobs" / transfer.blob
        placed = folder / "snapshots" / commit / transfer.name
        transfer.complete = has_size(blob, transfer.size) or has_size(placed, transfer.size)
        transfer.done = transfer.size
        if not transfer.complete:
            partial = partial_path(blob)
            present = partial.stat().st_size if partial.exists() else 0
            transfer.done = min(present, transfer.size)
        transfer.resumed = transfer.done


def download(job: DownloadJob, send: Send) -> Downloaded:
    """Download what is missing.

    Raises:
        NoRoom: The disk has not enough space.
        Damaged: The hub sent what it did not list.
        And what :func:`list_files` and the disk raise.
    """
    commit, transfers = list_files(job)
    revision = check_name(job.revision or "main")
    folder = job.root / (PREFIX + job.repository.replace("/", "--"))
    find_present(folder, commit, transfers)
    free = free_bytes(job.root)
    listed = tuple(ListedFile(file.name, file.size, file.done) for file in transfers)
    result = Downloaded(folder / "snapshots" / commit, commit, listed, 0, free)
    if job.dry_run:
        return result
    # Files with the same content are one blob.
    contents = list({transfer.blob: transfer for transfer in transfers}.values())
    check_room(job.root, sum(content.size - content.done for content in contents))
    (folder / "blobs").mkdir(parents=True, exist_ok=True)
    locks = job.root / ".locks" / folder.name
    fetch_all(job, commit, folder, locks, contents, send)
    with hub_lock(locks / "snapshot.lock", "the snapshot", send):
        place_files(folder, commit, {transfer.name: transfer.blob for transfer in transfers})
        write_refs(folder, revision, commit)
    return replace(result, fetched=sum(content.done - content.resumed for content in contents))


def hub_lock(
    path: Path, name: str, send: Send, pause: Callable[[float], None] = time.sleep
) -> AbstractContextManager[int]:
    """Hold a lock that the hub's own client uses for the same work.

    Args:
        path: The lock file.
        name: What is downloaded under the lock, for the notice.
        send: Sends the notice to the parent process.
        pause: See :func:`~entrypoint.store.writing.lock.locked`.
    """

    def on_wait() -> None:
        send(Notice(f"{name}: waiting for another process that downloads it"))

    path.parent.mkdir(parents=True, exist_ok=True)
    return locked(path, on_wait=on_wait, pause=pause, optional=True)


def fetch_all(
    job: DownloadJob, commit: str, folder: Path, locks: Path, contents: list[Transfer], send: Send
) -> None:
    """Fetch all that is missing, several files in parallel; the first failure stops the others."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import build_hf_headers

    headers = build_hf_headers(token=job.token)
    missing = [content for content in contents if not content.complete]

    def fetch(content: Transfer, stop: Stop) -> None:
        blob = folder / "blobs" / content.blob
        with hub_lock(locks / f"{content.blob}.lock", content.name, send, stop.sleep):
            stop.check()
            if has_size(blob, content.size):  # another process was faster
                content.done = content.resumed = content.size
                content.complete = True
                return
            url = hf_hub_url(job.repository, content.name, revision=commit, endpoint=job.endpoint)
            fetch_blob(content, blob, url, headers, stop, lambda text: send(Notice(text)))

    def progress() -> Progress:
        return Progress(
            done=sum(content.done for content in contents),
            total=sum(content.size for content in contents),
            files={
                content.name: (content.done, content.size)
                for content in contents
                if content.resumed < content.done < content.size
            },
        )

    send(progress())
    with reported(progress, send):
        in_threads(fetch, missing, job.workers)


def failure_of(error: Exception) -> Failure:
    """Return what to send to the parent process for an error."""
    from huggingface_hub import errors

    kinds: tuple[tuple[Refusal, type[Exception]], ...] = (
        (Refusal.FORMAT, NoSuchFormat),
        (Refusal.NO_MATCH, NothingMatches),
        (Refusal.NO_SPACE, NoRoom),
        (Refusal.DAMAGED, Damaged),
        (Refusal.GATED, errors.GatedRepoError),
        (Refusal.REPOSITORY, errors.RepositoryNotFoundError),
        (Refusal.REVISION, errors.RevisionNotFoundError),
        (Refusal.REFUSED, errors.HfHubHTTPError),
        (Refusal.STORAGE, OSError),
        (Refusal.NOT_A_HUB, ValueError),  # no JSON, names that no repository has
        (Refusal.NOT_A_HUB, LookupError),
        (Refusal.NOT_A_HUB, TypeError),
    )
    # The HTTP client's errors (no connection, a timeout, a proxy) are none of these.
    kind = next((kind for kind, known in kinds if isinstance(error, known)), Refusal.UNREACHABLE)
    if kind is Refusal.REFUSED:
        status = getattr(getattr(error, "response", None), "status_code", None)
        kind = {401: Refusal.TOKEN, 429: Refusal.RATE_LIMIT}.get(status or 0, kind)
    detail = _in_one_line(str(error)) or type(error).__name__
    return Failure(kind, detail, error.available if isinstance(error, NoSuchFormat) else ())


def _in_one_line(text: str) -> str:
    """An error's text without its number, its advice and its secrets."""
    text = ADVICE.sub("", ERROR_NUMBER.sub("", " ".join(text.split())))
    return QUERY.sub(r"\1", text).rstrip(".")


def make_client() -> Any:
    """Return the HTTP client; huggingface_hub's own has no timeout for a hub that sends nothing."""
    import httpx2
    from huggingface_hub import constants

    timeout = httpx2.Timeout(constants.HF_HUB_DOWNLOAD_TIMEOUT).as_dict()

    def limit(request: httpx2.Request) -> None:
        request.extensions["timeout"] = timeout  # huggingface_hub asks for none with each request

    return httpx2.Client(
        follow_redirects=True,
        event_hooks={"request": [limit]},
        limits=httpx2.Limits(max_connections=None),
    )


def run(job: Job, environ: Mapping[str, str], send: Send) -> Downloaded | Failure:
    """Do the job, and return its result; huggingface_hub reads the environment itself."""
    from huggingface_hub import set_client_factory

    assert isinstance(job, DownloadJob)
    set_client_factory(make_client)
    try:
        endpoint = job.endpoint.rstrip("/") if job.endpoint else None
        return download(replace(job, endpoint=endpoint), send)
    except Exception as error:
        return failure_of(error)


if __name__ == "__main__":
    serve(run)
