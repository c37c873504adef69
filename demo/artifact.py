"""Write a model the way the Hugging Face hub caches it: blobs, refs and snapshots.

``models--<org>--<name>/`` holds

- ``blobs/<digest>``: the contents. A large file is named by the SHA-256 of its content, as the
  hub names what it keeps in LFS; a small one by its git blob id.
- ``snapshots/<commit>/<file>``: relative links to the blobs.
- ``refs/<name>``: the commit that a branch or tag names, without a newline.

There is no git history behind this repository, so the commit is the SHA-1 of its file list: one
line ``<blob name> <file name>\\n`` for each file, sorted by file name. The same files give the
same commit, and any change gives another.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

LARGE_SUFFIXES = (".safetensors",)
"""Files with these endings are named like LFS objects, whatever their size."""


def git_blob_id(content: bytes) -> str:
    """Return the id that git gives to a file of this content (SHA-1, 40 hex digits)."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def blob_name(file_name: str, content: bytes) -> str:
    """Return the name of the blob that holds ``file_name``: 64 hex digits if large, else 40."""
    if file_name.endswith(LARGE_SUFFIXES):
        return hashlib.sha256(content).hexdigest()
    return git_blob_id(content)


def commit_id(blobs: Mapping[str, str]) -> str:
    """Return the commit (40 hex digits) of the files in ``blobs``, file name to blob name."""
    listing = "".join(f"{blobs[name]} {name}\n" for name in sorted(blobs))
    return hashlib.sha1(listing.encode("utf-8"), usedforsecurity=False).hexdigest()


def folder_name(repository: str) -> str:
    """Return the cache folder of a repository id: ``models--<org>--<name>``."""
    return "models--" + repository.replace("/", "--")


def write_repository(
    cache: Path, repository: str, files: Mapping[str, bytes], refs: Sequence[str] = ("main",)
) -> Path:
    """Write ``files`` (name to content) as the only snapshot of ``repository``; return it.

    The folder is made beside its final place and renamed, so that it is never seen half-written;
    what stood there before is replaced.
    """
    blobs = {name: blob_name(name, content) for name, content in files.items()}
    commit = commit_id(blobs)
    cache.mkdir(parents=True, exist_ok=True)
    target = cache / folder_name(repository)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".writing-") as work:
        fresh = Path(work) / "new"
        for folder in ("blobs", "refs", f"snapshots/{commit}"):
            (fresh / folder).mkdir(parents=True)
        for name, content in files.items():
            (fresh / "blobs" / blobs[name]).write_bytes(content)
            link = fresh / "snapshots" / commit / name
            link.symlink_to(Path("..", "..", "blobs", blobs[name]))
        for ref in refs:
            (fresh / "refs" / ref).write_text(commit, encoding="utf-8")
        _replace(target, fresh, Path(work) / "old")
    return target / "snapshots" / commit


def read_snapshot(cache: Path, repository: str, ref: str = "main") -> Path:
    """Return the snapshot folder that ``ref`` names; FileNotFoundError if there is none."""
    folder = cache / folder_name(repository)
    commit = (folder / "refs" / ref).read_text(encoding="utf-8")
    snapshot = folder / "snapshots" / commit
    if not snapshot.is_dir():
        raise FileNotFoundError(f"{snapshot} from refs/{ref} does not exist")
    return snapshot


def total_bytes(folder: Path) -> int:
    """Return the bytes of all regular files below ``folder``; links count nothing."""
    return sum(
        path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    )


def _replace(target: Path, fresh: Path, aside: Path) -> None:
    if target.exists():
        target.rename(aside)
    fresh.rename(target)
    shutil.rmtree(aside, ignore_errors=True)
