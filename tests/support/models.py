"""Small models, caches and tarballs to search in."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import zstandard

from entrypoint.store.model import Request

FALCON = "tiiuae/falcon-7b-instruct"
COMMIT = "cf4b3c42ce2fdfe24f753f0f0d179202fea59c99"
OTHER_COMMIT = "ecb78d97ac356d098e79f0db222c9ce7c5d9ee5f"
COMPRESSIONS = {"plain": ".tar", "gzip": ".tar.gz", "zstd": ".tar.zst"}


def safetensors(size: int = 16, fill: int = 1) -> bytes:
    """A safetensors file with one tensor of ``size`` bytes, all of them ``fill``."""
    tensor = {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}
    header = json.dumps({"__metadata__": {"format": "pt"}, "weight": tensor}).encode()
    return len(header).to_bytes(8, "little") + header + bytes([fill]) * size


def model_files(shards: int = 1, size: int = 16) -> dict[str, bytes]:
    """``{name: content}`` of a model; several shards come with an index."""
    files = {
        "config.json": b'{"model_type": "falcon", "n_head": 7100}',
        "tokenizer.json": b"{}",
        ".gitattributes": b"",
    }
    if shards == 1:
        return {**files, "model.safetensors": safetensors(size)}
    names = [f"model-{number:05d}-of-{shards:05d}.safetensors" for number in range(1, shards + 1)]
    weight_map = {f"layer.{number}": name for number, name in enumerate(names)}
    files["model.safetensors.index.json"] = json.dumps({"weight_map": weight_map}).encode()
    return {**files, **{name: safetensors(size, number) for number, name in enumerate(names)}}


def pickled(size: int = 16) -> bytes:
    """A file that looks like what torch.save writes."""
    return b"PK\x03\x04" + bytes(size) + b"PK\x05\x06" + bytes(18)


def write_files(directory: Path, files: Mapping[str, bytes]) -> Path:
    """Write a plain model directory."""
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return directory


def sha256(content: bytes) -> str:
    """The SHA-256 of a content."""
    return hashlib.sha256(content).hexdigest()


def write_snapshot(
    root: Path,
    name: str = FALCON,
    commit: str = COMMIT,
    files: Mapping[str, bytes] | None = None,
    ref: str | None = "main",
    blob_name: Callable[[str, bytes], str] = lambda file, content: sha256(content),
) -> Path:
    """Write a snapshot as the hub's client does: links to blobs, and a ref.

    Its blobs are called by SHA-256, unless ``blob_name`` calls them otherwise.
    """
    folder = root / f"models--{name.replace('/', '--')}"
    snapshot = folder / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (folder / "blobs").mkdir(exist_ok=True)
    for file, content in (model_files() if files is None else files).items():
        blob = blob_name(file, content)
        (folder / "blobs" / blob).write_bytes(content)
        link = snapshot / file
        link.parent.mkdir(parents=True, exist_ok=True)
        up = "../" * (2 + file.count("/"))
        link.symlink_to(f"{up}blobs/{blob}")
    if ref is not None:
        (folder / "refs" / ref).parent.mkdir(parents=True, exist_ok=True)
        (folder / "refs" / ref).write_text(commit)
    return snapshot


def a_request(scratch: Path, *roots: Path, **changes: Any) -> Request:
    """A request for Falcon with the hub switched off."""
    values: dict[str, Any] = {
        "model_id": FALCON,
        "revision": None,
        "cache_roots": roots,
        "tarball": None,
        "offline": True,
        "token": None,
        "scratch": scratch / "scratch",
        "endpoint": os.environ.get("HF_ENDPOINT"),
        "environ": os.environ,
        "mount": scratch / "mnt" / "models",
    }
    return Request(**{**values, **changes})


def compress(content: bytes, compression: str) -> bytes:
    """Compress the bytes of a tar file."""
    if compression == "gzip":
        return gzip.compress(content, compresslevel=1)
    if compression == "zstd":  # with a checksum, as the zstd command makes it
        return zstandard.ZstdCompressor(level=1, write_checksum=True).compress(content)
    return content


def pack(source: Path, archive: Path, compression: str = "plain") -> Path:
    """Pack all that ``source`` holds, with Python."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in sorted(source.iterdir()):
            tar.add(path, path.name)
    archive.parent.mkdir(parents=True, exist_ok=True)
    archive.write_bytes(compress(buffer.getvalue(), compression))
    return archive


def pack_with_gnu_tar(source: Path, archive: Path, compression: str = "plain") -> Path:
    """Pack all that ``source`` holds, as the guides do."""
    names = sorted(path.name for path in source.iterdir())
    archive.parent.mkdir(parents=True, exist_ok=True)
    command = ["tar", "-cf", str(archive), "-C", str(source), "--", *names]
    subprocess.run(command, check=True)
    if compression != "plain":
        archive.write_bytes(compress(archive.read_bytes(), compression))
    return archive


def tar_of(*members: tuple[str, bytes | Callable[[tarfile.TarInfo], None]]) -> bytes:
    """The bytes of a tar with ``(name, content)`` members, or what a function makes of one."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
            else:
                content(member)
                tar.addfile(member)
    return buffer.getvalue()


def of_type(kind: bytes, target: str = "") -> Callable[[tarfile.TarInfo], None]:
    """Make a member a link, a device, a folder."""

    def change(member: tarfile.TarInfo) -> None:
        member.type = kind
        member.linkname = target

    return change


UNPRIVILEGED = os.geteuid() or 65534
"""A user who is kept out by a mode of 0, as root is not."""


def run_unprivileged(script: str, *arguments: Path) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of a user who is not root, after the store is imported.

    Imported first because root's interpreter may lie where another user cannot read it.
    """
    whole = (
        "import difflib, os, sys; from pathlib import Path\n"
        "import entrypoint.store.tarballs.archive\n"
        "from entrypoint.store.disk.files import directory_files\n"
        "from entrypoint.store.search.find import find_model\n"
        "from entrypoint.store.disk.integrity import examine_model\n"
        "from tests.support.models import a_request\n"
        f"os.geteuid() or os.setuid({UNPRIVILEGED})\n" + script
    )
    command = [sys.executable, "-c", whole, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)
