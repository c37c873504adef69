"""The hub: listing what it has of a model, and downloading that to the cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from entrypoint.errors import Attempt, MachineError
from entrypoint.pod.scratch import can_write
from entrypoint.store.disk.cache import Snapshot
from entrypoint.store.disk.folder import why_unreadable
from entrypoint.store.disk.integrity import check_model
from entrypoint.store.hub.messages import Job, ListedFile, Listing
from entrypoint.store.hub.refusal import explain
from entrypoint.store.hub.selection import Format
from entrypoint.store.model import Model, Request
from entrypoint.store.progress import OnProgress, Progress, ignore_progress

COMMAND = (sys.executable, "-P", "-m", "entrypoint.store.hub.downloader")
PACKAGES = Path(__file__).parents[3]
"""The folder that this package is imported from."""
WORKERS = 8
"""Files at a time, as huggingface_hub does it."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to download from the hub.

    Attributes:
        repository: ``org/name``.
        revision: Branch, tag or commit; None for ``main``.
        token: The hub's token, None for the one that huggingface_hub keeps. Never shown.
        root: The cache root to download to.
        endpoint: Address of the hub or its mirror; None for huggingface.co.
        include: Patterns of the only files that are wanted; see :mod:`.selection`.
        exclude: Patterns of files that are not.
        format: Of the weights, None for what the engine loads.
        workers: How many files at a time.
        searched: Where the model was looked for before, for the error.
    """

    repository: str
    revision: str | None
    token: str | None = field(repr=False)
    root: Path
    endpoint: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    format: Format | None = None
    workers: int = WORKERS
    searched: tuple[Attempt, ...] = ()


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was downloaded, or would be.

    Attributes:
        path: The snapshot.
        commit: Of the snapshot.
        files: The wanted ones, with how much of each was there before.
        fetched: Bytes that came from the hub.
        free: Bytes that the disk had free before.
    """

    path: Path
    commit: str
    files: tuple[ListedFile, ...]
    fetched: int
    free: int

    @property
    def bytes(self) -> int:
        """Size of the wanted files."""
        return sum(file["bytes"] for file in self.files)

    @property
    def missing(self) -> int:
        """Bytes that were not there before."""
        return sum(file["bytes"] - file["there"] for file in self.files)


def tell(text: str) -> None:
    """Say on standard error what was tried again, and why."""
    print(f"inference-server: {text}", file=sys.stderr, flush=True)


def download(model: Model, request: Request, on_progress: OnProgress) -> Snapshot:
    """Download what the engine loads to the first cache root that can be written to.

    Args:
        model: What was found, for the error.
        request: What was asked for.
        on_progress: Called with each change of the bytes that have arrived.

    Raises:
        IncompleteModel: The repository itself is not whole.
        MachineError: No cache root can be written to.
        And what :func:`fetch` raises.
    """
    order = Order(
        repository=request.model_id,
        revision=request.revision,
        token=request.token,
        root=writable_root(request.cache_roots),
        endpoint=os.environ.get("HF_ENDPOINT") or None,
        searched=model.searched,
    )
    fetched = fetch(order, on_progress=on_progress)
    size = check_model(
        fetched.path, hint=f"Its repository is not whole; tell {request.model_id}'s owner."
    )
    return Snapshot(fetched.path, request.model_id, fetched.commit, size)


def writable_root(roots: Sequence[Path], *, make: bool = True, option: str = "") -> Path:
    """The first root that can be written to.

    Args:
        roots: In the order of preference.
        make: Whether one that does not exist is made.
        option: The command's own way to name one, for the error.

    Raises:
        MachineError: There is none.
    """
    reasons = []
    for root in roots:
        if not make:
            if can_write(root):
                return root
            reasons.append(f"{root} (not writable for uid {os.geteuid()})")
            continue
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reasons.append(f"{root} ({why_unreadable(error)})")
            continue
        if os.access(root, os.W_OK | os.X_OK):
            return root
        reasons.append(f"{root} (not writable for uid {os.geteuid()})")
    raise MachineError(
        "There is no folder to download the model to: "
        + (", ".join(reasons) or "none is set")
        + ".",
        variable="HF_HUB_CACHE",
        hint=f"Set {option}HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE or HF_HOME to a folder that this "
        "user may write to, such as a mounted volume.",
    )


def fetch(
    order: Order,
    *,
    dry_run: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> Fetched:
    """Download what is ordered; what is there already is not fetched again.

    Args:
        order: What to download.
        dry_run: Only ask what there is, and write nothing.
        on_progress: Called with each change of the bytes that have arrived.

    Raises:
        ModelNotFound: The hub does not have the model, or not in the wanted format, or does not
            show it to this token.
        RevisionNotFound: The hub does not have the revision.
        HubError: The hub did not answer, refused, or sent what it did not list.
        StorageError: The download cannot be written, or there is too little room.
    """
    job = Job(
        repository=order.repository,
        revision=order.revision,
        token=order.token,
        endpoint=order.endpoint.rstrip("/") if order.endpoint else None,
        root=str(order.root),
        include=list(order.include),
        exclude=list(order.exclude),
        format=order.format,
        workers=order.workers,
        dry_run=dry_run,
    )
    listed: Listing | None = None
    result: Mapping[str, Any] = {}
    with closing(run_downloader(job)) as messages:
        for message in messages:
            if "tell" in message:
                tell(message["tell"])
            elif "total" in message:
                files = {name: (done, size) for name, (done, size) in message["files"].items()}
                on_progress(Progress(message["done"], message["total"], files))
            elif "free" in message:
                listed = cast(Listing, message)
            else:
                result = message
    if "path" not in result or listed is None:
        raise explain(result, order)
    return Fetched(
        Path(result["path"]),
        listed["commit"],
        tuple(listed["files"]),
        result["fetched"],
        listed["free"],
    )


def run_downloader(job: Job) -> Generator[Mapping[str, Any]]:
    """Run the process, and yield what it says; close this to end it."""
    ended = False
    with subprocess.Popen(
        COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=_environment(),
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            _send(process, job)
            for line in process.stdout:
                message = json.loads(line)
                ended = "path" in message or "failure" in message
                yield message
        except BaseException:
            process.kill()
            raise
    if not ended:
        yield {"failure": "crashed", "detail": f"exit status {process.returncode}"}


def _send(process: subprocess.Popen[str], job: Job) -> None:
    """Give the process its job; the pipe stays open, for it ends with it.

    By a pipe: arguments and environment can be read by others, the token is a secret.
    """
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.flush()
    except BrokenPipeError:
        with suppress(BrokenPipeError):
            process.stdin.close()


def _environment() -> dict[str, str]:
    """The downloader's environment."""
    environment = {
        **os.environ,
        # it imports what this process does; -P leaves out the working directory
        "PYTHONPATH": os.pathsep.join((str(PACKAGES), *(path for path in sys.path if path))),
        # What was decided counts, not what the environment says twice (TRANSFORMERS_OFFLINE).
        "HF_HUB_OFFLINE": "0",
    }
    environment.pop("TRANSFORMERS_OFFLINE", None)
    return environment
