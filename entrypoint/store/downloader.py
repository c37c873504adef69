"""The process that downloads a model from the hub: ``python -P downloader.py < job``.

A process of its own, because the hub's client takes more memory than the runtime may keep, reads
its settings when it is imported, and cannot be stopped in the middle of a file. It imports nothing
of this package. Standard input is a JSON object ``{"repository", "revision", "token", "root"}``;
standard output is JSON objects, one a line: ``{"done", "total"}`` in bytes, again and again, then
``{"path", "commit"}`` or ``{"failure", "detail"}``.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
import threading
from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import TypedDict

# vLLM loads none of these, whatever else there is.
OTHER_FRAMEWORKS = ("*.msgpack", "*.h5", "*.ot", "*.onnx", "*.onnx_data", "*.tflite", "*.mlmodel")
# The same weights again, where there are safetensors.
DUPLICATES = ("*.bin", "*.pt", "*.pth", "*.gguf")
SECONDS_BETWEEN_REPORTS = 0.5


class Job(TypedDict):
    """What to download."""

    repository: str
    revision: str | None
    token: str | None
    root: str


def unwanted(names: Iterable[str]) -> list[str]:
    """The patterns of the files that the engine would not load from a repository."""
    safetensors = any(name.endswith(".safetensors") and "/" not in name for name in names)
    return [*OTHER_FRAMEWORKS, *(DUPLICATES if safetensors else ())]


def bytes_on_disk(blobs: Path, sizes: Mapping[str, int], litter: frozenset[str]) -> int:
    """How much of the wanted blobs is there.

    Args:
        blobs: The folder that they are downloaded to, as ``<hash>`` or ``<hash>.*.incomplete``.
        sizes: ``{hash: bytes}``.
        litter: Files of earlier downloads that were killed.
    """
    there: dict[str, int] = {}
    try:
        with os.scandir(blobs) as entries:
            for entry in entries:
                blob = entry.name.split(".")[0]
                if blob in sizes and entry.name not in litter:
                    there[blob] = max(there.get(blob, 0), entry.stat().st_size)
    except OSError:
        pass  # not made yet, or renamed under our eyes: the next report has it
    return sum(min(size, sizes[blob]) for blob, size in there.items())


def download(job: Job) -> dict[str, str]:
    """Download the files that the engine loads, and return ``{"path", "commit"}``.

    Raises:
        OSError: The hub or the disk said no.
        ValueError: The hub's answer makes no sense.
    """
    from huggingface_hub import HfApi, snapshot_download

    info = HfApi(token=job["token"]).model_info(
        job["repository"], revision=job["revision"], files_metadata=True
    )
    files = {file.rfilename: file for file in info.siblings or ()}
    patterns = unwanted(files)
    sizes = {}
    for name, file in files.items():
        if any(fnmatch(name, pattern) for pattern in patterns):
            continue
        blob = file.lfs.sha256 if file.lfs else file.blob_id
        sizes[str(blob)] = file.size or 0
    folder = "models--" + job["repository"].replace("/", "--")
    blobs = Path(job["root"], folder, "blobs")
    litter = frozenset(path.name for path in blobs.glob("*.incomplete"))
    total = sum(sizes.values())
    missing = total - bytes_on_disk(blobs, sizes, litter)
    if missing > shutil.disk_usage(job["root"]).free:
        raise OSError(errno.ENOSPC, f"no room for {missing:,} bytes", job["root"])

    ended = threading.Event()

    def report() -> None:
        while not ended.wait(SECONDS_BETWEEN_REPORTS):
            say({"done": bytes_on_disk(blobs, sizes, litter), "total": total})

    reporter = threading.Thread(target=report, daemon=True)
    reporter.start()
    try:
        path = snapshot_download(
            job["repository"],
            revision=job["revision"],
            token=job["token"],
            cache_dir=job["root"],
            ignore_patterns=patterns,
        )
    finally:
        ended.set()
        reporter.join()
    say({"done": total, "total": total})
    return {"path": path, "commit": Path(path).name}


def failure(error: Exception) -> dict[str, str]:
    """``{"failure", "detail"}``, as the parent process tells errors apart."""
    from huggingface_hub import errors

    kinds: tuple[tuple[str, type[Exception]], ...] = (
        ("gated", errors.GatedRepoError),
        ("repository", errors.RepositoryNotFoundError),
        ("revision", errors.RevisionNotFoundError),
        ("refused", errors.HfHubHTTPError),
        ("unreachable", errors.LocalEntryNotFoundError),
    )
    status = getattr(getattr(error, "response", None), "status_code", None)
    kind = next((kind for kind, known in kinds if isinstance(error, known)), None)
    if kind is None:
        # The HTTP client's own errors (no connection, a timeout, a proxy) are not OSErrors.
        kind = "storage" if isinstance(error, OSError) else "unreachable"
    elif kind == "refused" and status == 401:
        kind = "token"
    detail = " ".join(str(error).split()) or type(error).__name__
    return {"failure": kind, "detail": detail}


def say(message: Mapping[str, object]) -> None:
    """Tell the parent process. Ends this process if the parent has gone."""
    try:
        print(json.dumps(message), file=sys.__stdout__, flush=True)
    except BrokenPipeError:
        os._exit(1)  # from any thread; the download must not outlive its parent


def main() -> None:
    """Do the job that standard input says."""
    job: Job = json.load(sys.stdin)
    sys.stdout = sys.stderr  # whatever a library prints is not for the parent
    try:
        result = download(job)
    except Exception as error:
        result = failure(error)
    say(result)


if __name__ == "__main__":
    main()
