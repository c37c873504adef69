"""The process that downloads from the hub: ``python -m entrypoint.store.hub.downloader < job``.

A process of its own, because the hub's client takes more memory than the runtime may keep, reads
its settings when it is imported, and cannot be stopped in the middle of a request. The first line
of standard input is a :class:`Job` as JSON; when standard input ends, so does this process, in
the middle of whatever it does: its parent is gone. Standard output is JSON objects, one a line;
:mod:`.messages` says which.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from entrypoint.store.disk.cache import PREFIX
from entrypoint.store.hub.messages import Failure, Job, ListedFile, Listing, Report, Result
from entrypoint.store.hub.selection import Format, choose_patterns, formats_of
from entrypoint.store.hub.snapshot import (
    BLOB,
    COMMIT,
    check_name,
    has_size,
    is_placed,
    place_files,
    write_refs,
)
from entrypoint.store.hub.transfer import (
    Damaged,
    Transfer,
    fetch_blob,
    partial_path,
)
from entrypoint.store.threads import Stop, in_threads
from entrypoint.store.writing.lock import locked
from entrypoint.store.writing.room import NoRoom, check_room, free_bytes

SECONDS_BETWEEN_REPORTS = 0.5
ADDRESS = re.compile(r"(https?://[^\s?'\"]+)\?[^\s'\"]*")
"""What follows the address of a file is a signature as good as a token."""
ADVICE = re.compile(r" For more information check: \S+")


class NoSuchFormat(Exception):
    """The repository has no weights in the wanted format."""

    def __init__(self, available: tuple[Format, ...]):
        super().__init__(", ".join(available))
        self.available = available


class NothingMatches(Exception):
    """The patterns leave no file."""


def list_files(job: Job) -> tuple[str, list[Transfer]]:
    """Ask the hub which commit is meant, and which files of it are wanted.

    Raises:
        OSError: The hub said no.
        ValueError: Its answer makes no sense.
        NoSuchFormat: No weights are in the wanted format.
        NothingMatches: No file is wanted.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile
    from huggingface_hub.utils import filter_repo_objects

    api = HfApi(endpoint=job["endpoint"], token=job["token"])
    commit = api.model_info(job["repository"], revision=job["revision"]).sha
    if commit is None or not COMMIT.fullmatch(commit):
        raise ValueError(f"the hub names {commit!r} as the commit")
    tree = api.list_repo_tree(job["repository"], recursive=True, revision=commit)
    files = {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}
    available = formats_of(files)
    if job["format"] and job["format"] not in available:
        raise NoSuchFormat(available)
    patterns = choose_patterns(
        files, include=tuple(job["include"]), exclude=tuple(job["exclude"]), format=job["format"]
    )
    wanted = list(
        filter_repo_objects(
            files,
            allow_patterns=None if patterns.take is None else list(patterns.take),
            ignore_patterns=list(patterns.leave),
        )
    )
    if not wanted:
        raise NothingMatches(f"none of {len(files)} files")
    transfers = []
    for name in wanted:
        file = files[name]
        blob = file.lfs.sha256 if file.lfs else file.blob_id
        if not BLOB.fullmatch(blob):
            raise ValueError(f"the hub lists {name} with the hash {blob!r}")
        size = file.lfs.size if file.lfs else file.size
        transfers.append(Transfer(check_name(name), blob, size))
    return commit, transfers


def look(folder: Path, commit: str, transfers: list[Transfer]) -> None:
    """See how much of each file is there."""
    for transfer in transfers:
        blob = folder / "blobs" / transfer.blob
        transfer.whole = has_size(blob, transfer.size) or is_placed(
            folder, commit, transfer.name, transfer.size
        )
        transfer.done = transfer.size
        if not transfer.whole:
            partial = partial_path(blob)
            there = partial.stat().st_size if partial.exists() else 0
            transfer.done = min(there, transfer.size)
        transfer.resumed = transfer.done


def unique(transfers: list[Transfer]) -> list[Transfer]:
    """One transfer of each content: files of the same content are one blob."""
    return list({transfer.blob: transfer for transfer in transfers}.values())


def download(job: Job) -> Result:
    """Do the job, and return where the snapshot is.

    Raises:
        NoRoom: The disk has too little room.
        Damaged: The hub sent what it did not list.
        And what :func:`list_files` and the disk raise.
    """
    commit, transfers = list_files(job)
    revision = check_name(job["revision"] or "main")
    root = Path(job["root"])
    folder = root / (PREFIX + job["repository"].replace("/", "--"))
    look(folder, commit, transfers)
    free = free_bytes(root)
    listed: list[ListedFile] = [
        {"name": transfer.name, "bytes": transfer.size, "there": transfer.done}
        for transfer in transfers
    ]
    listing: Listing = {"commit": commit, "files": listed, "free": free}
    say(listing)
    path = str(folder / "snapshots" / commit)
    if job["dry_run"]:
        return {"path": path, "commit": commit, "fetched": 0}

    contents = unique(transfers)
    missing = sum(content.size - content.done for content in contents)
    check_room(root, missing)
    (folder / "blobs").mkdir(parents=True, exist_ok=True)
    locks = root / ".locks" / folder.name
    fetch_all(job, commit, folder, locks, contents)
    with hub_lock(locks / "snapshot.lock", "the snapshot"):
        place_files(folder, commit, {transfer.name: transfer.blob for transfer in transfers})
        write_refs(folder, revision, commit)
    fetched = sum(content.done - content.resumed for content in contents)
    return {"path": path, "commit": commit, "fetched": fetched}


def hub_lock(
    path: Path, what: str, pause: Callable[[float], None] = time.sleep
) -> AbstractContextManager[int]:
    """Hold a lock that the hub's own client also takes for the same work.

    Args:
        path: The lock file.
        what: What is downloaded under the lock, for the message.
        pause: See :func:`~entrypoint.store.writing.lock.locked`.
    """

    def on_wait() -> None:
        say({"tell": f"{what}: waiting for another process that downloads it"})

    path.parent.mkdir(parents=True, exist_ok=True)
    return locked(path, on_wait=on_wait, pause=pause, optional=True)


def fetch_all(job: Job, commit: str, folder: Path, locks: Path, contents: list[Transfer]) -> None:
    """Fetch all that is missing, several files at a time; the first failure ends it."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import build_hf_headers

    headers = build_hf_headers(token=job["token"])
    missing = [content for content in contents if not content.whole]

    def fetch(content: Transfer, stop: Stop) -> None:
        blob = folder / "blobs" / content.blob
        with hub_lock(locks / f"{content.blob}.lock", content.name, stop.sleep):
            stop.check()
            if has_size(blob, content.size):  # another process was faster
                content.done = content.resumed = content.size
                content.whole = True
                return
            url = hf_hub_url(
                job["repository"], content.name, revision=commit, endpoint=job["endpoint"]
            )
            fetch_blob(content, blob, url, headers, stop, tell)

    def tell(text: str) -> None:
        say({"tell": text})

    with Reporter(contents):
        in_threads(fetch, missing, job["workers"])


class Reporter:
    """Tells the parent process how far it is, while the work is done."""

    def __init__(self, contents: list[Transfer]):
        self._contents = contents
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()
        say(self._report())

    def _run(self) -> None:
        while not self._ended.wait(SECONDS_BETWEEN_REPORTS):
            say(self._report())

    def _report(self) -> Report:
        return {
            "done": sum(content.done for content in self._contents),
            "total": sum(content.size for content in self._contents),
            "files": {
                content.name: (content.done, content.size)
                for content in self._contents
                if content.resumed < content.done < content.size
            },
        }


def failure(error: Exception) -> Failure:
    """What went wrong, as the parent process tells errors apart."""
    from huggingface_hub import errors

    kinds: tuple[tuple[str, type[Exception]], ...] = (
        ("format", NoSuchFormat),
        ("nothing", NothingMatches),
        ("room", NoRoom),
        ("damaged", Damaged),
        ("gated", errors.GatedRepoError),
        ("repository", errors.RepositoryNotFoundError),
        ("revision", errors.RevisionNotFoundError),
        ("refused", errors.HfHubHTTPError),
        ("storage", OSError),
        ("nonsense", ValueError),  # no JSON, names that no repository has
        ("nonsense", LookupError),
        ("nonsense", TypeError),
    )
    status = getattr(getattr(error, "response", None), "status_code", None)
    # The HTTP client's own errors (no connection, a timeout, a proxy) are none of these.
    kind = next((kind for kind, known in kinds if isinstance(error, known)), "unreachable")
    if kind == "refused":
        kind = {401: "token", 429: "limit"}.get(status or 0, kind)
    detail = _in_one_line(str(error)) or type(error).__name__
    result: Failure = {"failure": kind, "detail": detail}
    if isinstance(error, NoSuchFormat):
        result["formats"] = list(error.available)
    return result


def _in_one_line(text: str) -> str:
    """An error's text without what is of no use, or secret."""
    text = ADVICE.sub("", " ".join(text.split()))
    return ADDRESS.sub(r"\1", text).rstrip(".")


_saying = threading.Lock()


def say(message: Mapping[str, Any]) -> None:
    """Tell the parent process. Ends this process if the parent has gone."""
    try:
        with _saying:
            print(json.dumps(message), file=sys.__stdout__, flush=True)
    except BrokenPipeError:
        os._exit(1)  # from any thread; the download must not outlive its parent


def end_with_parent() -> None:
    """Wait until standard input ends, then end this process."""
    sys.stdin.read()
    os._exit(1)


def make_client() -> Any:
    """The HTTP client: huggingface_hub's own waits for ever for a hub that says nothing."""
    import httpx2
    from huggingface_hub import constants

    timeout = httpx2.Timeout(constants.HF_HUB_DOWNLOAD_TIMEOUT).as_dict()

    def limit(request: httpx2.Request) -> None:
        request.extensions["timeout"] = timeout  # it asks for none, request by request

    return httpx2.Client(
        follow_redirects=True,
        event_hooks={"request": [limit]},
        limits=httpx2.Limits(max_connections=None),
    )


def run(job: Job) -> Result | Failure:
    """Do the job, and return what came of it."""
    from huggingface_hub import set_client_factory

    set_client_factory(make_client)
    try:
        return download(job)
    except Exception as error:
        return failure(error)


def main() -> None:
    """Do the job that standard input says."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the parent too
    job: Job = json.loads(sys.stdin.readline())
    threading.Thread(target=end_with_parent, daemon=True).start()
    sys.stdout = sys.stderr  # whatever a library prints is not for the parent
    say(run(job))


if __name__ == "__main__":
    main()
