"""Write a model in the layout of the Hugging Face cache: blobs, refs and snapshots.

``models--<org>--<name>/`` contains

- ``blobs/<digest>``: the contents. The name of a large file is the SHA-256 of its content, as for
  files in Git LFS. The name of a small file is its git blob id.
- ``snapshots/<commit>/<file>``: relative links to the blobs.
- ``refs/<name>``: the commit of a branch or tag, without a newline.

The repository has no git history, so the commit is the SHA-1 of the list of files: one line
``<blob name> <file name>\\n`` for each file, sorted by file name. The same files give the same
commit, and any change gives another.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

LARGE_SUFFIXES = (".safetensors",)
"""Files with these suffixes are named like Git LFS objects, whatever their size."""


def git_blob_id(content: bytes) -> str:
    """Return the id that git gives to a file of this content (SHA-1, 40 hex digits)."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def blob_name(file_name: str, content: bytes) -> str:
    """Return the name of the blob of a file: 64 hex digits for a large file, else 40."""
    if file_name.endswith(LARGE_SUFFIXES):
        return hashlib.sha256(content).hexdigest()
    return git_blob_id(content)


def commit_id(blobs: Mapping[str, str]) -> str:
    """Return the commit (40 hex digits) of files, given as ``{file name: blob name}``."""
    listing = "".join(f"{blobs[name]} {name}\n" for name in sorted(blobs))
    return hashlib.sha1(listing.encode("utf-8"), usedforsecurity=False).hexdigest()


def folder_name(repository: str) -> str:
    """Return the cache folder of a repository id: ``models--<org>--<name>``."""
    return "models--" + repository.replace("/", "--")


def write_repository(
    cache: Path, repository: str, files: Mapping[str, bytes], refs: Sequence[str] = ("main",)
) -> Path:
    """Write ``files``, by name, as the only snapshot of ``repository``; return its folder.

    Writes to a temporary folder and renames it, so that the repository is never incomplete.
    Replaces an existing one.
    """
    blobs = {name: blob_name(name, content) for name, content in files.items()}
    commit = commit_id(blobs)
    cache.mkdir(parents=True, exist_ok=True)
    target = cache / folder_name(repository)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".writing-") as work:
        new = Path(work) / "new"
        for folder in ("blobs", "refs", f"snapshots/{commit}"):
            (new / folder).mkdir(parents=True)
        for name, content in files.items():
            (new / "blobs" / blobs[name]).write_bytes(content)
            link = new / "snapshots" / commit / name
            link.symlink_to(Path("..", "..", "blobs", blobs[name]))
        for ref in refs:
            (new / "refs" / ref).write_text(commit, encoding="utf-8")
        _replace(target, new, Path(work) / "old")
    return target / "snapshots" / commit


def read_snapshot(cache: Path, repository: str, ref: str = "main") -> Path:
    """Return the snapshot folder of ``ref``; raise FileNotFoundError if it is missing."""
    folder = cache / folder_name(repository)
    commit = (folder / "refs" / ref).read_text(encoding="utf-8")
    snapshot = folder / "snapshots" / commit
    if not snapshot.is_dir():
        raise FileNotFoundError(f"{snapshot} from refs/{ref} does not exist")
    return snapshot


def total_bytes(folder: Path) -> int:
    """Return the bytes of all regular files below ``folder``, without links."""
    return sum(
        path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    )


def _replace(target: Path, new: Path, old: Path) -> None:
    if target.exists():
        target.rename(old)
    new.rename(target)
    shutil.rmtree(old, ignore_errors=True)
